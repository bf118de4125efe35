"""What a candidate is worth in euros, and its weights: the factors of priority besides propensity."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.view import Amounts, View, Weight
from decisioning.facts.schema import Facts
from decisioning.rules import History


@dataclass(frozen=True)
class Worth:
    """Columns (k,): value and cost in euros, context weight and lever. `applied`: the weights that make up `weight`."""

    value_eur: NDArray[np.float64]
    cost_eur: NDArray[np.float64]
    weight: NDArray[np.float64]
    lever: NDArray[np.float64]
    applied: tuple[Weight, ...]

    def priority(self, propensity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (propensity x value - cost) x context weight x lever, euros (k,); row by row, in this order."""
        return (propensity * self.value_eur - self.cost_eur) * self.weight * self.lever

    def priority_of(self, i: int, propensity: float) -> float:
        """Return the priority of one row: the same operations in the same order, so the same bits."""
        return float((propensity * self.value_eur[i] - self.cost_eur[i]) * self.weight[i] * self.lever[i])


def worth(view: View, facts: Facts, profiled: bool, now_us: int, history: History) -> Worth:
    """Return the worth of every candidate.

    If the customer is not profiled, amounts are those of a typical customer, and weights that read more than the
    request do not apply. The amounts of a typical customer also replace those with an unknown fact: an amount is no
    filter, and a customer who allows less must not get what allowing more kept out.
    """
    if not profiled:
        applied = tuple(w for w in view.weights if not w.personal and w.rule.truth(facts, history) is True)
        return Worth(view.value.typical, view.cost.typical, _weights(view, applied), _levers(view, now_us), applied)
    return worth_of(view, view.weighed(facts, history), now_us)


def worth_of(view: View, results: Sequence[float | None], now_us: int) -> Worth:
    """Return the worth of every candidate to a customer who is profiled.

    :param results: what `View.weighed` gives
    """
    n_values, n_costs = len(view.value.expressions), len(view.cost.expressions)
    value = _amounts(view.value, results[:n_values])
    cost = _amounts(view.cost, results[n_values : n_values + n_costs])
    applied = tuple(w for w, truth in zip(view.weights, results[n_values + n_costs :], strict=True) if truth is True)
    return Worth(value, cost, _weights(view, applied), _levers(view, now_us), applied)


def _amounts(amounts: Amounts, values: Sequence[float | None]) -> NDArray[np.float64]:
    if not values:
        return amounts.constant
    euros = amounts.constant.copy()
    euros[amounts.rows] = np.asarray(values, dtype=np.float64)[amounts.of_expression]  # None becomes NaN
    return np.where(np.isnan(euros), amounts.typical, euros) if None in values else euros


def _weights(view: View, applied: Iterable[Weight]) -> NDArray[np.float64]:
    weight = np.ones(len(view))
    for w in applied:
        weight[w.members] *= w.factor
    return weight


def _levers(view: View, now_us: int) -> NDArray[np.float64]:
    lever = np.ones(len(view))
    for i in view.lever_rows:
        lever[i] = view.actions[i].lever_at(now_us)
    return lever
