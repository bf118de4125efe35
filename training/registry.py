"""Models by name and version in MLflow, and their sealed bytes beside it. The only place that imports MLflow.

MLflow keeps what people look at: runs, metrics, plots, versions, aliases. What serves and what replays is the sealed
copy, `models/<sha256>/`, read-only and named by its content; `models/<name>@<version>` says which one a version is, so
neither needs MLflow to be there, nor its two seconds of import. Nor does who only asks who serves wait for LightGBM.
"""

import fcntl
import json
import logging
import os
import shutil
import sqlite3
import stat
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from decisioning.errors import NotFound, Refused, Unavailable
from decisioning.facts.forms import PRIOR_MODEL
from features.files import replace_file
from features.messages.trained import KIND, SentimentModel
from training.model.files import hash_files, read_files

if TYPE_CHECKING:
    from training.model.model import PropensityModel

Alias = Literal["champion", "challenger"]
_ROOT = Path(__file__).resolve().parent.parent
_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP

PROPENSITY = "propensity"
SENTIMENT = KIND
_TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Trial:
    """A challenger beside the champion, since `since_us`.

    `share` 0: in shadow, scored and recorded; else the probability that a decision is its own, drawn by a hash of
    the decision's id, salted.
    """

    version: int
    share: float
    since_us: int
    salt: str


@dataclass(frozen=True, slots=True)
class Lineup:
    """Who serves and who is tried beside it, read at one moment."""

    champion: int | None
    trial: Trial | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model comes from: how it was fitted, what it reached, on which data, for which release."""

    data_hash: str
    feature_list: Sequence[str]
    release: str
    params: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    plots: Sequence[Path] = ()
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON that is kept with the run, by file name."""


@dataclass(frozen=True, slots=True)
class _Flavour:
    """How MLflow's own tools run a kind of model. `columns`: type, name and whether required, of its input.

    `code`: what `loader` imports of this project; it travels with every registered model.
    """

    loader: str
    columns: tuple[tuple[str, str, bool], ...]
    code: tuple[str, ...]
    packages: tuple[str, ...]


_TABLE = _Flavour(
    "training.model.pyfunc",
    (),
    (
        *(f"training/{m}.py" for m in ("__init__", "model/__init__", "model/pyfunc", "model/model", "model/files")),
        *(f"training/model/{m}.py" for m in ("frame", "design", "effects", "forest", "calibration", "logistic")),
        "training/model/background.py",
        *(f"decisioning/{m}.py" for m in ("__init__", "errors", "hashes")),
    ),
    ("lightgbm", "numpy", "pandas", "pydantic", "pyyaml"),
)
_TEXT = _Flavour(
    "training.model.pyfunc_text",
    (("string", "text", True),),
    (
        *(f"training/{m}.py" for m in ("__init__", "model/__init__", "model/pyfunc_text")),
        *(f"features/{m}.py" for m in ("__init__", "messages/__init__", "messages/trained", "messages/judgement")),
        "features/messages/text.py",
        *(f"decisioning/{m}.py" for m in ("__init__", "errors", "facts/__init__", "facts/signals", "spec")),
    ),
    ("numpy", "pandas", "pydantic"),
)
_LINEUP = """
SELECT 'champion', CAST(version AS TEXT) FROM registered_model_aliases WHERE name = ? AND alias = 'champion'
UNION ALL SELECT 'trial', value FROM registered_model_tags WHERE name = ? AND key = ?
"""


class Registry:
    """The models of one workspace; `data` is its data folder, and nothing is written outside it."""

    def __init__(self, data: Path) -> None:
        self._data = data.resolve()
        self._models = self._data / "models"
        self._uri = f"sqlite:///{self._data / 'mlflow.db'}"
        self._made = False

    def log_and_register(self, model_dir: Path, name: str, provenance: Provenance) -> int:
        """A new version of `name` from a saved model's directory, sealed before anything can name it."""
        return self.register(read_files(model_dir), name, provenance)

    def register(self, files: dict[str, bytes], name: str, provenance: Provenance) -> int:
        """As `log_and_register`, from the bytes of a propensity or a sentiment model."""
        flavour = _flavour(files)
        content = self._seal(files)
        mlflow = self._mlflow()
        client = self._client()
        with mlflow.start_run(experiment_id=self._experiment(client, name), run_name=f"{name}-{content[:8]}"):
            mlflow.log_params({**provenance.params, "release": provenance.release, "data_hash": provenance.data_hash})
            mlflow.log_metrics(dict(provenance.metrics))
            mlflow.log_dict({"features": list(provenance.feature_list)}, "features.json")
            for file, document in provenance.documents.items():
                mlflow.log_dict(dict(document), file)
            for plot in provenance.plots:
                mlflow.log_artifact(str(plot), "plots")
            with TemporaryDirectory(dir=self._data) as scratch:
                logged = _log_model(mlflow, self._models / content, flavour, Path(scratch))
        tags = {"content_hash": content, "release": provenance.release, "data_hash": provenance.data_hash}
        version = int(_register(client, name, logged, tags).version)
        self._point(name, version, content)
        return version

    def set_alias(self, name: str, alias: Alias, version: int) -> None:
        """Makes `alias` mean this version; NotFound where there is no such version."""
        self.sealed(name, version)
        self._client().set_registered_model_alias(name, alias, str(version))

    def aliased(self, name: str, alias: Alias) -> int | None:
        """The version that `alias` means, or None."""
        rows = self._rows("SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", name, alias)
        return int(rows[0][0]) if rows else None

    def lineup(self, name: str) -> Lineup:
        """The champion and the trial of a name, at one moment."""
        found = dict(self._rows(_LINEUP, name, name, _TRIAL))
        champion, trial = found.get("champion"), found.get("trial")
        return Lineup(int(champion) if champion else None, Trial(**json.loads(trial)) if trial else None)

    def _rows(self, statement: str, *parameters: str) -> list[tuple[str, str]]:
        """Read past MLflow, in a millisecond: what serves looks twice a second, and would import it for that alone.

        Nothing where there is no database yet, or another process is making its tables.
        """
        file = self._data / "mlflow.db"
        if not file.exists():
            return []
        try:
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as found:
                return found.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):
                return []
            raise Unavailable(f"the registry of models cannot be read ({error}): see {file}") from None

    def set_trial(self, name: str, trial: Trial | None) -> None:
        """Begins, changes or ends a trial; running replicas take it up by themselves. NotFound for no such version."""
        if trial is not None:
            self.sealed(name, trial.version)
            self._client().set_registered_model_tag(name, _TRIAL, json.dumps(asdict(trial)))
        elif self.lineup(name).trial is not None:
            self._client().delete_registered_model_tag(name, _TRIAL)

    def note(self, name: str, version: int, tag: str, text: str) -> None:
        """Something to be read beside a version for as long as it is kept."""
        self._client().set_model_version_tag(name, str(version), tag, text)

    def noted(self, name: str, version: int, tag: str) -> str | None:
        """What `note` was given."""
        text = self._client().get_model_version(name, str(version)).tags.get(tag)
        return None if text is None else str(text)

    def document(self, name: str, version: int, file: str) -> dict[str, Any]:
        """One of the documents that were registered with a version; NotFound where there is none."""
        self.sealed(name, version)
        mlflow = self._mlflow()
        run = self._client().get_model_version(name, str(version)).run_id
        try:
            return dict(mlflow.artifacts.load_dict(f"runs:/{run}/{file}"))
        except mlflow.exceptions.MlflowException:
            raise NotFound("model", f"{name}@{version} was registered without {file}; train again") from None

    def champion(self, name: str) -> tuple[int, Path] | None:
        """The version that serves and the directory of its sealed copy; None before the first champion."""
        version = self.aliased(name, "champion")
        return None if version is None else (version, self.sealed(name, version))

    def versions(self, name: str) -> tuple[int, ...]:
        """Every version that has a sealed copy, rising."""
        found = (p.name.removeprefix(f"{name}@") for p in self._models.glob(f"{name}@*"))
        return tuple(sorted(int(v) for v in found if v.isdigit()))

    def sealed(self, name: str, version: int) -> Path:
        """Directory of a version's sealed copy (checked again by hash when it is loaded); NotFound if there is none."""
        pointer = self._models / f"{name}@{version}"
        if not pointer.exists():
            raise NotFound("model", f"there is no {name}@{version}")
        return self._models / pointer.read_text().strip()

    def load(self, name: str, version: int) -> "PropensityModel":
        """A version from its sealed copy, refused where its bytes are not what was sealed."""
        from training.model.model import PropensityModel  # noqa: PLC0415 - LightGBM with it, which takes seconds

        directory = self.sealed(name, version)
        return PropensityModel.load(directory, expected_hash=directory.name)

    def load_sentiment(self, name: str, version: int) -> SentimentModel:
        """As `load`, of a model of messages."""
        directory = self.sealed(name, version)
        files = read_files(directory)
        if hash_files(files) != directory.name:
            raise Refused("the model's files are not the ones that were sealed; restore them or train again")
        return SentimentModel.from_files(files)

    def seal(self, name: str, version: int) -> str:
        """Makes sure that the version's read-only copy is there, from MLflow's if need be; gives its hash.

        Refused where MLflow's copy is no longer what was registered.
        """
        client = self._client()
        expected = client.get_model_version(name, str(version)).tags["content_hash"]
        if not (self._models / expected).exists():
            local = Path(self._mlflow().artifacts.download_artifacts(f"models:/{name}/{version}"))
            files = read_files(local / "data" / expected)
            if hash_files(files) != expected:
                raise Refused(f"{name}@{version}: MLflow's copy is not what was registered; train again")
            self._seal(files)
        self._point(name, version, expected)
        return str(expected)

    def delete(self, name: str, version: int, referenced: Callable[[str], bool]) -> None:
        """Forgets a version and, unless another has the same bytes, its sealed copy.

        Refused for who serves, is on trial or could be next, and while `referenced("<name>@<version>")`: a decision
        that names a model must stay recomputable.
        """
        directory = self.sealed(name, version)
        needed = self._needed(name, version)
        if needed:
            raise Refused(f"{name}@{version} cannot be deleted: {needed}")
        if referenced(f"{name}@{version}"):
            raise Refused(f"{name}@{version} cannot be deleted: decisions name it and must stay recomputable")
        self._client().delete_model_version(name, str(version))
        (self._models / f"{name}@{version}").unlink()
        pointers = [p for p in self._models.glob("*@*") if p.is_file()]
        if all(p.read_text().strip() != directory.name for p in pointers):
            for path in (directory, *(p for p in directory.rglob("*") if p.is_dir())):
                path.chmod(stat.S_IRWXU)
            shutil.rmtree(directory)

    def _needed(self, name: str, version: int) -> str:
        """What a version is there for although no decision may name it yet, and what to do first; else empty."""
        lineup = self.lineup(name)
        if version == lineup.champion:
            return "it is the champion; promote another first"
        if lineup.trial is not None and version == lineup.trial.version:
            return "it is on trial; end that first (brain trial --end)"
        if version == self.aliased(name, "challenger"):
            return "it is the challenger; train or try another first"
        return ""

    def _seal(self, files: dict[str, bytes]) -> str:
        """Written under another name and renamed, so that a half-written copy is never found by its hash."""
        content = hash_files(files)
        directory = self._models / content
        if directory.exists():
            return content
        draft = self._models / f".{content}-{uuid.uuid4().hex}"
        for name, data in files.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(_READ_ONLY)
        for path in (*(p for p in draft.rglob("*") if p.is_dir()), draft):
            path.chmod(_READ_ONLY | stat.S_IXUSR | stat.S_IXGRP | (stat.S_IWUSR if path == draft else 0))
        draft.rename(directory)
        directory.chmod(_READ_ONLY | stat.S_IXUSR | stat.S_IXGRP)
        return content

    def _point(self, name: str, version: int, content: str) -> None:
        pointer = self._models / f"{name}@{version}"
        replace_file(pointer, lambda half: half.write_text(content), contended=True)

    def _experiment(self, client: Any, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(name, artifact_location=(self._data / "artifacts").as_uri()))

    def _client(self) -> Any:
        """One process at a time makes or moves on the tables: MLflow has no lock of its own, and fails halfway."""
        mlflow = self._mlflow()
        if not self._made:
            with (self._data / "mlflow.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                mlflow.MlflowClient(self._uri, self._uri).search_registered_models(max_results=1)
            self._made = True
        return mlflow.MlflowClient(self._uri, self._uri)

    def _mlflow(self) -> Any:
        """MLflow pointed at this workspace; imported on first use, because that takes seconds."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["DO_NOT_TRACK"] = "true"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        os.environ.setdefault("MPLCONFIGDIR", str(self._data / "run" / "matplotlib"))
        import mlflow  # noqa: PLC0415 - slow, and only training and promotion need it

        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        mlflow.set_tracking_uri(self._uri)
        mlflow.set_registry_uri(self._uri)
        return mlflow


def propensity_name(version: int | None) -> str:
    """Return how decisions name a version of the propensity model; None is the catalogue's priors."""
    return PRIOR_MODEL if version is None else f"{PROPENSITY}@{version}"


def sentiment_name(language: str) -> str:
    """Of the models of messages in a language."""
    return f"{SENTIMENT}-{language}"


def _flavour(files: Mapping[str, bytes]) -> _Flavour:
    """Of a model's bytes; Refused where they are no model's."""
    if json.loads(files.get("model.json", b"{}")).get("kind") == SENTIMENT:
        SentimentModel.from_files(files)
        return _TEXT
    from training.model.model import PropensityModel  # noqa: PLC0415 - LightGBM with it, which takes seconds

    model = PropensityModel.from_files(files)
    columns = [("double", feature, False) for feature in model.feature_names]
    if len(model.actions) > 1:
        columns += [("string", "action", True), ("string", "treatment", False)]
    return replace(_TABLE, columns=tuple(columns))


def _log_model(mlflow: Any, directory: Path, flavour: _Flavour, scratch: Path) -> Any:
    """Logs the sealed directory as a pyfunc that carries its own code, to serve where this project is not installed."""
    for part in flavour.code:
        (scratch / part).parent.mkdir(exist_ok=True, parents=True)
        shutil.copyfile(_ROOT / part, scratch / part)
    types = mlflow.types
    columns = [types.ColSpec(kind, name, required=required) for kind, name, required in flavour.columns]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it would like an example row; the signature says enough
        return mlflow.pyfunc.log_model(
            name="model",
            loader_module=flavour.loader,
            data_path=str(directory),
            code_paths=[str(p) for p in sorted(scratch.iterdir())],
            signature=mlflow.models.ModelSignature(inputs=types.Schema(columns)),
            pip_requirements=[f"{p}=={installed(p)}" for p in flavour.packages],
        )


def _register(client: Any, name: str, logged: Any, tags: Mapping[str, str]) -> Any:
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    return client.create_model_version(name, logged.model_uri, logged.run_id, tags, model_id=logged.model_id)
