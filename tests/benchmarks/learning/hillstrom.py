"""Hillstrom's e-mails: values of policies with intervals, Qini, and whether ranking by uplift gains.

Each half of the 64,000 customers is evaluated by models of the other half. Values are doubly robust. The figures of
six splits, values and limits of intervals alike, are averaged, because all six are of the same customers.
"""

from collections.abc import Mapping
from statistics import mean

import numpy as np

from tests.benchmarks.learning.parts import Figures, Line, Part, Run
from tests.training.conftest import absent, data_path, read_hillstrom
from training.evaluation.policies import Question, Reward
from training.evaluation.ranking import PLAIN, UPLIFT, Rankings, compare_rankings, rankings
from training.fitting.propensity import Recipe, fit
from training.fitting.uplift import Contrasts, with_effects
from training.model.frame import Floats, TrainingSet

SEEDS = range(6)
NOTHING = "No E-Mail"
RATES = {"always Mens E-Mail": 0.1828, "always Womens E-Mail": 0.1514, "always No E-Mail": 0.1062}
"""Published rates of visits, which the raw means equal exactly."""
NAME = "data/hillstrom/hillstrom.csv"
UNITS: dict[Reward, str] = {"outcome": "visits per customer", "value_eur": "dollars per customer"}


def run(seed: int) -> Figures:
    """Return the figures for both rewards, or the reason why the data set is absent."""
    if missing := absent(NAME):
        return {"absent": missing}
    data = campaign_contrasts(read_hillstrom(data_path(NAME)), NOTHING)
    return {reward: cross_fitted(data, seed, reward, Recipe(seed=seed)) for reward in UNITS}


def cross_fitted(data: Contrasts, seed: int, reward: Reward, recipe: Recipe) -> Figures:
    """Return the comparison in which each customer is ranked by models of the half that they are not in."""
    half = np.random.default_rng(seed).random(len(data)) < 0.5
    parts = [_rankings_of_others(data, half, learn, reward, recipe) for learn in (half, ~half)]
    whole = Rankings(
        _joined(half, [p.propensity for p in parts]),
        _joined(half, [p.uplift for p in parts]),
        {name: _joined(half, [p.policies[name] for p in parts]) for name in parts[0].policies},
    )
    return compare_rankings(data, whole, Question(reward=reward, seed=seed))


def _rankings_of_others(
    data: Contrasts, half: np.ndarray, learn: np.ndarray, reward: Reward, recipe: Recipe
) -> Rankings:
    """Return the rankings of the customers who are not in `learn`, by a model of those who are."""
    training = data.take(learn)
    rows = training.rows
    mine = [rows.label & (rows.action == a) for a in range(len(rows.actions))]
    worth = [float(rows.value_eur[m].mean()) if reward == "value_eur" else 1.0 for m in mine]
    model = with_effects(fit(training.own_outcomes, recipe), training)
    return rankings(model, data.take(~learn), np.array(worth), NOTHING)


def campaign_contrasts(data: TrainingSet, nothing: str) -> Contrasts:
    """Return the contrasts of a campaign with a control arm, the action `nothing`: each other action against it."""
    control = np.array([a == nothing for a in data.actions], dtype=np.bool_)
    is_chosen = data.action[:, None] == np.arange(len(data.actions))
    usable = (is_chosen | control[data.action][:, None]) & ~control
    permitted = np.ones(usable.shape, dtype=np.bool_)
    chance = np.where(usable, data.probability[:, None], np.nan)
    outcomes, untold = usable & data.label[:, None], np.zeros(len(data), dtype=np.bool_)
    return Contrasts(data, permitted, usable, outcomes, np.arange(len(data)), chance, untold)


def _joined(half: np.ndarray, parts: list[Floats]) -> Floats:
    """Return the rows of both parts in their places; the first part is of those outside the half."""
    whole = np.empty((len(half), parts[0].shape[1]))
    whole[~half], whole[half] = parts
    return whole


def _lines(results: Mapping[str, Figures]) -> list[Line]:
    if absent := next((f["absent"] for f in results.values() if "absent" in f), None):
        return [Line("Hillstrom", f"skipped: {absent}")]
    return [
        line for reward, unit in UNITS.items() if results for line in _of([f[reward] for f in results.values()], unit)
    ]


def _of(figures: list[Figures], unit: str) -> list[Line]:
    lines = []
    for n, row in enumerate(figures[0]["rankings"]):
        of_policy = [f["rankings"][n] for f in figures]
        rate = RATES.get(row["policy"]) if unit.startswith("visits") else None
        held = None if rate is None else all(t["worth"]["low"] < rate < t["worth"]["high"] for t in of_policy)
        worth = _interval([t["worth"] for t in of_policy])
        lines.append(Line(f"{unit}: {row['policy']}", worth, f"holds {rate}" if rate else "", held))
    others = [n for n, row in enumerate(figures[0]["rankings"]) if row["policy"] != UPLIFT]
    lines += [_gain([f["rankings"][n] for f in figures], unit) for n in others]
    if unit.startswith("visits"):
        lines += [line for n in range(len(figures[0]["uplift"])) for line in _qini([f["uplift"][n] for f in figures])]
    return lines


def _gain(rows: list[Figures], unit: str) -> Line:
    """Return the gain of ranking by uplift over a policy; it is claimed only if it is above 0 in every split."""
    more = [r["uplift_earns_more"] for r in rows]
    claimed = all(m["low"] > 0.0 for m in more)
    what = f"{unit}: {UPLIFT} less {rows[0]['policy']}"
    return Line(what, f"{_interval(more)}: {'a gain' if claimed else 'no gain claimed'}")


def _qini(rows: list[Figures]) -> list[Line]:
    action = rows[0]["action"]
    return [
        Line(f"{action}: effect on visits", _interval([r["effect"] for r in rows])),
        Line(f"{action}: Qini {UPLIFT}", _interval([r["qini_by_uplift"] for r in rows])),
        Line(f"{action}: Qini {PLAIN}", _interval([r["qini_by_propensity"] for r in rows])),
        Line(f"{action}: Qini gained", _interval([r["qini_gain"] for r in rows])),
    ]


def _interval(intervals: list[Figures]) -> str:
    value, low, high = (mean(t[key] for t in intervals) for key in ("value", "low", "high"))
    return f"{value:.4f} ({low:.4f} to {high:.4f})"


HILLSTROM = Part([Run(f"seed/{s}", run, (s,)) for s in SEEDS], _lines)
