"""Uplift over doing nothing: an S-learner on rows in which an action was shown, or could have been and was not.

One regression per action on (features, shown), of rows weighted by the inverse of their probability: 1 / p where it was
shown, 1 / (1 - p) where it was withheld, whatever was shown instead. The
features are fitted first; then being shown and its interactions with every feature, under a prior around the fit of
all actions together, whose precision is learnt (MacKay 1992). So sparse data give one effect for all actions, and
very sparse data a small one. Kuenzel, Sekhon, Bickel and Yu 2019 call one model of both arms the S-learner. The level
comes from the propensities, trees and calibration included; only the effect, in log-odds, comes from here.
"""

from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from decisioning.errors import Refused
from training.fitting.control import ControlRows
from training.fitting.intervals import effective_size
from training.model.effects import Effects
from training.model.frame import Bools, Floats, Ints, TrainingSet
from training.model.logistic import RidgeProblem, fit_pooled
from training.model.model import PropensityModel

MIN_EVENTS = 20
"""Customers with an outcome, shown or not, below which no uplift is learned."""
_MOST_ROWS = 500_000
"""Over all actions and both arms; the latest of each are used. Their inputs are held three times."""
_TIGHTNESS, _ROUNDS = 30.0, 5
_LEVEL_PRECISION, _SHOWN_PRECISION = 1e-3, 1.0
"""Precision of the prior on the rate of the outcome, and on the effect of showing for the average customer."""


@dataclass(frozen=True, slots=True, eq=False)
class Contrasts:
    """n choices among k actions, and the outcomes of every action whichever was chosen.

    `rows`: the choices; label and value count the outcomes of all actions. `permitted` (n, k): what could be chosen.
    `usable` (n, k): whether the row is evidence about an action, because it was shown, or could have been and was not.
    `outcomes` (n, k): whether the action's outcome occurred. `unit` (n,): codes of the customers; rows of one customer
    are not independent. `chance` (n, k): with what probability a usable row came to show the action, or to withhold it.
    `untold` (n,): whether chance decided and the record does not say with what odds, so that the row is no evidence.
    """

    rows: TrainingSet
    permitted: Bools
    usable: Bools
    outcomes: Bools
    unit: Ints
    chance: Floats
    untold: Bools

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Bools) -> "Contrasts":
        """Return the rows of a mask (n,)."""
        permitted, usable, outcomes = (mask[rows] for mask in (self.permitted, self.usable, self.outcomes))
        chance, untold = self.chance[rows], self.untold[rows]
        return Contrasts(self.rows.take(rows), permitted, usable, outcomes, self.unit[rows], chance, untold)

    @property
    def said(self) -> str:
        """On how many choices and customers effects rest, and what was left out, as sentences for the report."""
        evidence = self.usable.any(axis=1)
        customers, untold = len(np.unique(self.unit[evidence])), int(np.count_nonzero(self.untold & ~evidence))
        rest = f"Effects rest on {np.count_nonzero(evidence)} choices that chance made for {customers} customers."
        if not untold:
            return rest
        return (
            f"{rest} {untold} choices are left out, because their records do not tell the odds of each action: "
            "decisions from before record format 5 (December 2026) never do."
        )

    def split(self, share: float, seed: int) -> tuple["Contrasts", "Contrasts"]:
        """Return two disjoint random parts, the first with about `share` of the customers; no customer is in both."""
        first = np.random.default_rng(seed).random(int(self.unit.max(initial=-1)) + 1) < share
        return self.take(first[self.unit]), self.take(~first[self.unit])

    @property
    def own_outcomes(self) -> TrainingSet:
        """The rows with the outcome of the chosen action as label; after doing nothing, the outcome of any action."""
        of_chosen = self.outcomes[np.arange(len(self)), self.rows.action]
        has_evidence = np.asarray(self.usable.any(axis=0), dtype=np.bool_)[self.rows.action]
        return replace(self.rows, label=np.where(has_evidence, of_chosen, self.rows.label))

    def latest(self, action: int, most: int) -> "Contrasts":
        """Return the latest usable rows of an action: at most `most` in which it was shown, and `most` in which not."""
        shown = self.rows.action == action
        arms = (np.flatnonzero(self.usable[:, action] & arm)[-most:] for arm in (shown, ~shown))
        return self.take(np.isin(np.arange(len(self)), np.concatenate(list(arms))))

    def control_rows(self, action: int) -> tuple[Bools, ControlRows]:
        """Return the mask (n,) of an action's usable rows, and those rows; raises Refused if they are too few."""
        rows = self.usable[:, action]
        shown = self.rows.action[rows] == action
        outcome = self.outcomes[rows, action].astype(np.float64)
        control = ControlRows(shown, outcome, self.chance[rows, action], self.unit[rows])
        if (events := len(np.unique(control.unit[outcome > 0.0]))) < MIN_EVENTS:
            raise Refused(f"uplift: {events} customers had its outcome, {MIN_EVENTS} are needed")
        if not outcome[~shown].any():
            raise Refused(
                "uplift: no outcome of it was ever told without an offer, so nobody knows what comes by itself"
            )
        return rows, control


def with_effects(model: PropensityModel, data: Contrasts) -> PropensityModel:
    """Return the model with the effect of every action that has enough evidence in `data`; the others have none.

    The features of `data` must be the model's.
    """
    by_action = _rows_per_action(data)
    if not by_action:
        return model
    with threadpool_limits(1, "blas"):
        effects = _effects(model, list(by_action.values()))
    weights = np.full(model.weights.shape, np.nan)
    for action, effect in zip(by_action, effects, strict=True):
        at = model.resolve(data.rows.actions[action], data.rows.groups[action])
        if at < len(model.actions):
            weights[at] = effect
    return replace(model, effects=Effects(weights))


def uplift_summary(model: PropensityModel, data: Contrasts) -> list[dict[str, str | bool | None]]:
    """Return per action with usable rows whether the model knows its uplift, and if not, why."""
    reasons = reasons_without_uplift(data)
    names = [n for a, n in enumerate(data.rows.actions) if data.usable[:, a].any() and n in model.actions]
    return [{"action": name, "uplift": name not in reasons, "why": reasons.get(name)} for name in names]


def reasons_without_uplift(data: Contrasts) -> dict[str, str]:
    """Return, for the actions with usable rows whose uplift cannot be learnt, the reason by action."""
    reasons = {}
    for a, action in enumerate(data.rows.actions):
        if not data.usable[:, a].any():
            continue
        try:
            data.control_rows(a)
        except Refused as refused:
            reasons[action] = str(refused)
    return reasons


@dataclass(frozen=True, slots=True, eq=False)
class _ActionRows:
    """m rows of one action: features (m, f), `shown` (m,), whether the outcome occurred (m,), and weights (m,).

    `shown` is centred by weight, so that it carries no information about the features.
    """

    x: Floats
    shown: Floats
    outcome: Bools
    weight: Floats


def _rows_per_action(data: Contrasts) -> dict[int, _ActionRows]:
    """Return the latest rows of each action, by position, that has enough evidence."""
    result, reasons = {}, reasons_without_uplift(data)
    usable = [a for a, name in enumerate(data.rows.actions) if data.usable[:, a].any() and name not in reasons]
    for a in usable:
        latest = data.latest(a, _MOST_ROWS // (2 * len(usable)))
        rows, control = latest.control_rows(a)
        weight = 1.0 / control.probability
        for arm in (control.shown, ~control.shown):  # the weights of an arm sum to its effective size
            weight[arm] *= effective_size(weight[arm]) / weight[arm].sum()
        shown = np.asarray(control.shown - float(weight[control.shown].sum() / weight.sum()), dtype=np.float64)
        result[a] = _ActionRows(latest.rows.x[rows], shown, control.outcome > 0.0, weight)
    return result


def _effects(model: PropensityModel, actions: list[_ActionRows]) -> list[Floats]:
    """Return per action the weights (width,) of being shown: fitted for all together, then for each around those."""
    inputs = [model.design.columns(rows.x).T for rows in actions]
    levels = [
        _problem(z, rows, _constant_rate(rows, z.shape[1]), _LEVEL_PRECISION)
        for z, rows in zip(inputs, actions, strict=True)
    ]
    offsets = [z @ w for z, w in zip(inputs, _solve(levels), strict=True)]
    by_shown = [z * rows.shown[:, None] for z, rows in zip(inputs, actions, strict=True)]
    shared = np.zeros(model.design.width)
    if len(actions) > 1:
        together = _problem(np.vstack(by_shown), _stacked(actions), shared, _SHOWN_PRECISION, np.concatenate(offsets))
        shared = _solve([together])[0]
    return _solve(
        [_problem(z, r, shared, _SHOWN_PRECISION, o) for z, r, o in zip(by_shown, actions, offsets, strict=True)]
    )


def _stacked(actions: list[_ActionRows]) -> _ActionRows:
    """Return the rows of all actions, one after the other."""
    parts = [(rows.x, rows.shown, rows.outcome, rows.weight) for rows in actions]
    return _ActionRows(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _constant_rate(rows: _ActionRows, width: int) -> Floats:
    """Return the weights (width,) that give every customer the observed rate."""
    rate = float(np.average(rows.outcome, weights=rows.weight))
    return np.append(np.log(rate / (1.0 - rate)), np.zeros(width - 1))


def _problem(
    design: Floats, rows: _ActionRows, prior: Floats, precision: float, offset: Floats | None = None
) -> RidgeProblem:
    """Return a problem in which the first column has this precision, and the others share one that is learnt."""
    pooled = np.ones(design.shape[1], dtype=np.bool_)
    pooled[0] = False
    precisions = np.full(design.shape[1], precision)
    return RidgeProblem(design, rows.outcome, prior, precisions, pooled, offset, rows.weight)


def _solve(problems: list[RidgeProblem]) -> list[Floats]:
    fits, _ = fit_pooled(problems, _TIGHTNESS, _ROUNDS)
    return [f.weights for f in fits]
