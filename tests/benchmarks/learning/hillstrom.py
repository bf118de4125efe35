"""Hillstrom's e-mails: what every policy is worth, with intervals, Qini, and what may be claimed of ranking by uplift.

Both halves of the 64,000 customers are judged by models of the other half. Values are doubly robust; the figures of six
ways to halve are averaged, values and ends of intervals alike, as all six are of the same customers.
"""

from collections.abc import Mapping
from statistics import mean

import numpy as np

from tests.benchmarks.learning.parts import Figures, Line, Part, Run
from tests.training.conftest import absent, beside, read_hillstrom
from training.evaluation.policies import Question, Reward
from training.evaluation.ranking import PLAIN, UPLIFT, Rankings, compare_rankings, rankings
from training.fitting.propensity import Recipe, fit
from training.fitting.uplift import Contrasts, with_effects
from training.model.frame import Floats, TrainingSet

SEEDS = range(6)
NOTHING = "No E-Mail"
RATES = {"always Mens E-Mail": 0.1828, "always Womens E-Mail": 0.1514, "always No E-Mail": 0.1062}
"""Of visits; published, and reached exactly by the raw means."""
NAME = "data/hillstrom/hillstrom.csv"
UNITS: dict[Reward, str] = {"outcome": "visits per customer", "value_eur": "dollars per customer"}


def run(seed: int) -> Figures:
    """Both rewards; nothing but why where the data set is absent."""
    if missing := absent(NAME):
        return {"absent": missing}
    data = campaign_contrasts(read_hillstrom(beside(NAME)), NOTHING)
    return {reward: judged(data, seed, reward, Recipe(seed=seed)) for reward in UNITS}


def judged(data: Contrasts, seed: int, reward: Reward, recipe: Recipe) -> Figures:
    """Every customer by models of the half that they are not in."""
    half = np.random.default_rng(seed).random(len(data)) < 0.5
    parts = [_chosen(data, half, learn, reward, recipe) for learn in (half, ~half)]
    whole = Rankings(
        _joined(half, [p.propensity for p in parts]),
        _joined(half, [p.uplift for p in parts]),
        {name: _joined(half, [p.policies[name] for p in parts]) for name in parts[0].policies},
    )
    return compare_rankings(data, whole, Question(reward=reward, seed=seed))


def _chosen(data: Contrasts, half: np.ndarray, learn: np.ndarray, reward: Reward, recipe: Recipe) -> Rankings:
    """Of the customers who are not in `learn`."""
    taught = data.take(learn)
    rows = taught.rows
    mine = [rows.label & (rows.action == a) for a in range(len(rows.actions))]
    worth = [float(rows.value_eur[m].mean()) if reward == "value_eur" else 1.0 for m in mine]
    model = with_effects(fit(taught.own_outcomes, recipe), taught)
    return rankings(model, data.take(~learn), np.array(worth), NOTHING)


def campaign_contrasts(data: TrainingSet, nothing: str) -> Contrasts:
    """Return the contrasts of a campaign with a control arm, the action `nothing`: each other action against it."""
    control = np.array([a == nothing for a in data.actions], dtype=np.bool_)
    is_chosen = data.action[:, None] == np.arange(len(data.actions))
    usable = (is_chosen | control[data.action][:, None]) & ~control
    permitted = np.ones(usable.shape, dtype=np.bool_)
    return Contrasts(data, permitted, usable, usable & data.label[:, None], np.arange(len(data)))


def _joined(half: np.ndarray, parts: list[Floats]) -> Floats:
    """Rows in their places; the first part is of those outside the half."""
    whole = np.empty((len(half), parts[0].shape[1]))
    whole[~half], whole[half] = parts
    return whole


def _lines(found: Mapping[str, Figures]) -> list[Line]:
    if absent := next((f["absent"] for f in found.values() if "absent" in f), None):
        return [Line("Hillstrom", f"skipped: {absent}")]
    return [line for reward, unit in UNITS.items() if found for line in _of([f[reward] for f in found.values()], unit)]


def _of(figures: list[Figures], unit: str) -> list[Line]:
    lines = []
    for n, row in enumerate(figures[0]["rankings"]):
        told = [f["rankings"][n] for f in figures]
        rate = RATES.get(row["policy"]) if unit.startswith("visits") else None
        held = None if rate is None else all(t["worth"]["low"] < rate < t["worth"]["high"] for t in told)
        worth = _interval([t["worth"] for t in told])
        lines.append(Line(f"{unit}: {row['policy']}", worth, f"holds {rate}" if rate else "", held))
    others = [n for n, row in enumerate(figures[0]["rankings"]) if row["policy"] != UPLIFT]
    lines += [_gain([f["rankings"][n] for f in figures], unit) for n in others]
    if unit.startswith("visits"):
        lines += [line for n in range(len(figures[0]["uplift"])) for line in _qini([f["uplift"][n] for f in figures])]
    return lines


def _gain(rows: list[Figures], unit: str) -> Line:
    """What ranking by uplift earns more than a policy; a gain is one of every way to halve, and above 0 in each."""
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


def _interval(told: list[Figures]) -> str:
    value, low, high = (mean(t[key] for t in told) for key in ("value", "low", "high"))
    return f"{value:.4f} ({low:.4f} to {high:.4f})"


HILLSTROM = Part([Run(f"seed/{s}", run, (s,)) for s in SEEDS], _lines)
