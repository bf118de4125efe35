"""Every filter, joined by AND: what passes, and for the rest the first gate that stopped it. Filters only narrow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import EMOTION
from decisioning.catalogue.intents import AUTOMATION
from decisioning.catalogue.policies import Cap
from decisioning.catalogue.release import Release
from decisioning.catalogue.view import Gate, Mask, View, bits_of, mask_of, positions_of
from decisioning.deciding import arms
from decisioning.deciding.arbitration import Limits
from decisioning.deciding.case import Case, undrawn_case
from decisioning.deciding.consent import Permission
from decisioning.deciding.contact import limits, negotiable, over_budget, quiet, side_by_side, suppressed
from decisioning.deciding.ethics import may_profile, readable
from decisioning.deciding.worth import Worth, worth
from decisioning.facts.forms import Ask, Known, Withheld
from decisioning.facts.schema import Facts, Value
from decisioning.lazy import lazy_property
from decisioning.periods import UNKNOWN_ZONE_US, local_time
from decisioning.rules import Rule
from decisioning.times import HOUR_US

Truths = tuple[bool | None, ...]


class Stop(NamedTuple):
    """A gate that stopped candidates, given as bits; `rule`: what it read, if it has a rule."""

    candidates: int
    gate: str
    why: str
    rule: Rule | None


class _Sieve:
    """The candidates still in, as bits, and what stopped the others, in order."""

    def __init__(self, requested: int) -> None:
        self.alive = requested
        self.stops: list[Stop] = []

    def stop(self, members: int, gate: str, why: str, rule: Rule | None = None) -> None:
        """Remove `members`; nothing else can be done to a sieve."""
        hit = self.alive & members
        if hit:
            self.alive ^= hit
            self.stops.append(Stop(hit, gate, why, rule))


@dataclass(frozen=True)
class Screened:
    """What passed of what was requested, both as bits; what it is worth, and what a slate may still take of each."""

    view: View
    facts: Facts
    arm: str
    permissions: dict[str, Permission]
    worth: Worth
    limits: Limits
    requested_bits: int
    permitted_bits: int
    stops: tuple[Stop, ...]

    @lazy_property
    def requested(self) -> Mask:
        """Bool (k,): some placement of the request can show it."""
        return mask_of(self.requested_bits, len(self.view))

    @lazy_property
    def permitted(self) -> Mask:
        """Bool (k,): requested, every permit TRUE, and every deny gate definitely FALSE."""
        return self.view.passed(self.permitted_bits)[0]

    @lazy_property
    def rows(self) -> NDArray[np.int64]:
        """The permitted candidates in their order: int64 (n,) indices into the k columns."""
        return self.view.passed(self.permitted_bits)[1]

    @lazy_property
    def profiled(self) -> bool:
        """Whether a personal score may be computed."""
        return may_profile(self.permissions)

    def cites(self, candidate: int) -> dict[str, str]:
        """Return purpose -> the record that permits it, for the purposes that a candidate needs.

        A candidate that passes has at least one, because `brain check` refuses an action without a purpose.
        """
        needed = (purpose for purpose, members in self.view.purposes if members.mask[candidate])
        return {p: cited for p in needed if (cited := self.permissions[p].cites) is not None}

    @property
    def gates(self) -> dict[str, int]:
        """Gate -> how many candidates it was the first to stop."""
        counts: dict[str, int] = {}
        for stop in self.stops:
            counts[stop.gate] = counts.get(stop.gate, 0) + stop.candidates.bit_count()
        return counts

    @property
    def withheld_count(self) -> int:
        """The number of requested candidates that did not pass."""
        return self.requested_bits.bit_count() - self.permitted_bits.bit_count()

    @property
    def withheld(self) -> tuple[Withheld, ...]:
        """The requested candidates that did not pass, each with the gate that stopped it."""
        stopped = sorted((i, stop) for stop in self.stops for i in positions_of(stop.candidates))
        return tuple(Withheld(self.view.ids[i], s.gate, s.why, self._seen(s.rule)) for i, s in stopped)

    def _seen(self, rule: Rule | None) -> dict[str, Value | None]:
        return {} if rule is None else rule.facts_seen(self.facts)


def screen(case: Case, facts: Facts, arm: str | None = None) -> Screened:
    """Screen the candidates that some placement of the request can show.

    :param arm: a control group to screen for instead of the customer's own
    """
    view, requested, arm = case.view, case.requested(), arm or arms.arm_for(case)
    sieve = _Sieve(requested)
    allowed = case.permissions
    _standing_gates(sieve, case, facts)
    _consent_gates(sieve, view, allowed)
    truths = view.screened(facts, case.history)
    if case.unreadable:
        truths = _protecting(view, truths, case.unreadable)
    _rule_gates(sieve, case, facts, truths)
    room = _contact_gates(sieve, case, facts)
    if truths != view.passing:
        _content_gates(sieve, view, truths[len(view.gates) :])
    value = worth(view, facts, may_profile(allowed), case.now_us, case.history)
    _holdout_gate(sieve, view, arm)
    weighed = arms.weighed(value, view.tier, arm)
    return Screened(
        view=view,
        facts=facts,
        arm=arm,
        permissions=allowed,
        worth=weighed,
        limits=room,
        requested_bits=requested,
        permitted_bits=sieve.alive,
        stops=tuple(sieve.stops),
    )


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


def moment_happens(release: Release, ask: Ask, known: Known, now_us: int) -> bool:
    """Tell whether the moment that `ask` names is TRUE; UNKNOWN is not, nor is one by what may not be read.

    Raises NotFound if it is not released.
    """
    moment = release.moment(ask.moment or "")
    rule, case = release.rule(moment.when), undrawn_case(ask, known, release, now_us)
    if not case.refused.isdisjoint(release.purposes_of_moment(moment)):
        return False
    facts = readable(release, case.facts(), case.permissions.get(EMOTION))
    return rule.truth(facts, case.history) is True


def _standing_gates(sieve: _Sieve, case: Case, facts: Facts) -> None:
    view, person, account = case.view, case.known.person, case.known.account
    if person.erased or (account is not None and account.erased):
        sieve.stop(sieve.alive, "subject:erased", "the customer asked to be forgotten")
    if person.restricted or (account is not None and account.restricted):
        sieve.stop(sieve.alive, "subject:restricted", "processing is restricted")
    if not view.dated_from_us <= case.now_us < view.dated_until_us:
        outside = (view.starts_us > case.now_us) | (view.ends_us <= case.now_us)
        sieve.stop(bits_of(outside), "action:dates", "outside its dates")
    for action in sorted(case.context.paused & view.rows_by_action.keys()):
        sieve.stop(view.bits_of_action(action), "action:paused", "paused")
    for action in sorted(person.excluded & view.rows_by_action.keys()):
        sieve.stop(view.bits_of_action(action), "contest:excluded", "a person decided so, as the customer asked for")
    if person.at_a_person and not view.channel.human:
        sieve.stop(bits_of(view.sells_or_lends), "handover:open", "a person has this customer, or is about to")
    sieve.stop(view.needs_person.bits, AUTOMATION, "needs a person, and this channel has none")
    for gate in view.intent_limits:
        if sieve.alive & gate.members.bits and not gate.passes(gate.rule.truth(facts, case.history)):
            why = "what the customer wants needs a person, and this channel has none"
            sieve.stop(gate.members.bits, gate.id, why, gate.rule)
    if account is None:
        sieve.stop(view.account_members.bits, "action:account", "concerns an account, and the request names none")
    if asked := case.ask.issues:
        others = np.asarray([action.issue not in asked for action in view.actions], dtype=np.bool_)
        sieve.stop(bits_of(others), "request:issues", "the request is about other issues")
    if (asked_for := case.ask.negotiation) is not None:
        negotiated = negotiable(case.release, view.channel.id, asked_for.take)
        sieve.stop(sieve.alive & ~negotiated, "request:negotiation", "it is not what is negotiated about")


def _consent_gates(sieve: _Sieve, view: View, allowed: Mapping[str, Permission]) -> None:
    for purpose, members in view.purposes:
        permission = allowed[purpose]
        if not permission.allowed:
            sieve.stop(members.bits, f"consent:{purpose}", permission.why)
        elif permission.groups is not None:
            others = np.asarray([a.group not in permission.groups for a in view.actions], dtype=np.bool_)
            why = f"{permission.cites} is about other products"
            sieve.stop(members.bits & bits_of(others), f"consent:{purpose}", why)


def _rule_gates(sieve: _Sieve, case: Case, facts: Facts, truths: Truths) -> None:
    view = case.view
    if truths == view.passing:
        for gate in view.gates_per_action:
            _per_action_gate(sieve, gate, case, facts)
        return
    for gate, truth in zip(view.gates, truths, strict=False):
        if gate.rule.per_action:
            _per_action_gate(sieve, gate, case, facts)
        elif not gate.passes(truth):
            sieve.stop(gate.members.bits, gate.id, _verdict(truth, gate), gate.rule)


def _protecting(view: View, truths: Truths, unreadable: frozenset[str]) -> Truths:
    """Return the truths with every protection unknown that reads what may not be read, whatever its default is.

    Who does not let a fact be read is protected as if it held.
    """
    own = (
        None if gate.id.startswith("protection:") and not unreadable.isdisjoint(gate.rule.reads) else truth
        for gate, truth in zip(view.gates, truths, strict=False)
    )
    return (*own, *truths[len(view.gates) :])


def _per_action_gate(sieve: _Sieve, gate: Gate, case: Case, facts: Facts) -> None:
    view, verdicts = case.view, dict[str, bool | None]()
    for i in positions_of(sieve.alive & gate.members.bits):
        action = view.actions[i].id
        if action not in verdicts:
            verdicts[action] = gate.rule.truth(facts, case.history, action)
        if not gate.passes(verdicts[action]):
            sieve.stop(1 << i, gate.id, _verdict(verdicts[action], gate), gate.rule)


def _contact_gates(sieve: _Sieve, case: Case, facts: Facts) -> Limits:
    settings, view, now_us = case.release.catalogue.settings, case.view, case.now_us
    named = facts.get(settings.time_zone_feature) if settings.time_zone_feature else settings.time_zone
    zone = named if isinstance(named, str) else None
    if quiet(view.channel.quiet_hours, zone, now_us) is not False:
        sieve.stop(sieve.alive, "contact:quiet-hours", "quiet hours where the customer is")
    for after, action in suppressed(view, case.known, now_us):
        sieve.stop(view.bits_of_action(action), f"suppressed:{after}", f"after the outcome {after}")
    room, full = limits(view, case.known, zone, now_us)
    for cap, members in full:
        sieve.stop(bits_of(members), f"cap:{cap.id}", f"shown as often as it may be: {_allowed(cap, zone, now_us)}")
    for budget, too_dear in over_budget(case.release, case.ask, case.known, now_us):
        sieve.stop(too_dear, f"budget:{budget}", "it gives away more than is left for this customer")
    return room if case.ask.negotiation is None else side_by_side(room)


def _allowed(cap: Cap, zone: str | None, now_us: int) -> str:
    """Return how often a cap allows contacts, and by which clock."""
    if cap.per is None:
        return cap.in_words
    if local_time(zone, now_us) is None:
        hours = UNKNOWN_ZONE_US[cap.per] // HOUR_US
        return f"{cap.in_words}, counted over {hours} hours, as the time zone is unknown"
    return f"{cap.in_words}, by the calendar in {zone}"


def _content_gates(sieve: _Sieve, view: View, truths: Truths) -> None:
    """Stop texts that name an unknown fact or claim what no fact proves; "known" means what it means in rules.

    :param truths: of `view.content_rules`
    """
    for (name, is_known, members), truth in zip(view.placeholders, truths, strict=False):
        if truth is not True:
            why = "the text names a fact that is not known"
            sieve.stop(members.bits, f"placeholder:{name}", why, is_known)
    for (kind, proof, members), truth in zip(view.claims, truths[len(view.placeholders) :], strict=True):
        if truth is not True:
            sieve.stop(members.bits, f"claim:{kind}", "the text claims what this fact does not prove", proof)


def _holdout_gate(sieve: _Sieve, view: View, arm: str) -> None:
    """The last of the filters: a holdout is sold nothing."""
    if arm == "holdout":
        why = "one of the customers whom nothing is sold, to compare with"
        sieve.stop(view.commercial.bits, "arm:holdout", why)


def _verdict(truth: bool | None, gate: Gate) -> str:
    value = "unknown" if truth is None else str(truth).lower()
    return f"{'deny' if gate.deny else 'permit'} rule is {value}: {gate.rule.text}"


def rule_is_unknown(withheld: Withheld) -> bool:
    """Tell whether a candidate did not pass since it is not known whether a rule holds."""
    return withheld.why.startswith(("deny rule is unknown: ", "permit rule is unknown: "))
