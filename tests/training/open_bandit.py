"""The small set of the Open Bandit Data: the random log, the production policy, and what the log says of the policy."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tests.training.conftest import one_hot
from training.evaluation.estimators import METHODS, Log, estimate
from training.evaluation.policies import Question, Report, evaluate
from training.fitting.propensity import Recipe
from training.model.frame import Floats, TrainingSet

FOLDER = "data/obd_small"
ITEMS, RESAMPLED = 80, 30


@dataclass(frozen=True, slots=True, eq=False)
class OpenBandit:
    """10,000 rows of each policy, 80 items in 3 positions.

    `target`: choice probabilities (10000, 80) of the production policy, from its own log, for the rows of the random
    one.
    """

    random: pd.DataFrame
    production: pd.DataFrame
    target: Floats

    @classmethod
    def read(cls, folder: Path) -> "OpenBandit":
        random, production = (pd.read_csv(folder / p / "all.csv.gz", index_col=0) for p in ("random", "bts"))
        return cls(random, production, _policy(production)[random["position"].to_numpy() - 1])

    @property
    def clicks(self) -> float:
        """The production policy's click rate in its own log, which is to be estimated from the random log."""
        return float(self.production["click"].mean())

    def report(self) -> Report:
        """Value the production and the random policy on the random log."""
        policies = {"production": self.target, "random": np.full((len(self.random), ITEMS), 1 / ITEMS)}
        return evaluate(_items(self.random), policies, Question(recipe=Recipe(growth=None, forget=False, rounds=1)))

    def effective(self) -> float:
        """Return the effective sample size of the random log for the production policy, by definition (Kish 1965)."""
        weight = self.target[np.arange(len(self.random)), self.random["item_id"].to_numpy()] * ITEMS
        return float(weight.sum() ** 2 / (weight**2).sum())

    def errors(self) -> dict[str, float]:
        """Return each estimator's mean relative error in the production policy's clicks, over resampled logs."""
        rng = np.random.default_rng(0)
        errors: dict[str, list[float]] = {m: [] for m in METHODS}
        for _ in range(RESAMPLED):
            rows = rng.integers(0, len(self.random), len(self.random))
            log, predicted = _clicks(self.random.iloc[rows])
            for method in METHODS:
                value = estimate(log, self.target[rows], method, predicted).interval.value
                errors[method].append(abs(value - self.clicks) / self.clicks)
        return {m: float(np.mean(e)) for m, e in errors.items()}


def _policy(production: pd.DataFrame) -> Floats:
    """Return how often the production policy chose each item, per position: shares (3, 80)."""
    shares = np.zeros((3, ITEMS))
    np.add.at(shares, (production["position"].to_numpy() - 1, production["item_id"].to_numpy()), 1.0)
    return shares / shares.sum(1, keepdims=True)


def _items(frame: pd.DataFrame) -> TrainingSet:
    """Return the items as actions of one group, and the customer's hashed features as columns of 0 and 1."""
    x, names = one_hot(frame[["user_feature_0", "user_feature_1", "position"]])
    n = len(frame)
    return TrainingSet(
        x=x,
        feature_names=names,
        actions=tuple(f"item-{i}" for i in range(ITEMS)),
        groups=("items",) * ITEMS,
        treatments=((),) * ITEMS,
        action=frame["item_id"].to_numpy(dtype=np.int64),
        treatment=np.full(n, -1, dtype=np.int64),
        label=frame["click"].to_numpy() == 1,
        probability=frame["propensity_score"].to_numpy(dtype=np.float64),
        value_eur=np.zeros(n),
        at_us=np.arange(n, dtype=np.int64),
    )


def _clicks(frame: pd.DataFrame) -> tuple[Log, Floats]:
    """Return the log, and as prediction each item's click rate, shrunk towards that of all items."""
    item, click = frame["item_id"].to_numpy(dtype=np.int64), frame["click"].to_numpy(dtype=np.float64)
    impressions, clicks = np.bincount(item, minlength=ITEMS), np.bincount(item, click, minlength=ITEMS)
    predicted = (clicks + 50 * click.mean()) / (impressions + 50)
    return Log(item, click, frame["propensity_score"].to_numpy(), ITEMS), np.tile(predicted, (len(frame), 1))
