"""How MLflow runs each kind of model: its loader, input columns, code and packages. Does not import MLflow."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from features.messages import trained
from features.messages.hearing import model as hearing


@dataclass(frozen=True, slots=True)
class Flavour:
    """How MLflow's own tools run a kind of model.

    `loader`: the module that loads it. `columns`: type and name of each input column, and whether it is required.
    `code`: the files of this project that `loader` imports; they are stored with every registered model. `packages`:
    the distributions it needs.
    """

    loader: str
    columns: tuple[tuple[str, str, bool], ...]
    code: tuple[str, ...]
    packages: tuple[str, ...]


_TABLE = Flavour(
    "training.model.pyfunc",
    (),
    (
        *(f"training/{m}.py" for m in ("__init__", "model/__init__", "model/pyfunc", "model/model", "model/files")),
        *(f"training/model/{m}.py" for m in ("frame", "design", "effects", "exact", "forest")),
        *(f"training/model/{m}.py" for m in ("background", "calibration", "logistic")),
        *(f"decisioning/{m}.py" for m in ("__init__", "errors", "hashes")),
    ),
    ("lightgbm", "numpy", "pandas", "pydantic", "pyyaml"),
)
_TEXT = Flavour(
    "training.model.pyfunc_text",
    (("string", "text", True),),
    (
        *(f"training/{m}.py" for m in ("__init__", "model/__init__", "model/pyfunc_text")),
        *(f"features/{m}.py" for m in ("__init__", "messages/__init__", "messages/trained", "messages/judgement")),
        "features/messages/text.py",
        *(
            f"features/messages/hearing/{m}"
            for m in ("__init__.py", "model.py", "grams.py", "concepts.py", "concepts.txt")
        ),
        *(f"decisioning/{m}.py" for m in ("__init__", "errors", "facts/__init__", "facts/signals", "spec")),
    ),
    ("numpy", "pandas", "pydantic"),
)


def flavour_of(files: Mapping[str, bytes]) -> Flavour:
    """Return the flavour of a model's files; raises Refused if they are not a model's."""
    kind = json.loads(files.get("model.json", b"{}")).get("kind")
    if kind == trained.KIND:
        trained.SentimentModel.from_files(files)
        return _TEXT
    if kind == hearing.KIND:
        hearing.HearingModel.from_files(files)
        return _TEXT
    from training.model.model import PropensityModel  # noqa: PLC0415 - LightGBM with it, which takes seconds

    model = PropensityModel.from_files(files)
    columns = [("double", feature, False) for feature in model.feature_names]
    if len(model.actions) > 1:
        columns += [("string", "action", True), ("string", "treatment", False)]
    return replace(_TABLE, columns=tuple(columns))
