"""What a card claims of rows that its model never saw, and what trees claim that serve: that they predict better."""

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from tests.benchmarks.claims.figures import Case, Told
from tests.benchmarks.claims.returning import KINDS, as_strangers, rows_of
from training.evaluation.metrics import auc
from training.fitting.predict import propensities
from training.fitting.propensity import Recipe, fit
from training.model.frame import TrainingSet
from training.model.logistic import sigmoid
from training.model.model import PropensityModel
from training.reporting.cards import average_propensity
from training.reporting.held_out import auc_figure, held_out_figures, rate_figure

ROWS, NEW_ROWS, ROWS_OF_TREES = 20_000, 40_000, 6_000
BY_CHANCE = 0.16
"""Trees serve once they predict better by a standard error, which chance alone does this often."""
RECIPE, BASE = Recipe(forget=False), Recipe(growth=None, forget=False)


def ranking(seed: int, world: str, slope: float, clustered: bool = True, rows: int = ROWS) -> Told:
    """Return the AUC that a card tells, beside that of the same model for customers who are new.

    :param clustered: False parts rows as if no two were of the same customer
    """
    rng = np.random.default_rng(seed)
    data = rows_of(rng, world, rows, slope)
    learn, held_out = (data if clustered else as_strangers(data)).split(0.7, 0)
    model = fit(learn, RECIPE)
    truth = _auc_of_strangers(model, rng, slope) if slope else 0.5
    told = auc_figure(held_out.label, propensities(model, held_out), held_out.unit)
    if told["value"] is None:
        return Told(truth, false_claim=False)
    claims = told["low"] > 0.5
    return Told(truth, **told, false_claim=None if slope else claims, found=claims if slope else None)


def _auc_of_strangers(model: PropensityModel, rng: np.random.Generator, slope: float) -> float:
    """Return the AUC of a model for customers who are new."""
    new = rows_of(rng, "independent rows", NEW_ROWS, slope)
    return auc(new.label, propensities(model, new))


def trees(seed: int, world: str, steps: float, clustered: bool = True) -> Told:
    """Return whether trees serve; where there are no `steps` they can only know customers by heart.

    :param clustered: False parts rows as if no two were of the same customer
    """
    data = rows_of(np.random.default_rng(seed), world, ROWS_OF_TREES, steps=steps)
    served = fit(data if clustered else as_strangers(data), RECIPE).forests[0] is not None
    return Told(steps, steps * served, false_claim=None if steps else served, found=served if steps else None)


def propensity(seed: int, world: str, clustered: bool = True) -> Told:
    """Return the propensity of the average customer that a card tells, of a model without trees."""
    data = rows_of(np.random.default_rng(seed), world, ROWS)
    model = fit(data if clustered else as_strangers(data), BASE)
    truth, told = _mean_rate(), average_propensity(model, 0)
    return Told(truth, **told, false_claim=not told["low"] <= truth <= told["high"])


def rate(seed: int, world: str, clustered: bool = True) -> Told:
    """Return the rate of an action that a card tells."""
    data = rows_of(np.random.default_rng(seed), world, ROWS)
    truth = _mean_rate()
    told = rate_figure(data.label, data.unit if clustered else None)
    return Told(truth, **told, false_claim=not told["low"] <= truth <= told["high"])


@lru_cache
def _mean_rate() -> float:
    """Return the rate of the customers of `rows_of` who differ by one logit."""
    return float(sigmoid(-1.5 + np.random.default_rng(0).normal(size=1_000_000)).mean())


def calibrated(seed: int, world: str, clustered: bool = True) -> Told:
    """Return the observed less the predicted rate of the highest bin of a card, whose predictions are the truth."""
    rng = np.random.default_rng(seed)
    data = rows_of(rng, world, ROWS, slope=1.0, spread=0.0)
    data = data if world == "independent rows" else _alike(rng, data)
    p = sigmoid(-1.5 + data.x[:, 0])
    card = held_out_figures(data if clustered else as_strangers(data), p, 0.2)["reliability"]
    if not card:
        return Told(0.0, false_claim=False)
    top = card[-1]
    gap, half = top["observed"] - top["predicted"], 1.96 * top["error"]
    return Told(0.0, gap, gap - half, gap + half, false_claim=abs(gap) > half)


def _alike(rng: np.random.Generator, data: TrainingSet) -> TrainingSet:
    """Return rows whose labels are alike within a customer, while every rate stays what it was."""
    assert data.unit is not None
    own = rng.random(int(data.unit.max()) + 1)[data.unit]
    draws = np.where(rng.random(len(data)) < 0.3, own, rng.random(len(data)))
    return replace(data, label=draws < sigmoid(-1.5 + data.x[:, 0]))


def _cases() -> tuple[Case, ...]:
    worlds = list(KINDS)
    return (
        *(Case("AUC of a card", f"no skill, {w}", partial(ranking, world=w, slope=0.0), 400, 0.025) for w in worlds),
        *(Case("AUC of a card", f"skill, {w}", partial(ranking, world=w, slope=0.7), 400, 0.025) for w in worlds),
        *(
            Case("trees", f"{what}, {w}", partial(trees, world=w, steps=steps), 200, BY_CHANCE)
            for what, steps in (("features are noise", 0.0), ("steps that they alone learn", 0.7))
            for w in worlds
        ),
        *(Case("propensity of a card", w, partial(propensity, world=w), 400) for w in worlds),
        *(Case("rate of a card", w, partial(rate, world=w)) for w in worlds),
        *(Case("calibration of a card", w, partial(calibrated, world=w)) for w in worlds),
    )


CASES = _cases()
