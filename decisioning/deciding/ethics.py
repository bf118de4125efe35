"""The customer's interest: what may be computed about them, and the layer that lets emotion help but never sell.

The layer reads emotions only where the purpose `emotion` is permitted. Requests (a wish for a person, an objection, a
complaint) are no emotions: it reads them whatever the consents are, so that a no and a call for a person always hold.

The protections (hardship, vulnerability, complaint, ...) are deny gates of the release; see `release._gates`. A request
can withdraw a purpose, as a refusal would: the stricter of the record and the request holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from decisioning.catalogue.actions import EMOTION, PROFILING
from decisioning.catalogue.policies import EmotionRule
from decisioning.catalogue.release import Release
from decisioning.catalogue.view import View
from decisioning.deciding.arbitration import NOTHING, Field, Limits, Pick, Slot
from decisioning.deciding.consent import Permission
from decisioning.facts.schema import Facts
from decisioning.rules import History, Rule


@dataclass(frozen=True)
class Mood:
    """What the emotion layer asks for: no sales, help that was held back, a tone, or a person who takes over.

    `handover`: the reason given to that person. `call`: the rule that says so, with the terms of the handover. `upset`:
    a rule that reads emotion silences sales, so whoever helps should be ready for it.
    """

    silence_sales: bool = False
    let_through: frozenset[str] = frozenset()
    tone: str | None = None
    handover: str | None = None
    call: EmotionRule | None = None
    upset: bool = False


def withdrawn_by_request(
    release: Release, reported: Mapping[str, bool], facts: Facts, history: History
) -> dict[str, str]:
    """Return purpose -> why this request may not use it: a minor, a consent platform's no, Global Privacy Control."""
    settings, withdrawn = release.catalogue.settings, {}
    if release.adult is not None and release.adult.truth(facts, history) is not True:
        withdrawn[PROFILING] = f"age is not known to be {settings.adult_age} or more"
    withdrawn |= {purpose: "the consent platform reports a no" for purpose, allowed in reported.items() if not allowed}
    if facts.get("gpc") is not False:
        withdrawn |= dict.fromkeys(settings.gpc, "Global Privacy Control")
    return withdrawn


def protected_facts(release: Release, own: Facts, others: Sequence[Facts], history: History) -> Facts:
    """Return what is known of a customer, so that a protection holds under every id of one person.

    If none holds by the customer's own facts, what the first reads that holds by those of a joined id replaces theirs:
    among the protections that read what was collected for the same purposes, so that what may not be read replaces
    nothing that may.

    :param others: what is known under each joined id
    """
    for rules in release.protections:
        own = _protected_by(rules, own, others, history)
    return own


def _protected_by(rules: Sequence[Rule], own: Facts, others: Sequence[Facts], history: History) -> Facts:
    if any(rule.truth(own, history) is True for rule in rules):
        return own
    for other in others:
        for rule in rules:
            if rule.truth(other, history) is True:
                return {**own, **{name: other.get(name) for name in sorted(rule.reads)}}
    return own


def may_profile(permissions: Mapping[str, Permission]) -> bool:
    """Tell whether a personal score may be computed."""
    allowed = permissions.get(PROFILING)
    return allowed is not None and allowed.allowed


def readable(release: Release, facts: Facts, emotion: Permission | None) -> Facts:
    """Return the facts, without emotion features if the catalogue has a purpose for emotion that is not permitted.

    Requests stay.
    """
    return facts if emotion is None or emotion.allowed else without(facts, release.emotion_features)


def without(facts: Facts, names: frozenset[str]) -> Facts:
    """Return the facts but for those of these names."""
    return {name: value for name, value in facts.items() if name not in names}


def refused_of(purposes: frozenset[str], permissions: Mapping[str, Permission]) -> frozenset[str]:
    """Return those of the purposes that are not permitted, or not for everything."""
    allowed = (p for p in purposes if (given := permissions.get(p)) and given.allowed and given.groups is None)
    return purposes.difference(allowed)


def mood(
    release: Release, facts: Facts, history: History, permissions: Mapping[str, Permission], moment: str | None = None
) -> Mood:
    """Return what the release's emotion rules ask for; a rule that is not TRUE asks for nothing.

    A decision that was opened by a moment which reads emotion or a request sells nothing, whatever the rules say.
    """
    facts = readable(release, facts, permissions.get(EMOTION))
    true = [(rule, when) for rule, when in release.emotion if when.truth(facts, history) is True]
    rules = [rule for rule, _ in true]
    call = min((r for r in rules if r.handover), key=lambda rule: not rule.first, default=None)
    return Mood(
        silence_sales=any(r.silence_sales for r in rules) or moment in release.emotion_moments,
        let_through=frozenset(name for r in rules for name in r.let_through),
        tone=next((r.tone for r in rules if r.tone), None),
        handover=call.handover if call else None,
        call=call,
        upset=any(r.silence_sales and not release.emotion_features.isdisjoint(when.reads) for r, when in true),
    )


def apply(
    mood: Mood, picks: Sequence[Pick], slots: Sequence[Slot], view: View, field: Field, limits: Limits
) -> list[Pick]:
    """Return the slate after the emotion layer: sales removed, help before the rest; nothing is computed anew.

    `field` and `limits` are those of all candidates that passed every filter, so help that did not pass stays out.
    """
    silent = mood.silence_sales
    remaining = [Pick(p.slot, NOTHING, p.probability) if silent and _sells(p, view) else p for p in picks]
    helped = list(_help(mood, slots, view, field, limits))
    return _seated(helped, remaining, slots, limits) if helped else remaining


def may_change_slate(mood: Mood, slots: Sequence[Slot], view: View, field: Field, limits: Limits) -> bool:
    """Tell whether apply() could change any slate, given the mood and what passed; the draw plays no part."""
    sales = mood.silence_sales and bool((field.permitted & view.sells_or_lends).any())
    return sales or next(_help(mood, slots, view, field, limits), None) is not None


def _help(mood: Mood, slots: Sequence[Slot], view: View, field: Field, limits: Limits) -> Iterator[tuple[Slot, int]]:
    """Yield the help that is let through, best first, each with a slot of the first placement that can hold it."""
    if not mood.let_through:
        return
    named = np.asarray([a.id in mood.let_through for a in view.actions], dtype=np.bool_)
    helpful = np.flatnonzero(field.permitted & view.held_help & named)
    free = list(slots)
    for candidate in helpful[np.lexsort((-field.priority[helpful], field.tier[helpful]))].tolist():
        slot = next((s for s in free if s.members[candidate]), None)
        if slot is not None and limits.room[candidate]:
            limits = limits.without(candidate)
            free.remove(slot)
            yield slot, candidate


def _seated(
    helped: Sequence[tuple[Slot, int]], remaining: Sequence[Pick], slots: Sequence[Slot], limits: Limits
) -> list[Pick]:
    """Seat per placement help first, then what was picked for it, as far as slots and limits allow."""
    for _, candidate in helped:
        limits = limits.without(candidate)
    seated: list[Pick] = []
    for placement in dict.fromkeys(s.placement for s in slots):
        queue = [Pick(s, c, 1.0) for s, c in helped if s.placement == placement]
        for pick in remaining:
            if pick.slot.placement == placement and (pick.candidate == NOTHING or limits.room[pick.candidate]):
                queue.append(pick)
                limits = limits if pick.candidate == NOTHING else limits.without(pick.candidate)
        seats = (s for s in slots if s.placement == placement)
        seated += [replace(pick, slot=seat) for seat, pick in zip(seats, queue, strict=False)]
    return seated


def _sells(pick: Pick, view: View) -> bool:
    return pick.candidate != NOTHING and bool(view.sells_or_lends[pick.candidate])
