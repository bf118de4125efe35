"""Lets MLflow's own tools (`mlflow models serve`, `mlflow models predict`) run a registered model; not the hot path."""

from pathlib import Path
from typing import Any

import numpy as np

from decisioning.errors import RequestError
from training.model.frame import Floats
from training.model.model import PropensityModel


class Candidates:
    """Scores a table with one candidate per row: features by name, `action`, and optionally `treatment`.

    A model with a single action needs no `action` column. Features without a column are unknown.
    """

    def __init__(self, model: PropensityModel) -> None:
        self.model = model

    def predict(self, frame: Any, params: dict[str, Any] | None = None) -> Floats:
        """Return the propensity (n,) of each row of a pandas frame.

        :raises RequestError: an action that the model was not trained on
        """
        del params  # part of MLflow's interface; this model has no parameters
        n = len(frame)
        x = self._features(frame)
        actions = frame["action"].tolist() if "action" in frame else [self.model.actions[0]] * n
        treatments = frame["treatment"].tolist() if "treatment" in frame else [None] * n
        result = np.empty(n)
        candidates = list(zip(actions, treatments, strict=True))
        for action, treatment in sorted(set(candidates), key=str):
            rows = np.array([candidate == (action, treatment) for candidate in candidates])
            index = self._index(action)
            result[rows] = self.model.propensities(x[rows], index, self.model.treatment_code(index, str(treatment)))
        return result

    def _features(self, frame: Any) -> Floats:
        """Return the features (n, f), NaN where unknown."""
        missing = np.full(len(frame), np.nan)
        names = self.model.feature_names
        return np.column_stack(
            [frame[f].to_numpy(dtype=np.float64, na_value=np.nan) if f in frame else missing for f in names]
        )

    def _index(self, action: str) -> int:
        if action not in self.model.actions:
            raise RequestError("action", "the model was not trained on this action")
        return self.model.actions.index(action)


def _load_pyfunc(path: str) -> Candidates:
    """Return the model saved in the directory `path`; MLflow's entry point."""
    return Candidates(PropensityModel.load(Path(path)))
