"""Uplift over doing nothing: what of an action's outcome came where it was shown, and where it could have been and was
not; and an S-learner of it.

One regression per action on (features, shown) of rows weighted by the inverse of their recorded probability: the
features' share first, then that of being shown and its interactions with every feature, under a prior around the one of
all actions whose precision is learned (MacKay 1992), so that thin data give one effect for all, and none at all a
small one. Kuenzel, Sekhon, Bickel and Yu 2019 call one model of both arms the S-learner; the level comes from the
propensities, trees and calibration included, and the effect in log-odds from here.
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
"""Outcomes, shown or not, without which no uplift is learned."""
_MOST_ROWS = 500_000
"""Of all actions and both arms together, the latest of each; they are held as inputs three times."""
_TIGHTNESS, _ROUNDS = 30.0, 5
_LEVEL, _SHOWN = 1e-3, 1.0
"""Precision of the prior on how often the outcome comes, and on what showing does to the average customer."""


@dataclass(frozen=True, slots=True, eq=False)
class Contrasts:
    """Choices among actions, and what came of every action whatever was chosen.

    `rows`: n of them; its label and value are of all that came, of whichever action. `permitted` (n, k): what could be
    chosen. `usable` (n, k): rows that tell of an action, as it was shown, or could have been and was not. `came`
    (n, k): whether its outcome did. `unit` (n,): codes of the customers; rows of one are not independent.
    """

    rows: TrainingSet
    permitted: Bools
    usable: Bools
    came: Bools
    unit: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Bools) -> "Contrasts":
        """The rows of a mask."""
        permitted, usable, came = (mask[rows] for mask in (self.permitted, self.usable, self.came))
        return Contrasts(self.rows.take(rows), permitted, usable, came, self.unit[rows])

    def split(self, share: float, seed: int) -> tuple["Contrasts", "Contrasts"]:
        """Two disjoint random parts, the first with about `share` of the customers; nobody is in both."""
        first = np.random.default_rng(seed).random(int(self.unit.max(initial=-1)) + 1) < share
        return self.take(first[self.unit]), self.take(~first[self.unit])

    @property
    def own(self) -> TrainingSet:
        """The rows with the outcome of what was chosen as label; after doing nothing, that of any action."""
        taken = self.came[np.arange(len(self)), self.rows.action]
        chosen = np.asarray(self.usable.any(axis=0), dtype=np.bool_)[self.rows.action]
        return replace(self.rows, label=np.where(chosen, taken, self.rows.label))

    def latest(self, action: int, most: int) -> "Contrasts":
        """At most so many rows that tell of an action and in which it was shown, and as many in which it was not."""
        shown = self.rows.action == action
        arms = (np.flatnonzero(self.usable[:, action] & arm)[-most:] for arm in (shown, ~shown))
        return self.take(np.isin(np.arange(len(self)), np.concatenate(list(arms))))

    def withheld(self, action: int) -> tuple[Bools, ControlRows]:
        """The rows (n,) that tell of an action, and what they tell; Refused where they are too few."""
        rows = self.usable[:, action]
        shown = self.rows.action[rows] == action
        came = self.came[rows, action].astype(np.float64)
        told = ControlRows(shown, came, self.rows.probability[rows], self.unit[rows])
        if (events := int(came.sum())) < MIN_EVENTS:
            raise Refused(f"uplift: its outcome came {events} times in all, {MIN_EVENTS} are needed")
        if not came[~shown].any():
            raise Refused(
                "uplift: no outcome of it was ever told without an offer, so nobody knows what comes by itself"
            )
        return rows, told


def of_trial(data: TrainingSet, nothing: str) -> Contrasts:
    """A campaign with a control arm, the action `nothing`: each other action against that one alone."""
    control = np.array([a == nothing for a in data.actions], dtype=np.bool_)
    taken = data.action[:, None] == np.arange(len(data.actions))
    usable = (taken | control[data.action][:, None]) & ~control
    everything = np.ones(usable.shape, dtype=np.bool_)
    return Contrasts(data, everything, usable, usable & data.label[:, None], np.arange(len(data)))


def with_effects(model: PropensityModel, data: Contrasts) -> PropensityModel:
    """The model, with the effect of every action of which `data` tell; the others have none. Features as in `data`."""
    told = _told(data)
    if not told:
        return model
    with threadpool_limits(1, "blas"):
        found = _effects(model, list(told.values()))
    weights = np.full(model.weights.shape, np.nan)
    for action, effect in zip(told, found, strict=True):
        at = model.resolve(data.rows.actions[action], data.rows.groups[action])
        if at < len(model.actions):
            weights[at] = effect
    return replace(model, effects=Effects(weights))


def known(model: PropensityModel, data: Contrasts) -> list[dict[str, str | bool | None]]:
    """Of every action that some row tells of: whether the model knows its uplift, and why not."""
    reasons = unknown(data)
    told = [a for a, name in enumerate(data.rows.actions) if data.usable[:, a].any() and name in model.actions]
    names = [data.rows.actions[a] for a in told]
    return [{"action": name, "uplift": name not in reasons, "why": reasons.get(name)} for name in names]


def unknown(data: Contrasts) -> dict[str, str]:
    """Why nothing is known of the uplift of an action, by action; of those that some row tells of."""
    reasons = {}
    for a, action in enumerate(data.rows.actions):
        if not data.usable[:, a].any():
            continue
        try:
            data.withheld(a)
        except Refused as refused:
            reasons[action] = str(refused)
    return reasons


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """The rows (m,) of one action; being shown is centred by weight, so that it tells nothing of the features."""

    x: Floats
    shown: Floats
    came: Bools
    weight: Floats


def _told(data: Contrasts) -> dict[int, _Told]:
    found, reasons = {}, unknown(data)
    known = [a for a, name in enumerate(data.rows.actions) if data.usable[:, a].any() and name not in reasons]
    for a in known:
        own = data.latest(a, _MOST_ROWS // (2 * len(known)))
        rows, told = own.withheld(a)
        inverse = 1.0 / told.probability
        for arm in (told.shown, ~told.shown):  # an arm counts for as many rows as it is worth
            inverse[arm] *= effective_size(inverse[arm]) / inverse[arm].sum()
        shown = np.asarray(told.shown - float(inverse[told.shown].sum() / inverse.sum()), dtype=np.float64)
        found[a] = _Told(own.rows.x[rows], shown, told.came > 0.0, inverse)
    return found


def _effects(model: PropensityModel, told: list[_Told]) -> list[Floats]:
    """Per action the weights (width,) of being shown: first of all actions together, then of each around those."""
    inputs = [model.design.columns(t.x).T for t in told]
    level = _fitted([_problem(z, t, _usual(t, z.shape[1]), _LEVEL) for z, t in zip(inputs, told, strict=True)])
    offsets = [z @ w for z, w in zip(inputs, level, strict=True)]
    moved = [z * t.shown[:, None] for z, t in zip(inputs, told, strict=True)]
    around = np.zeros(model.design.width)
    if len(told) > 1:
        together = _problem(np.vstack(moved), _stacked(told), around, _SHOWN, np.concatenate(offsets))
        around = _fitted([together])[0]
    return _fitted([_problem(m, t, around, _SHOWN, o) for m, t, o in zip(moved, told, offsets, strict=True)])


def _stacked(told: list[_Told]) -> _Told:
    parts = [(t.x, t.shown, t.came, t.weight) for t in told]
    return _Told(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _usual(told: _Told, width: int) -> Floats:
    """No feature counts, and the outcome comes as often as it does: weights (width,)."""
    rate = float(np.average(told.came, weights=told.weight))
    return np.append(np.log(rate / (1.0 - rate)), np.zeros(width - 1))


def _problem(
    design: Floats, told: _Told, prior: Floats, precision: float, offset: Floats | None = None
) -> RidgeProblem:
    """The first column keeps its precision; the others share one that is learned."""
    pooled = np.ones(design.shape[1], dtype=np.bool_)
    pooled[0] = False
    own = np.full(design.shape[1], precision)
    return RidgeProblem(design, told.came, prior, own, pooled, offset, told.weight)


def _fitted(problems: list[RidgeProblem]) -> list[Floats]:
    fits, _ = fit_pooled(problems, _TIGHTNESS, _ROUNDS)
    return [f.weights for f in fits]
