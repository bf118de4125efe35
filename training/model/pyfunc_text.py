"""Lets MLflow's own tools (`mlflow models serve`, `mlflow models predict`) run a sentiment model; not the hot path."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.messages.trained import SentimentModel


class MessageClassifier:
    """Gives each class's probability, in the order of the model's `classes`, for the messages in column `text`."""

    def __init__(self, model: SentimentModel) -> None:
        self.model = model

    def predict(self, frame: Any, params: dict[str, Any] | None = None) -> NDArray[np.float64]:
        """Return the class probabilities (n, k) of the rows of a pandas frame."""
        del params  # part of MLflow's interface; this model has no parameters
        rows = [list(self.model.probabilities(str(text)).values()) for text in frame["text"]]
        return np.array(rows).reshape(-1, len(self.model.classes))


def _load_pyfunc(path: str) -> MessageClassifier:
    """Return the model saved in the directory `path`; MLflow's entry point."""
    return MessageClassifier(SentimentModel.from_files({p.name: p.read_bytes() for p in Path(path).iterdir()}))
