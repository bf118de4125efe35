"""Every filter, ANDed: who passes, and for everyone else the first gate that stopped them. Filters only narrow."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.release import Gate, Mask, Release, View
from decisioning.deciding.arbitration import Limits
from decisioning.deciding.consent import Permission, permissions
from decisioning.deciding.contact import history_of, limits, quiet, suppressed
from decisioning.deciding.ethics import may_profile, taken_away
from decisioning.deciding.worth import Worth, worth
from decisioning.facts.forms import Known, Withheld
from decisioning.facts.schema import Facts, Value
from decisioning.rules import History


@dataclass
class _Sieve:
    """Candidates still in (k,), and the gate that stopped the others: an index into `stops`, -1 while in."""

    alive: Mask
    stopped_by: NDArray[np.int64]
    stops: list[tuple[str, str, dict[str, Value | None]]] = field(default_factory=list)

    def stop(self, members: Mask | bool, gate: str, why: str, seen: dict[str, Value | None] | None = None) -> None:
        """Takes `members` out; the only thing that can be done to a sieve."""
        hit = self.alive & members
        if hit.any():
            self.stopped_by[hit] = len(self.stops)
            self.alive &= ~hit
            self.stops.append((gate, why, seen or {}))


@dataclass(frozen=True)
class Screened:
    """What passed, columns of length k: `permitted`, worth in euros, and what a slate may still take of each."""

    view: View
    profiled: bool
    permissions: dict[str, Permission]
    worth: Worth
    limits: Limits
    asked: Mask
    sieve: _Sieve

    @property
    def permitted(self) -> Mask:
        """Bool (k,): asked for, and every permit TRUE, every deny gate definitely FALSE."""
        return self.sieve.alive

    def cites(self, candidate: int) -> dict[str, str]:
        """The records that permit a candidate, by purpose."""
        needed = (purpose for purpose, members in self.view.purposes if members[candidate])
        return {p: cited for p in needed if (cited := self.permissions[p].cites) is not None}

    @property
    def gates(self) -> dict[str, int]:
        """How many candidates each gate was the first to stop."""
        stopped = self.sieve.stopped_by[self.asked & ~self.sieve.alive]
        counts = np.bincount(stopped, minlength=len(self.sieve.stops)).tolist()
        found: dict[str, int] = {}
        for (gate, _, _), n in zip(self.sieve.stops, counts, strict=True):
            found[gate] = found.get(gate, 0) + n
        return found

    @property
    def withheld(self) -> tuple[Withheld, ...]:
        """Everyone else, with the gate that stopped them."""
        stopped = np.flatnonzero(self.asked & ~self.sieve.alive)
        return tuple(Withheld(self.view.ids[i], *self.sieve.stops[self.sieve.stopped_by[i]]) for i in stopped)


def allowed_now(
    release: Release, view: View, known: Known, reported: Mapping[str, bool], facts: Facts, now_us: int
) -> dict[str, Permission]:
    """Every purpose's permission for this request: what is on record, less what the request takes away."""
    history = history_of(release, known, now_us)
    return permissions(
        known.person,
        release.purposes,
        view.channel.id,
        release.bases(facts, history),
        now_us,
        taken=taken_away(release, reported, facts, history),
        rule=view.rule,
    )


def screen(
    release: Release,
    view: View,
    asked: Mask,
    known: Known,
    facts: Facts,
    now_us: int,
    paused: frozenset[str],
    reported: Mapping[str, bool],
) -> Screened:
    """Screens the candidates of `view` that some placement asked for, bool (k,).

    :param reported: what a consent platform reports, by purpose
    """
    sieve = _Sieve(asked.copy(), np.full(len(view), -1, dtype=np.int64))
    allowed = allowed_now(release, view, known, reported, facts, now_us)
    profiled = may_profile(allowed)
    _standing_gates(sieve, view, known, now_us, paused)
    _consent_gates(sieve, view, allowed)
    history = history_of(release, known, now_us)
    _rule_gates(sieve, view, facts, history)
    room = _contact_gates(sieve, release, view, known, facts, now_us)
    _content_gates(sieve, release, view, facts, history)
    value = worth(view, sieve.alive, facts, profiled, now_us, history)
    return Screened(view, profiled, allowed, value, room, asked, sieve)


def _standing_gates(sieve: _Sieve, view: View, known: Known, now_us: int, paused: frozenset[str]) -> None:
    everyone = np.ones(len(view), dtype=np.bool_)
    if known.person.erased or (known.account is not None and known.account.erased):
        sieve.stop(everyone, "subject:erased", "the customer asked to be forgotten")
    if known.person.restricted or (known.account is not None and known.account.restricted):
        sieve.stop(everyone, "subject:restricted", "processing is restricted")
    sieve.stop((view.starts_us > now_us) | (view.ends_us <= now_us), "action:dates", "outside its dates")
    if paused:
        sieve.stop(np.asarray([a.id in paused for a in view.actions], dtype=np.bool_), "action:paused", "paused")
    sieve.stop(view.needs_person, "action:automation", "needs a person, and this channel has none")
    if known.account is None:
        sieve.stop(view.of_account, "action:account", "concerns an account, and the request names none")


def _consent_gates(sieve: _Sieve, view: View, allowed: dict[str, Permission]) -> None:
    for purpose, members in view.purposes:
        permission = allowed[purpose]
        if not permission.allowed:
            sieve.stop(members, f"consent:{purpose}", permission.why)
        elif permission.groups is not None:
            others = np.asarray([a.group not in permission.groups for a in view.actions], dtype=np.bool_)
            sieve.stop(members & others, f"consent:{purpose}", f"{permission.cites} is about other products")


def _rule_gates(sieve: _Sieve, view: View, facts: Facts, history: History) -> None:
    for gate in view.gates:
        if gate.rule.per_action:
            _per_action_gate(sieve, view, gate, facts, history)
            continue
        truth = gate.rule.truth(facts, history)
        if not gate.passes(truth):
            sieve.stop(gate.members, gate.id, _verdict(truth, gate), gate.rule.facts_seen(facts))


def _per_action_gate(sieve: _Sieve, view: View, gate: Gate, facts: Facts, history: History) -> None:
    verdicts: dict[str, bool | None] = {}
    for i in np.flatnonzero(gate.members & sieve.alive):
        action = view.actions[i].id
        if action not in verdicts:
            verdicts[action] = gate.rule.truth(facts, history, action)
        if not gate.passes(verdicts[action]):
            why = _verdict(verdicts[action], gate)
            sieve.stop(_only((int(i),), view), gate.id, why, gate.rule.facts_seen(facts))


def _contact_gates(sieve: _Sieve, release: Release, view: View, known: Known, facts: Facts, now_us: int) -> Limits:
    settings = release.catalogue.settings
    zone = facts.get(settings.time_zone_feature) if settings.time_zone_feature else settings.time_zone
    hours = view.channel.quiet_hours
    if quiet(hours, zone if isinstance(zone, str) else None, now_us) is not False:
        sieve.stop(np.ones(len(view), dtype=np.bool_), "contact:quiet-hours", "quiet hours where the customer is")
    for after, suppressed_candidates in suppressed(view, known, now_us):
        sieve.stop(_only(suppressed_candidates, view), f"suppressed:{after}", f"after the outcome {after}")
    room, full = limits(view, known, now_us, settings.max_per_group)
    for gate, members in full:
        sieve.stop(members, gate, "shown as often as it may be")
    return room


def _content_gates(sieve: _Sieve, release: Release, view: View, facts: Facts, history: History) -> None:
    """Texts that need a fact which is not known, or claim what no fact proves: known as the rules know it."""
    for name, members in view.placeholders:
        if release.rule(f"known({name})").truth(facts, history) is not True:
            sieve.stop(members, f"placeholder:{name}", "the text names a fact that is not known", {name: None})
    for kind, name, members in view.claims:
        proof = release.rule(f"{name} > {'now' if kind == 'deadline' else '0'}")
        if proof.truth(facts, history) is not True:
            sieve.stop(
                members, f"claim:{kind}", "the text claims what this fact does not prove", proof.facts_seen(facts)
            )


def _only(members: tuple[int, ...], view: View) -> Mask:
    mask = np.zeros(len(view), dtype=np.bool_)
    mask[list(members)] = True
    return mask


def _verdict(truth: bool | None, gate: Gate) -> str:
    said = "unknown" if truth is None else str(truth).lower()
    return f"{'deny' if gate.deny else 'permit'} rule is {said}: {gate.rule.text}"
