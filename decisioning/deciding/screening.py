"""Every filter, joined by AND: what passes, and for the rest the first gate that stopped it. Filters only narrow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import EMOTION
from decisioning.catalogue.release import Gate, Mask, Release, View
from decisioning.deciding import arms
from decisioning.deciding.arbitration import COMMERCIAL_TIER, Limits
from decisioning.deciding.case import Case, undrawn_case
from decisioning.deciding.consent import Permission, permissions
from decisioning.deciding.contact import limits, quiet, suppressed
from decisioning.deciding.ethics import may_profile, readable, withdrawn_by_request
from decisioning.deciding.worth import Worth, worth
from decisioning.facts.forms import Ask, Known, Withheld
from decisioning.facts.schema import Facts, Value


@dataclass
class _Sieve:
    """Candidates still in (k,), and the gate that stopped the others: an index into `stops`, -1 while in."""

    alive: Mask
    stopped_by: NDArray[np.int64]
    stops: list[tuple[str, str, dict[str, Value | None]]] = field(default_factory=list)

    def stop(self, members: Mask | bool, gate: str, why: str, seen: dict[str, Value | None] | None = None) -> None:
        """Remove `members`; nothing else can be done to a sieve."""
        hit = self.alive & members
        if hit.any():
            self.stopped_by[hit] = len(self.stops)
            self.alive &= ~hit
            self.stops.append((gate, why, seen or {}))


@dataclass(frozen=True)
class Screened:
    """What passed, in columns of length k: `permitted`, worth in euros, and what a slate may still take of each."""

    view: View
    arm: str
    permissions: dict[str, Permission]
    worth: Worth
    limits: Limits
    requested: Mask
    sieve: _Sieve

    @property
    def permitted(self) -> Mask:
        """Bool (k,): requested, every permit TRUE, and every deny gate definitely FALSE."""
        return self.sieve.alive

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The permitted candidates in their order: int64 (n,) indices into the k columns."""
        return np.flatnonzero(self.permitted)

    @cached_property
    def profiled(self) -> bool:
        """Whether a personal score may be computed."""
        return may_profile(self.permissions)

    def cites(self, candidate: int) -> dict[str, str]:
        """Return purpose -> the record that permits it, for the purposes that a candidate needs.

        A candidate that passes has at least one, because `brain check` refuses an action without a purpose.
        """
        needed = (purpose for purpose, members in self.view.purposes if members[candidate])
        return {p: cited for p in needed if (cited := self.permissions[p].cites) is not None}

    @property
    def gates(self) -> dict[str, int]:
        """Gate -> how many candidates it was the first to stop."""
        stopped = self.sieve.stopped_by[self.requested & ~self.sieve.alive]
        numbers = np.bincount(stopped, minlength=len(self.sieve.stops)).tolist()
        counts: dict[str, int] = {}
        for (gate, _, _), n in zip(self.sieve.stops, numbers, strict=True):
            counts[gate] = counts.get(gate, 0) + n
        return counts

    @property
    def withheld(self) -> tuple[Withheld, ...]:
        """The requested candidates that did not pass, each with the gate that stopped it."""
        stopped = np.flatnonzero(self.requested & ~self.sieve.alive)
        return tuple(Withheld(self.view.ids[i], *self.sieve.stops[self.sieve.stopped_by[i]]) for i in stopped)


def screen(case: Case, facts: Facts, arm: str | None = None) -> Screened:
    """Screen the candidates that some placement of the request can show.

    :param arm: a control group to screen for instead of the customer's own
    """
    view, requested, arm = case.view, case.requested(), arm or arms.arm_for(case)
    sieve = _Sieve(requested.copy(), np.full(len(view), -1, dtype=np.int64))
    allowed = permissions_of(case, facts)
    _standing_gates(sieve, case)
    _consent_gates(sieve, view, allowed)
    _rule_gates(sieve, case, facts)
    room = _contact_gates(sieve, case, facts)
    _content_gates(sieve, case, facts)
    value = worth(view, sieve.alive, facts, may_profile(allowed), case.now_us, case.history)
    _holdout_gate(sieve, view, arm)
    return Screened(view, arm, allowed, arms.weighed(value, view.tier, arm), room, requested, sieve)


def screened_for(
    ask: Ask,
    known: Known,
    release: Release,
    *,
    now_us: int,
    paused: frozenset[str] = frozenset(),
    arm: str | None = None,
) -> Screened:
    """Return only the screening of decide(); `arm` replaces the customer's own."""
    case = undrawn_case(ask, known, release, now_us, paused)
    return screen(case, case.facts(), arm)


def permissions_for(ask: Ask, known: Known, release: Release, *, now_us: int) -> dict[str, Permission]:
    """Return purpose -> the permission that screening goes by."""
    case = undrawn_case(ask, known, release, now_us)
    return permissions_of(case, case.facts())


def moment_happens(release: Release, ask: Ask, known: Known, now_us: int) -> bool:
    """Tell whether the moment that `ask` names is TRUE; UNKNOWN is not. Raises NotFound if it is not released."""
    rule = release.rule(release.moment(ask.moment or "").when)
    case = undrawn_case(ask, known, release, now_us)
    served = case.facts()
    facts = readable(release, served, permissions_of(case, served).get(EMOTION))
    return rule.truth(facts, case.history) is True


def permissions_of(case: Case, facts: Facts) -> dict[str, Permission]:
    """Return purpose -> permission for this request: what is on record, less what the request withdraws."""
    release, view = case.release, case.view
    return permissions(
        case.known.person,
        release.purposes,
        view.channel.id,
        release.bases(facts, case.history),
        case.now_us,
        withdrawn=withdrawn_by_request(release, case.reported_consents(), facts, case.history),
        rule=view.rule,
    )


def _standing_gates(sieve: _Sieve, case: Case) -> None:
    view, known, now_us, paused = case.view, case.known, case.now_us, case.context.paused
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


def _consent_gates(sieve: _Sieve, view: View, allowed: Mapping[str, Permission]) -> None:
    for purpose, members in view.purposes:
        permission = allowed[purpose]
        if not permission.allowed:
            sieve.stop(members, f"consent:{purpose}", permission.why)
        elif permission.groups is not None:
            others = np.asarray([a.group not in permission.groups for a in view.actions], dtype=np.bool_)
            sieve.stop(members & others, f"consent:{purpose}", f"{permission.cites} is about other products")


def _rule_gates(sieve: _Sieve, case: Case, facts: Facts) -> None:
    for gate in case.view.gates:
        if gate.rule.per_action:
            _per_action_gate(sieve, gate, case, facts)
            continue
        truth = gate.rule.truth(facts, case.history)
        if not gate.passes(truth):
            sieve.stop(gate.members, gate.id, _verdict(truth, gate), gate.rule.facts_seen(facts))


def _per_action_gate(sieve: _Sieve, gate: Gate, case: Case, facts: Facts) -> None:
    view, verdicts = case.view, dict[str, bool | None]()
    for i in np.flatnonzero(gate.members & sieve.alive):
        action = view.actions[i].id
        if action not in verdicts:
            verdicts[action] = gate.rule.truth(facts, case.history, action)
        if not gate.passes(verdicts[action]):
            why = _verdict(verdicts[action], gate)
            sieve.stop(_only((int(i),), view), gate.id, why, gate.rule.facts_seen(facts))


def _contact_gates(sieve: _Sieve, case: Case, facts: Facts) -> Limits:
    settings, view, now_us = case.release.catalogue.settings, case.view, case.now_us
    zone = facts.get(settings.time_zone_feature) if settings.time_zone_feature else settings.time_zone
    if quiet(view.channel.quiet_hours, zone if isinstance(zone, str) else None, now_us) is not False:
        sieve.stop(np.ones(len(view), dtype=np.bool_), "contact:quiet-hours", "quiet hours where the customer is")
    for after, suppressed_candidates in suppressed(view, case.known, now_us):
        sieve.stop(_only(suppressed_candidates, view), f"suppressed:{after}", f"after the outcome {after}")
    room, full = limits(view, case.known, now_us, settings.max_per_group)
    for gate, members in full:
        sieve.stop(members, gate, "shown as often as it may be")
    return room


def _content_gates(sieve: _Sieve, case: Case, facts: Facts) -> None:
    """Stop texts that name an unknown fact or claim what no fact proves; "known" means what it means in rules."""
    release, view, history = case.release, case.view, case.history
    for name, members in view.placeholders:
        if release.rule(f"known({name})").truth(facts, history) is not True:
            sieve.stop(members, f"placeholder:{name}", "the text names a fact that is not known", {name: None})
    for kind, name, members in view.claims:
        proof = release.rule(f"{name} > {'now' if kind == 'deadline' else '0'}")
        if proof.truth(facts, history) is not True:
            sieve.stop(
                members, f"claim:{kind}", "the text claims what this fact does not prove", proof.facts_seen(facts)
            )


def _holdout_gate(sieve: _Sieve, view: View, arm: str) -> None:
    """The last of the filters: a holdout is sold nothing."""
    if arm == "holdout":
        sells = view.tier == COMMERCIAL_TIER
        sieve.stop(sells, "arm:holdout", "one of the customers whom nothing is sold, to compare with")


def _only(members: tuple[int, ...], view: View) -> Mask:
    mask = np.zeros(len(view), dtype=np.bool_)
    mask[list(members)] = True
    return mask


def _verdict(truth: bool | None, gate: Gate) -> str:
    value = "unknown" if truth is None else str(truth).lower()
    return f"{'deny' if gate.deny else 'permit'} rule is {value}: {gate.rule.text}"
