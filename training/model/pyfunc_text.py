"""Lets MLflow's own tools (`mlflow models serve`, `mlflow models predict`) run a model of messages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.messages.hearing.model import KIND as HEARING
from features.messages.hearing.model import HearingModel
from features.messages.text import clean
from features.messages.trained import SentimentModel


class MessageClassifier:
    """Gives the probability of each class, or of each kind that is heard, for the messages in column `text`."""

    def __init__(self, model: SentimentModel | HearingModel) -> None:
        self.model = model

    def predict(self, frame: Any, params: dict[str, Any] | None = None) -> NDArray[np.float64]:
        """Return the probabilities (n, k) of the rows of a pandas frame, in the order of the model's classes."""
        del params  # part of MLflow's interface; these models have no parameters
        model = self.model
        names = model.kinds if isinstance(model, HearingModel) else model.classes
        rows = [list(model.probabilities(clean(str(text))).values()) for text in frame["text"]]
        return np.array(rows).reshape(-1, len(names))


def _load_pyfunc(path: str) -> MessageClassifier:
    """Return the model saved in the directory `path`; MLflow's entry point."""
    files = {p.name: p.read_bytes() for p in Path(path).iterdir()}
    hears = json.loads(files["model.json"])["kind"] == HEARING
    return MessageClassifier((HearingModel if hears else SentimentModel).from_files(files))
