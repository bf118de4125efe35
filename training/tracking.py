"""What MLflow is told of a registered model: where it comes from, and its files with the code that runs them."""

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from training.model.flavour import Flavour

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model comes from: its parameters, metrics, data and release.

    `documents`: JSON objects that are kept with the run, by file name.
    """

    data_hash: str
    feature_list: Sequence[str]
    release: str
    params: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    plots: Sequence[Path] = ()
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def log_provenance(mlflow: Any, provenance: Provenance) -> None:
    """Log parameters, metrics, documents and plots to the current run."""
    mlflow.log_params({**provenance.params, "release": provenance.release, "data_hash": provenance.data_hash})
    mlflow.log_metrics(dict(provenance.metrics))
    mlflow.log_dict({"features": list(provenance.feature_list)}, "features.json")
    for file, document in provenance.documents.items():
        mlflow.log_dict(dict(document), file)
    for plot in provenance.plots:
        mlflow.log_artifact(str(plot), "plots")


def log_model(mlflow: Any, directory: Path, flavour: Flavour, scratch: Path) -> Any:
    """Log the sealed directory as a pyfunc with its own code, so that it runs where this project is not installed."""
    for part in flavour.code:
        (scratch / part).parent.mkdir(exist_ok=True, parents=True)
        shutil.copyfile(_ROOT / part, scratch / part)
    types = mlflow.types
    columns = [types.ColSpec(kind, name, required=required) for kind, name, required in flavour.columns]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow asks for an example row; the signature is enough
        return mlflow.pyfunc.log_model(
            name="model",
            loader_module=flavour.loader,
            data_path=str(directory),
            code_paths=[str(p) for p in sorted(scratch.iterdir())],
            signature=mlflow.models.ModelSignature(inputs=types.Schema(columns)),
            pip_requirements=[f"{p}=={installed(p)}" for p in flavour.packages],
        )


def register(client: Any, name: str, logged: Any, tags: Mapping[str, str]) -> Any:
    """Return the new MLflow version of a logged model; creates the name if needed."""
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    return client.create_model_version(name, logged.model_uri, logged.run_id, tags, model_id=logged.model_id)
