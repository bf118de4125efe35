"""The customers of all measures, their requests, what is logged of them, and the champion that is fitted to it."""

from dataclasses import replace

import numpy as np
from pydantic_core import to_json

from tests.benchmarks import catalogue
from training.fitting.propensity import Recipe, fit
from training.fitting.trees import Growth
from training.model.frame import Floats, TrainingSet
from training.model.model import PropensityModel

N_CUSTOMERS = 500
ROWS_PER_ACTION = 400
RECIPE = Recipe(rounds=1, calibrate=False, growth=Growth(folds=2, max_trees=60, learning_rate=0.05, patience=60))


def profiles() -> Floats:
    """Return the customers' features (n_customers, 60), in the order of `catalogue.LEARNED`."""
    rows = np.random.default_rng(1).normal(size=(N_CUSTOMERS, catalogue.N_LEARNED))
    rows[:, :4] = np.abs(rows[:, :4]) * (10.0, 20.0, 30.0, 1.0) + (18.0, 20.0, 1.0, 0.0)
    rows[:, 0] = rows[:, 0].round()
    return rows


def facts_of(row: list[float]) -> dict[str, float | bool]:
    """Return the facts that a customer's features (60,) are stored as."""
    facts = dict(zip(catalogue.LEARNED, row, strict=True)) | dict.fromkeys(catalogue.FLAGS, False)
    return {**facts, "age": int(row[0])}


def customer_id(n: int) -> str:
    """Return the id of customer `n`."""
    return f"c-{n:05d}"


def request(number: int, run: str) -> bytes:
    """Return the body of a decision request; `run` keeps the ids of measures apart."""
    body = {
        "request_id": f"{run}-{number}",
        "customer_id": customer_id(number % N_CUSTOMERS),
        "channel": catalogue.CHANNEL,
        "locale": "en",
        "placements": catalogue.PLACEMENTS,
        "context": {"page": "paid-tv"},
    }
    return to_json(body)


def log(n_actions: int = catalogue.N_ACTIONS) -> TrainingSet:
    """Return uniform choices; each action's truth has a line and a symmetric threshold, which needs trees."""
    n, k = ROWS_PER_ACTION * n_actions, n_actions
    rng = np.random.default_rng(2)
    x = profiles()[rng.integers(0, N_CUSTOMERS, n)] + rng.normal(size=(n, catalogue.N_LEARNED))
    action = np.arange(n, dtype=np.int64) % k
    names, order = _columns()
    far = np.abs(x[np.arange(n), 4 + action % 50]) > 1.0
    logit = 0.2 * x[:, 10] + 4.0 * far - 3.0
    return TrainingSet(
        x=np.ascontiguousarray(x[:, order]),
        feature_names=names,
        actions=tuple(map(catalogue.action_id, range(k))),
        groups=tuple(map(catalogue.group_of, range(k))),
        treatments=tuple((f"{catalogue.action_id(i)}.{catalogue.CHANNEL}",) for i in range(k)),
        action=action,
        treatment=np.zeros(n, dtype=np.int64),
        label=rng.random(n) < 1.0 / (1.0 + np.exp(-logit)),
        probability=np.full(n, 1.0 / k),
        value_eur=np.zeros(n),
        at_us=np.arange(n, dtype=np.int64),
    )


def _columns() -> tuple[tuple[str, ...], list[int]]:
    """Return the features in the order of the feature matrix (by name), and the position of each in LEARNED."""
    names = tuple(sorted(catalogue.LEARNED))
    return names, [catalogue.LEARNED.index(name) for name in names]


def small_model() -> PropensityModel:
    """Return a model of one action per group, fitted in seconds; each has trees."""
    model = fit(log(catalogue.N_GROUPS), RECIPE)
    assert all(model.forests[: catalogue.N_GROUPS]), "each action of the model is to carry trees"
    return model


def copied(model: PropensityModel, n_actions: int) -> PropensityModel:
    """Return a model of `n_actions` actions, each a copy of one of its group in `small_model()` under another id."""
    groups = tuple(map(catalogue.group_of, range(n_actions)))
    of_groups = [catalogue.N_GROUPS + n for n in range(min(n_actions, catalogue.N_GROUPS))]
    source = [*(n % catalogue.N_GROUPS for n in range(n_actions)), *of_groups, len(model.weights) - 1]
    return replace(
        model,
        actions=tuple(map(catalogue.action_id, range(n_actions))),
        groups=groups,
        treatments=tuple((f"{catalogue.action_id(n)}.{catalogue.CHANNEL}",) for n in range(n_actions)),
        weights=model.weights[source],
        variances=model.variances[source],
        offsets=model.offsets[source],
        evidence=model.evidence[source],
        alike=model.alike[source],
        forests=tuple(model.forests[n] for n in source),
        calibrations=tuple(model.calibrations[n] for n in source),
    )
