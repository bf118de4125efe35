"""Churn risk: the propensity recipe for one event without actions. The score is a feature of source `model`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.model.frame import Bools, Floats, TrainingSet, Units
from training.model.model import PropensityModel


@dataclass(frozen=True, eq=False)
class RiskModel:
    """Probability of a customer's event (churn), from their features; no action, no treatment."""

    model: PropensityModel

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns that `scores` expects, in order."""
        return self.model.feature_names

    def scores(self, x: Floats) -> Floats:
        """Return the probabilities (n,) of the event for customers (n, f)."""
        return self.model.propensities(x, 0)


def one_action(x: Floats, y: Bools, feature_names: Sequence[str] | None = None, unit: Units = None) -> TrainingSet:
    """Return features (n, f) and events (n,) of customers `unit` (n,) as training rows of a single action, `event`."""
    n = len(x)
    names = tuple(feature_names or (f"f{j}" for j in range(x.shape[1])))
    zeros = np.zeros(n, dtype=np.int64)
    return TrainingSet(
        x=np.asarray(x, dtype=np.float64),
        feature_names=names,
        actions=("event",),
        groups=("event",),
        treatments=((),),
        action=zeros,
        treatment=zeros - 1,
        label=np.asarray(y, dtype=np.bool_),
        probability=np.full(n, np.nan),
        value_eur=np.zeros(n),
        at_us=zeros,
        unit=unit,
    )
