"""How MLflow's own tools (`mlflow models serve`, `mlflow models predict`) run a registered model; not the hot path."""

from pathlib import Path
from typing import Any

import numpy as np

from decisioning.errors import RequestError
from training.model.frame import Floats
from training.model.model import PropensityModel


class Candidates:
    """Scores a table with one candidate per row: features by name, `action`, and optionally `treatment`.

    A model with a single action needs no `action` column. Absent features are unknown.
    """

    def __init__(self, model: PropensityModel) -> None:
        self.model = model

    def predict(self, frame: Any, params: dict[str, Any] | None = None) -> Floats:
        """Propensity per row of a pandas frame, shape (n,); RequestError for an action the model never saw."""
        del params  # part of MLflow's call, and this model has none
        n = len(frame)
        absent = np.full(n, np.nan)
        x = np.column_stack(
            [frame[f].to_numpy(dtype=np.float64, na_value=np.nan) if f in frame else absent for f in self._names]
        )
        actions = frame["action"].tolist() if "action" in frame else [self.model.actions[0]] * n
        treatments = frame["treatment"].tolist() if "treatment" in frame else [None] * n
        found = np.empty(n)
        asked = list(zip(actions, treatments, strict=True))
        for action, treatment in sorted(set(asked), key=str):
            rows = np.array([one == (action, treatment) for one in asked])
            index = self._index(action)
            found[rows] = self.model.propensities(x[rows], index, self.model.treatment_code(index, str(treatment)))
        return found

    @property
    def _names(self) -> tuple[str, ...]:
        return self.model.feature_names

    def _index(self, action: str) -> int:
        if action not in self.model.actions:
            raise RequestError("action", "the model was not trained on this action")
        return self.model.actions.index(action)


def _load_pyfunc(path: str) -> Candidates:
    """The entry point MLflow calls with the directory of the saved model."""
    return Candidates(PropensityModel.load(Path(path)))
