"""What a simulated change does to customers: who moves, money, help, caps and fairness, with intervals over customers.

Intervals are of 95%, and say what other customers of the same company could show. They leave out that scores and values
may be wrong. Money is what offers are expected to bring: propensity x value - cost, without weights and levers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from decisioning.facts.forms import Issue
from decisioning.facts.schema import Value
from decisioning.review.simulated.outcomes import NOTHING, SimulatedCustomer, SimulatedDecision
from training.evaluation.metrics import wilson
from training.fitting.intervals import MIN_CUSTOMERS, MIN_EFFECTIVE, mean_interval
from training.learning.evidence import Guard
from training.learning.fairness import FEWEST_CUSTOMERS, Tally, group_guards
from training.model.frame import Floats

Result = dict[str, Any]
MOST_FLOWS, MOST_GATES, BANDS = 12, 10, 4
Side = Callable[[SimulatedCustomer], SimulatedDecision]
Own = tuple[SimulatedCustomer, ...]
"""The rows of one customer, one per place."""
_T = TypeVar("_T")


def _before(row: SimulatedCustomer) -> SimulatedDecision:
    return row.before


def _after(row: SimulatedCustomer) -> SimulatedDecision:
    return row.after


SIDES: tuple[tuple[str, Side], ...] = (("before", _before), ("after", _after))


def _of(side: Side, figure: Callable[[SimulatedDecision], _T]) -> Callable[[SimulatedCustomer], _T]:
    """Return a figure of one side as a figure of a row."""
    return lambda row: figure(side(row))


def _expected_eur(decision: SimulatedDecision) -> float:
    return decision.expected_eur


class SimulatedPeople:
    """The n customers of some rows, in their order."""

    def __init__(self, rows: Iterable[SimulatedCustomer]) -> None:
        self.rows = tuple(rows)

    @cached_property
    def each(self) -> tuple[Own, ...]:
        by_customer: dict[str, list[SimulatedCustomer]] = defaultdict(list)
        for row in self.rows:
            by_customer[row.customer].append(row)
        return tuple(map(tuple, by_customer.values()))

    @property
    def n(self) -> int:
        return len(self.each)

    def count(self, test: Callable[[SimulatedCustomer], bool]) -> int:
        """Return how many customers pass a test in some place."""
        return sum(any(map(test, own)) for own in self.each)

    def sums(self, figure: Callable[[SimulatedCustomer], float]) -> Floats:
        """Return the sum of a figure over the places of each customer (n,)."""
        return np.array([sum(map(figure, own)) for own in self.each], dtype=np.float64)

    def any(self, test: Callable[[SimulatedCustomer], bool]) -> Floats:
        """Return 1.0 of each customer who passes a test in some place, else 0.0 (n,)."""
        return np.array([any(map(test, own)) for own in self.each], dtype=np.float64)


def change_figures(rows: Iterable[SimulatedCustomer]) -> Result:
    """Return all figures of a simulated change as JSON types; `rows`: at least one customer."""
    people = SimulatedPeople(rows)
    return {
        "customers": people.n,
        "needed_customers": MIN_CUSTOMERS,
        "places": list(_by_place(people)),
        "moved": _moved(people),
        "flows": flows_of(people),
        "money": money_of(people),
        "by_place": [{"place": place, **_figures_of_place(own)} for place, own in _by_place(people).items()],
        "help": help_of(people),
        "nothing": _nothing(people),
        "contacts": _contacts(people),
        "caps": _caps(people),
        "withheld": _withheld(people),
        "fairness": fairness_of(people),
    }


def _by_place(people: SimulatedPeople) -> dict[str, SimulatedPeople]:
    places = dict.fromkeys(row.place for row in people.rows)
    return {place: SimulatedPeople(row for row in people.rows if row.place == place) for place in places}


def _share(hits: int, n: int) -> Result:
    """Return a number of customers and their share with its interval, or without if they are too few to tell."""
    if n < MIN_CUSTOMERS:
        return {"customers": hits, "share": {"value": hits / n, "low": None, "high": None}}
    low, high = wilson(hits, n)
    return {"customers": hits, "share": {"value": hits / n, "low": low, "high": high}}


def _mean(per_customer: Floats, least: int = MIN_CUSTOMERS) -> Result:
    if len(per_customer) < least:
        return {"value": float(per_customer.mean()), "low": None, "high": None}
    interval = mean_interval(per_customer)
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def per_day(per_customer: Floats, days: float) -> Result:
    """Return how often a day something happens before and after, and the change, over all customers.

    :param per_customer: how often it happened to each customer in these days, before and after (n, 2)
    """
    n = len(per_customer)
    before, after = per_customer.T if n else (np.zeros(1), np.zeros(1))
    figures: Result = {}
    for name, counts in (("before", before), ("after", after), ("change", after - before)):
        mean = _mean(counts)
        figures[name] = {at: None if value is None else value * n / days for at, value in mean.items()}
    return figures


def _moved(people: SimulatedPeople) -> Result:
    """Return whose first offer is another in some place; `by_chance`: those whose best offers are all the same."""
    by_chance = sum(_all_by_chance([row for row in own if row.moved]) for own in people.each)
    return {**_share(people.count(lambda row: row.moved), people.n), "by_chance": by_chance}


def _all_by_chance(moved: Sequence[SimulatedCustomer]) -> bool:
    return bool(moved) and all(row.by_chance for row in moved)


def flows_of(people: SimulatedPeople, most: int = MOST_FLOWS) -> list[Result]:
    """Return the largest moves, each from one first offer to another, with the customers who make it."""
    who: dict[tuple[str, str], set[str]] = defaultdict(set)
    where: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for row in people.rows:
        if row.moved:
            flow = row.before.first or NOTHING, row.after.first or NOTHING
            who[flow].add(row.customer)
            where[flow][row.place] = None
    ordered = sorted(who, key=lambda flow: (-len(who[flow]), flow))[:most]
    return [
        {"from": one, "to": other, "customers": len(who[one, other]), "places": list(where[one, other])}
        for one, other in ordered
    ]


def money_of(people: SimulatedPeople) -> Result:
    """Return the money that offers are expected to bring per customer, if each comes once to every place.

    `revalued`: how much of the change is other values or costs of what is offered; the rest is other offers.
    `little_tried`: the share of the money after the change that rests on propensities with little evidence.
    """
    before, after = (people.sums(_of(side, _expected_eur)) for _, side in SIDES)
    as_before = people.sums(lambda row: row.as_before_eur)
    return {
        "before_eur": _mean(before),
        "after_eur": _mean(after),
        "change_eur": _mean(after - before),
        "other_offers_eur": _mean(as_before - before),
        "revalued_eur": _mean(after - as_before),
        "little_tried": _little_tried(people.rows),
    }


def _little_tried(rows: Sequence[SimulatedCustomer]) -> float:
    offers = [(abs(o.expected_eur), o.evidence < MIN_EFFECTIVE) for row in rows for o in row.after.offers]
    total = sum(amount for amount, _ in offers)
    return sum(amount for amount, is_little in offers if is_little) / total if total else 0.0


def _figures_of_place(people: SimulatedPeople) -> Result:
    money = money_of(people)
    return {
        "moved": people.count(lambda row: row.moved),
        "nothing_before": people.count(lambda row: row.before.first is None),
        "nothing_after": people.count(lambda row: row.after.first is None),
        **{name: money[name] for name in ("before_eur", "after_eur", "change_eur")},
    }


def help_of(people: SimulatedPeople) -> Result:
    """Return who loses and who gains help: the service and hardship actions that were offered, and what is instead.

    Those whom a sale takes the place of come first.
    """
    lost = [row for row in people.rows if row.loses_help]
    flows: dict[tuple[bool, str, str], set[str]] = defaultdict(set)
    for row in lost:
        for action in row.before.help:
            flows[not row.after.sells, action, row.after.first or NOTHING].add(row.customer)
    ordered = sorted(flows.items(), key=lambda item: (item[0][0], -len(item[1]), item[0]))
    rows = [
        {"help": action, "instead": instead, "displaced_by_a_sale": not other, "customers": len(who)}
        for (other, action, instead), who in ordered
    ]
    return {
        "lose": people.count(lambda row: row.loses_help),
        "to_a_sale": people.count(lambda row: row.loses_help and row.after.sells),
        "gain": people.count(lambda row: row.gains_help),
        "lost": rows,
    }


def _nothing(people: SimulatedPeople) -> Result:
    """Return who is offered nothing anywhere, before and after, and in how many places for which reason."""
    reasons = {name: Counter(side(row).empty for row in people.rows) for name, side in SIDES}
    codes = sorted({code for counts in reasons.values() for code in counts if code is not None})
    return {
        "before": sum(all(row.before.first is None for row in own) for own in people.each),
        "after": sum(all(row.after.first is None for row in own) for own in people.each),
        "why": [{"reason": code, **{name: reasons[name][code] for name, _ in SIDES}} for code in codes],
    }


def _contacts(people: SimulatedPeople) -> Result:
    """Return the contacts of a customer that caps count, of the week before, and what all places offer them."""
    week = np.array([float(own[0].before.contacts or own[0].after.contacts) for own in people.each])
    offers = {f"offers_{name}": _mean(people.sums(_of(side, _offers))) for name, side in SIDES}
    return {"week": _mean(week), **offers}


def _offers(decision: SimulatedDecision) -> float:
    return float(len(decision.offers))


def _caps(people: SimulatedPeople) -> list[Result]:
    """Return per place the contacts of a week per customer, what would be offered now included, and who is at a cap.

    Contacts of a week are those that caps count, over all channels.
    """
    return [
        {
            "place": place,
            **{f"contacts_{name}": _mean(own.sums(_of(side, _contacts_of_week))) for name, side in SIDES},
            **{f"capped_{name}": own.count(_of(side, lambda decision: decision.capped)) for name, side in SIDES},
        }
        for place, own in _by_place(people).items()
    ]


def _contacts_of_week(decision: SimulatedDecision) -> float:
    return decision.contacts + len(decision.offers)


def _withheld(people: SimulatedPeople) -> list[Result]:
    """Return gates with the customers for whom they stop something, those whose number changes most first."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for own in people.each:
        for n, (_, side) in enumerate(SIDES):
            for gate in frozenset().union(*(side(row).gates for row in own)):
                counts[gate][n] += 1
    ordered = sorted(counts, key=lambda gate: _told_first(gate, *counts[gate]))
    return [{"gate": gate, "before": counts[gate][0], "after": counts[gate][1]} for gate in ordered[:MOST_GATES]]


def _told_first(gate: str, before: int, after: int) -> tuple[int, bool, int, str]:
    """Order gates: what changes, then what protects customers (consents, protections, caps), then what rules ask."""
    protects = gate.partition(":")[0] in ("consent", "protection", "cap", "suppressed", "contact", "arm", "subject")
    return -abs(after - before), not protects, -max(before, after), gate


def fairness_of(people: SimulatedPeople) -> list[Result]:
    """Return per issue that sells and group of a protected feature: the share that is sold something, and its money.

    Numbers are divided into bands of about as many customers. `guard_before` and `guard_after` tell whether the guard
    of models would call the share unfair, and the ratio of shares between the group and everybody else.
    """
    features = sorted({name for row in people.rows for name in row.groups})
    sold = {o.issue for row in people.rows for side in (row.before, row.after) for o in side.offers if o.sells}
    return [row for feature in features for issue in sorted(sold) for row in _fairness_by(people, feature, issue)]


def _fairness_by(people: SimulatedPeople, feature: str, issue: Issue) -> Iterator[Result]:
    groups = _groups(people, feature)
    known = SimulatedPeople(row for members in groups.values() for own in members for row in own)
    group = np.repeat(np.arange(len(groups)), [len(members) for members in groups.values()])
    reached = [known.any(_of(side, lambda decision: decision.sells_for(issue))) for _, side in SIDES]
    guards = [_guards(tuple(groups), group, of_side) for of_side in reached]
    for name, members in groups.items():
        figures = _group(SimulatedPeople(row for own in members for row in own), issue)
        judged = {f"guard_{when}": _judged(guards[n].get(name)) for n, (when, _) in enumerate(SIDES)}
        yield {"feature": feature, "group": name, "issue": issue, **figures, **judged}


def _guards(names: tuple[str, ...], group: NDArray[np.int64], reached: Floats) -> dict[str, Guard]:
    tally = Tally(names, group.astype(np.int64), np.arange(len(group)), np.ones(len(group)), reached)
    return {guard.name.partition("=")[2]: guard for guard in group_guards("reached", tally)}


def _judged(guard: Guard | None) -> Result | None:
    if guard is None:
        return None
    return {"state": guard.state, "ratio": {"value": guard.value, "low": guard.low, "high": guard.high}}


def _groups(people: SimulatedPeople, feature: str) -> dict[str, list[Own]]:
    """Return group -> its members, groups in their order."""
    known = [(own[0].groups[feature], own) for own in people.each if feature in own[0].groups]
    band = _bands([value for value, _ in known])
    members: dict[tuple[float, str], list[Own]] = defaultdict(list)
    for value, own in known:
        members[band(value)].append(own)
    return {name: members[at, name] for at, name in sorted(members)}


def _bands(values: Sequence[Value]) -> Callable[[Value], tuple[float, str]]:
    """Return a function: value -> the place and the name of its group."""
    numbers = np.array([v for v in values if isinstance(v, int | float) and not isinstance(v, bool)], dtype=np.float64)
    if len(numbers) < len(values) or len(np.unique(numbers)) <= BANDS:
        return lambda value: (0.0, ("yes" if value else "no") if isinstance(value, bool) else str(value))
    edges = np.unique(np.quantile(numbers, np.linspace(0.0, 1.0, BANDS + 1), method="higher"))

    def band(value: Value) -> tuple[float, str]:
        at = min(int(np.searchsorted(edges, float(value), side="right")) - 1, len(edges) - 2)
        until = "to" if at == len(edges) - 2 else "to below"
        return float(at), f"{edges[at]:g} {until} {edges[at + 1]:g}"

    return band


def _group(people: SimulatedPeople, issue: Issue) -> Result:
    """Return a group's figures with their intervals, if it is large enough."""
    figures: Result = {"customers": people.n}
    reached = [people.any(_of(side, lambda decision: decision.sells_for(issue))) for _, side in SIDES]
    money = [people.sums(_of(side, lambda decision: decision.expected_of(issue))) for _, side in SIDES]
    for name, (before, after) in (("reached", reached), ("money_eur", money)):
        for when, per_customer in (("before", before), ("after", after), ("change", after - before)):
            figures[f"{name}_{when}"] = _mean(per_customer, FEWEST_CUSTOMERS)
    return figures
