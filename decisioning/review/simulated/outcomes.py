"""What one release decides for a customer, in the figures by which two releases are compared. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import COMMERCIAL_ISSUES
from decisioning.catalogue.view import COMMERCIAL_TIER, View
from decisioning.deciding.arbitration import Field
from decisioning.deciding.record import Computation, Decision
from decisioning.facts.forms import Issue
from decisioning.facts.schema import Value
from decisioning.records.kept import KeptPick
from decisioning.times import WEEK_US

ABSENT = "release:absent"
"""Stands for the reason why a release that does not have the place offers nothing there."""
NOTHING = "nothing"
"""Stands for the first offer where nothing is offered."""


@dataclass(frozen=True, slots=True)
class SimulatedOffer:
    """One offer. `expected_eur`: propensity (or uplift, if that ranks) x value - cost, without weights and levers.

    `evidence`: how many independent rows the propensity rests on.
    """

    action: str
    treatment: str
    issue: Issue
    expected_eur: float
    evidence: float

    @property
    def sells(self) -> bool:
        return self.issue in COMMERCIAL_ISSUES

    @property
    def helps(self) -> bool:
        return not self.sells


@dataclass(frozen=True, slots=True)
class SimulatedDecision:
    """What one release decides for a customer in one place.

    `offers`: in the order of the request. `empty`: why nothing at all is offered, a code; None if something is.
    `best`: the action that would come first if nothing were left to chance. `gates`: those that stopped something.
    `arm`: the control group, or that of everybody else. `contacts`: how many contacts the customer had in the week
    before that count for caps.
    """

    offers: tuple[SimulatedOffer, ...] = ()
    empty: str | None = ABSENT
    best: str | None = None
    gates: frozenset[str] = frozenset()
    arm: str = ""
    contacts: int = 0

    @property
    def first(self) -> str | None:
        """The action of the first offer, or None if nothing is offered."""
        return self.offers[0].action if self.offers else None

    @property
    def expected_eur(self) -> float:
        return sum(offer.expected_eur for offer in self.offers)

    @property
    def sells(self) -> bool:
        return any(offer.sells for offer in self.offers)

    def sells_for(self, issue: Issue) -> bool:
        """Tell whether an offer sells for this goal of the business."""
        return any(offer.issue == issue for offer in self.offers)

    def expected_of(self, issue: Issue) -> float:
        """Return what the offers of an issue are expected to bring."""
        return sum(offer.expected_eur for offer in self.offers if offer.issue == issue)

    @property
    def help(self) -> tuple[str, ...]:
        """The actions of service and hardship that are offered."""
        return tuple(offer.action for offer in self.offers if offer.helps)

    @property
    def capped(self) -> bool:
        """Whether a cap stopped something."""
        return any(gate.startswith("cap:") for gate in self.gates)


@dataclass(frozen=True, slots=True)
class SimulatedCustomer:
    """One customer in one place of a channel under two releases. `customer` is a name or a stream.

    `place`: the channel and its placement, such as `web hero`. `as_before_eur`: what the offers of `after` are expected
    to bring by the values and costs of `before`. `groups`: protected feature -> the customer's value.
    """

    customer: str
    place: str
    before: SimulatedDecision
    after: SimulatedDecision
    as_before_eur: float
    groups: Mapping[str, Value] = field(default_factory=dict)

    @property
    def moved(self) -> bool:
        """Whether the first offer is another."""
        return self.before.first != self.after.first

    @property
    def by_chance(self) -> bool:
        """Whether the first offer is another although the best one is the same: the odds alone changed."""
        return self.moved and self.before.best == self.after.best

    @property
    def flow(self) -> tuple[str, str | None, str | None]:
        """The place, and the first offer before and after."""
        return self.place, self.before.first, self.after.first

    @property
    def loses_help(self) -> bool:
        """Whether help or service was offered before, and none is now."""
        return bool(self.before.help) and not self.after.help

    @property
    def gains_help(self) -> bool:
        return bool(self.after.help) and not self.before.help


def outcome_of(decision: Decision) -> SimulatedDecision:
    """Return a decision in the figures by which it is compared."""
    computed, kept = decision.computed, decision.kept
    offers = tuple(_offered(computed, pick) for pick in kept.offers)
    person, now_us = computed.case.known.person, computed.case.now_us
    return SimulatedDecision(
        offers,
        None if offers else next((why for why in kept.empty if why is not None), "no_candidates"),
        _best(computed),
        frozenset(stop.gate for stop in computed.screened.stops),
        kept.arm,
        sum(contact.at_us > now_us - WEEK_US and contact.counts_at(now_us) for contact in person.contacts),
    )


def compared_for(customer: str, before: Decision | None, after: Decision | None) -> SimulatedCustomer:
    """Return the comparison of two decisions, of which one is None if its release does not have the place."""
    some = after or before
    if some is None:
        raise ValueError("expected the decision of one release at least")
    return SimulatedCustomer(
        customer,
        _place(some),
        SimulatedDecision() if before is None else outcome_of(before),
        SimulatedDecision() if after is None else outcome_of(after),
        0.0 if after is None else _valued_by(None if before is None else before.computed, after),
        protected_of(some.computed),
    )


def _place(decision: Decision) -> str:
    ask = decision.computed.case.ask
    return " ".join([ask.channel, *(placement.name for placement in ask.placements)])


def protected_of(computed: Computation) -> dict[str, Value]:
    """Return the values of the customer's protected features that are known."""
    features = computed.release.schema.features
    known = {name: value for name, value in computed.facts.items() if name in features}
    return {n: value for n, value in known.items() if value is not None and "protected" in features[n].tags}


def _best(computed: Computation) -> str | None:
    """Return the action of the highest tier and priority in the first slot that has one."""
    ranking = computed.ranking
    field, room = ranking.without_held_help, ranking.limits.room
    for slot in ranking.slots:
        open_to = np.flatnonzero(field.permitted & slot.members & room & _worth_offering(field))
        if len(open_to):
            return computed.view.actions[min(open_to.tolist(), key=lambda i: (field.tier[i], -field.priority[i]))].id
    return None


def _worth_offering(field: Field) -> NDArray[np.bool_]:
    return np.asarray((field.tier != COMMERCIAL_TIER) | (field.priority > 0.0), dtype=np.bool_)


def _offered(computed: Computation, pick: KeptPick) -> SimulatedOffer:
    action = computed.view.actions[pick.row]
    evidence = computed.scores.evidence.item(pick.at)
    expected = _expected_eur(computed, pick.row, likely_of(computed, pick))
    return SimulatedOffer(action.id, computed.view.ids[pick.row], action.issue, expected, evidence)


def likely_of(computed: Computation, pick: KeptPick) -> float:
    """Return what the priority of an offer is computed from: its propensity, or its uplift if that ranks."""
    return float(computed.scores.ranking[pick.at])


def _expected_eur(computed: Computation, row: int, likely: float) -> float:
    worth = computed.screened.worth
    return likely * worth.value_eur.item(row) - worth.cost_eur.item(row)


def _valued_by(before: Computation | None, after: Decision) -> float:
    """Return what a decision's offers are expected to bring by the values of another; by its own where it has none."""
    total, own = 0.0, after.computed
    for pick in after.kept.offers:
        row = None if before is None else rows_of(before.view).get(own.view.ids[pick.row])
        likely = likely_of(own, pick)
        if before is None or row is None:
            total += _expected_eur(own, pick.row, likely)
        else:
            total += _expected_eur(before, row, likely)
    return total


@lru_cache(maxsize=32)
def rows_of(view: View) -> dict[str, int]:
    """Return treatment -> its row in the view."""
    return {treatment: row for row, treatment in enumerate(view.ids)}
