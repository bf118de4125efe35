"""In the customer's interest: what may be computed about them, and the layer that lets emotion help but never sell.

The protections (hardship, vulnerability, complaint, …) are deny gates of the release; see `release._gates`. What a
request takes away it takes like a refusal: the stricter of what is on record and what is said now holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from decisioning.catalogue.actions import EMOTION, PROFILING
from decisioning.catalogue.release import Release, View
from decisioning.deciding.arbitration import NOTHING, Field, Limits, Pick, Slot
from decisioning.deciding.consent import Permission
from decisioning.facts.schema import Facts
from decisioning.rules import History


@dataclass(frozen=True)
class Mood:
    """What the emotion layer asks for: no sales, help that was held back, a tone, a person to take over."""

    silence_sales: bool = False
    let_through: frozenset[str] = frozenset()
    tone: str | None = None
    handover: str | None = None


def taken_away(release: Release, reported: Mapping[str, bool], facts: Facts, history: History) -> dict[str, str]:
    """Purposes that this request may not use, and why: Global Privacy Control, a consent platform's no, a minor."""
    settings, gone = release.catalogue.settings, {}
    if release.adult is not None and release.adult.truth(facts, history) is not True:
        gone[PROFILING] = f"age is not known to be {settings.adult_age} or more"
    gone |= {purpose: "the consent platform reports a no" for purpose, allowed in reported.items() if not allowed}
    if facts.get("gpc") is not False:
        gone |= dict.fromkeys(settings.gpc, "Global Privacy Control")
    return gone


def may_profile(permissions: Mapping[str, Permission]) -> bool:
    """Whether a personal score may be computed."""
    allowed = permissions.get(PROFILING)
    return allowed is not None and allowed.allowed


def readable(release: Release, facts: Facts, emotion: Permission | None) -> Facts:
    """The facts without what is felt, where the catalogue has a purpose for that and it is not permitted."""
    if emotion is None or emotion.allowed:
        return facts
    return {name: value for name, value in facts.items() if name not in release.emotion_features}


def mood(
    release: Release, facts: Facts, history: History, permissions: Mapping[str, Permission], moment: str | None = None
) -> Mood:
    """What the release's emotion rules say; a rule that is not TRUE says nothing.

    A decision opened by a moment that reads what is felt sells nothing, whatever the rules say.
    """
    facts = readable(release, facts, permissions.get(EMOTION))
    felt = [rule for rule, when in release.emotion if when.truth(facts, history) is True]
    return Mood(
        silence_sales=any(r.silence_sales for r in felt) or moment in release.emotion_moments,
        let_through=frozenset(name for r in felt for name in r.let_through),
        tone=next((r.tone for r in felt if r.tone), None),
        handover=next((r.handover for r in felt if r.handover), None),
    )


def apply(
    felt: Mood, picks: Sequence[Pick], slots: Sequence[Slot], view: View, field: Field, limits: Limits
) -> list[Pick]:
    """The slate after the emotion layer: sales taken out, help before the rest; what was computed stays as it was.

    `field` and `limits` are those of everyone who passed every filter: help that did not pass is not let through.
    """
    quiet = felt.silence_sales
    left = [Pick(p.slot, NOTHING, p.probability) if quiet and _sells(p, view) else p for p in picks]
    helped = list(_help(felt, slots, view, field, limits))
    return _seated(helped, left, slots, limits) if helped else left


def interferes(felt: Mood, slots: Sequence[Slot], view: View, field: Field, limits: Limits) -> bool:
    """Whether apply() may change a slate, whatever it is; of what is felt and what passed alone, not of the draw."""
    sales = felt.silence_sales and bool((field.permitted & view.sells_or_lends).any())
    return sales or next(_help(felt, slots, view, field, limits), None) is not None


def _help(felt: Mood, slots: Sequence[Slot], view: View, field: Field, limits: Limits) -> Iterator[tuple[Slot, int]]:
    """What is let through, best first, each with a slot of the first placement that can hold it."""
    named = np.asarray([a.id in felt.let_through for a in view.actions], dtype=np.bool_)
    found = np.flatnonzero(field.permitted & view.held_help & named)
    free = list(slots)
    for candidate in found[np.lexsort((-field.priority[found], field.tier[found]))].tolist():
        slot = next((s for s in free if s.members[candidate]), None)
        if slot is not None and limits.room()[candidate]:
            limits = limits.without(candidate)
            free.remove(slot)
            yield slot, candidate


def _seated(
    helped: Sequence[tuple[Slot, int]], left: Sequence[Pick], slots: Sequence[Slot], limits: Limits
) -> list[Pick]:
    """Per placement help first, then what was picked for it, as far as slots and limits go."""
    for _, candidate in helped:
        limits = limits.without(candidate)
    seated: list[Pick] = []
    for placement in dict.fromkeys(s.placement for s in slots):
        queue = [Pick(s, c, 1.0) for s, c in helped if s.placement == placement]
        for pick in left:
            if pick.slot.placement == placement and (pick.candidate == NOTHING or limits.room()[pick.candidate]):
                queue.append(pick)
                limits = limits if pick.candidate == NOTHING else limits.without(pick.candidate)
        seats = (s for s in slots if s.placement == placement)
        seated += [replace(pick, slot=seat) for seat, pick in zip(seats, queue, strict=False)]
    return seated


def _sells(pick: Pick, view: View) -> bool:
    return pick.candidate != NOTHING and bool(view.sells_or_lends[pick.candidate])
