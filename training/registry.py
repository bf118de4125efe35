"""Models by name and version in MLflow, with sealed copies of their bytes. The only module that imports MLflow.

MLflow keeps what people look at: runs, metrics, plots, versions, aliases. Serving and replay use the sealed copy. So
neither needs MLflow, whose import takes seconds, and reading which version serves does not import LightGBM either.
"""

import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from decisioning.errors import NotFound, Refused, Unavailable
from decisioning.facts.forms import PRIOR_MODEL
from decisioning.review.approval import Permit
from features.files import replace_file
from features.messages.hearing.model import KIND as HEARING
from features.messages.hearing.model import HearingModel
from features.messages.trained import KIND, SentimentModel
from features.sqlite_errors import sqlite_advice
from training.model.files import hash_files, read_files
from training.model.flavour import flavour_of
from training.sealed import SealedCopies, is_sealed, read_sealed, remove_sealed
from training.tracking import Provenance, log_model, log_provenance, register

if TYPE_CHECKING:
    from training.model.model import PropensityModel

Alias = Literal["champion", "challenger"]

PROPENSITY = "propensity"
"""The name of the models that decide."""
SENTIMENT = KIND
_TRIAL = "trial"
WATCHED = "watched"
"""The tag under which a champion keeps the trial that it was promoted from, and until when (`until_us`) harm is looked
for in it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A challenger that runs beside the champion since `since_us`, microseconds UTC.

    `share` 0: in shadow, its scores are only recorded. Otherwise the probability that the challenger makes a decision,
    drawn by a hash of the decision's id and `salt`.
    """

    version: int
    share: float
    since_us: int
    salt: str


@dataclass(frozen=True, slots=True)
class Lineup:
    """The champion's version and the trial, read at one moment; None for each that there is not."""

    champion: int | None
    trial: Trial | None


_LINEUP = """
SELECT 'champion', CAST(version AS TEXT) FROM registered_model_aliases WHERE name = ? AND alias = 'champion'
UNION ALL SELECT 'trial', value FROM registered_model_tags WHERE name = ? AND key = ?
"""


_CONTENTS = """
SELECT v.name || '@' || v.version, t.value FROM model_versions v
JOIN model_version_tags t ON t.name = v.name AND t.version = v.version AND t.key = 'content_hash'
WHERE v.current_stage <> 'Deleted_Internal' ORDER BY 1
"""
"""Each version that is registered, with the hash of its sealed copy."""
_ARTIFACTS = "SELECT DISTINCT artifact_location, '' FROM experiments WHERE artifact_location LIKE 'file://%/artifacts'"
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps places of artifacts, below that of the experiment."""
_MOVE = """
UPDATE {table} SET {column} = :here || substr({column}, length(:before) + 1)
WHERE {column} = :before OR substr({column}, 1, length(:before) + 1) = :before || '/'
"""  # names of tables and columns are those above


class Registry:
    """The models of one workspace. `data` is its data folder; nothing is written outside it."""

    def __init__(self, data: Path) -> None:
        self._data = data.resolve()
        self._sealed = SealedCopies(self._data / "models")
        self._artifacts = self._data / "artifacts"
        self._uri = f"sqlite:///{quote(str(self._data / 'mlflow.db'))}"
        self._has_tables = False

    def log_and_register(self, model_dir: Path, name: str, provenance: Provenance) -> int:
        """Register a saved model's directory and return the new version; the copy is sealed before it has a name."""
        return self.register(read_files(model_dir), name, provenance)

    def register(self, files: dict[str, bytes], name: str, provenance: Provenance) -> int:
        """Register the files of a propensity or sentiment model and return the new version."""
        flavour = flavour_of(files)
        content = self._sealed.add(files)
        mlflow = self._mlflow()
        client = self._client()
        with mlflow.start_run(experiment_id=self._experiment(client, name), run_name=f"{name}-{content[:8]}"):
            log_provenance(mlflow, provenance)
            with TemporaryDirectory(dir=self._data) as scratch:
                logged = log_model(mlflow, self._sealed.folder / content, flavour, Path(scratch))
        tags = {"content_hash": content, "release": provenance.release, "data_hash": provenance.data_hash}
        version = int(register(client, name, logged, tags).version)
        self._sealed.name(f"{name}@{version}", content)
        return version

    def set_alias(self, name: str, alias: Alias, version: int, permit: Permit | None = None) -> None:
        """Set `alias` to this version.

        :param permit: that its files may make decisions; a champion needs it
        :raises NotFound: there is no such version
        :raises Refused: the permit is missing, or is not about this model
        """
        directory = self.sealed_directory(name, version)
        if alias == "champion" and version != self.alias_version(name, alias):
            _check_permit(f"{name}@{version}", directory, permit)
        self._client().set_registered_model_alias(name, alias, str(version))

    def alias_version(self, name: str, alias: Alias) -> int | None:
        """Return the version that has this alias, or None."""
        rows = self._rows("SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", name, alias)
        return int(rows[0][0]) if rows else None

    def lineup(self, name: str) -> Lineup:
        """Return the champion and the trial of a name, read at one moment."""
        rows = dict(self._rows(_LINEUP, name, name, _TRIAL))
        champion, trial = rows.get("champion"), rows.get("trial")
        return Lineup(int(champion) if champion else None, Trial(**json.loads(trial)) if trial else None)

    def _rows(self, statement: str, *parameters: str) -> list[tuple[Any, ...]]:
        """Query MLflow's database directly, in a millisecond, without importing MLflow: serving does so twice a second.

        Returns no rows if there is no database yet, or another process is still creating its tables.

        :raises Unavailable: it is gone though models are kept here, so that a server goes on with those it loaded
        """
        file = self._data / "mlflow.db"
        if not file.exists() or not file.stat().st_size:
            if self._sealed.names():
                state = "empty" if file.exists() else "missing"
                raise Unavailable(f"{file} is {state}, and models are kept beside it: put it back from your backup")
            return []
        try:
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
                return connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error) and not self._sealed.names():
                return []
            raise Unavailable(f"the registry of models cannot be read ({sqlite_advice(error)}): see {file}") from None

    def names(self) -> tuple[str, ...]:
        """Return the names of all models that have a champion or a challenger, sorted."""
        return tuple(sorted({str(row[0]) for row in self._rows("SELECT name FROM registered_model_aliases")}))

    def settle(self) -> None:
        """Write MLflow's paths anew if the workspace was moved or copied since they were written."""
        here = self._artifacts.as_uri()
        others = {place for place, _ in self._rows(_ARTIFACTS) if place != here}
        if not others:
            return
        with closing(sqlite3.connect(self._data / "mlflow.db")) as connection, connection:
            for before in others:
                for table, column in _PLACES:
                    connection.execute(_MOVE.format(table=table, column=column), {"before": before, "here": here})
        for described in self._artifacts.glob("models/*/artifacts/MLmodel"):
            text = described.read_text()
            for before in others:
                text = text.replace(before, here)
            replace_file(described, partial(_write_text, text))

    def set_trial(self, name: str, trial: Trial | None, permit: Permit | None = None) -> None:
        """Begin, change or end (None) a trial; running replicas notice by themselves.

        :param permit: that the challenger's files may make decisions; it needs it for more than its share now
        :raises NotFound: there is no such version
        :raises Refused: the permit is missing, or is not about this model
        """
        if trial is not None:
            directory, now = self.sealed_directory(name, trial.version), self.lineup(name).trial
            if trial.share > (now.share if now is not None and now.version == trial.version else 0.0):
                _check_permit(f"{name}@{trial.version}", directory, permit)
            self._client().set_registered_model_tag(name, _TRIAL, json.dumps(asdict(trial)))
        elif self.lineup(name).trial is not None:
            self._client().delete_registered_model_tag(name, _TRIAL)

    def write_note(self, name: str, version: int, tag: str, text: str) -> None:
        """Store a text under `tag` with a version, for as long as the version exists."""
        self._client().set_model_version_tag(name, str(version), tag, text)

    def read_note(self, name: str, version: int, tag: str) -> str | None:
        """Return the text that `write_note` stored, or None."""
        statement = "SELECT value FROM model_version_tags WHERE name = ? AND version = ? AND key = ?"
        rows = self._rows(statement, name, str(version), tag)
        return str(rows[0][0]) if rows else None

    def document(self, name: str, version: int, file: str) -> dict[str, Any]:
        """Return a document that was registered with a version; raises NotFound if there is none."""
        self.sealed_directory(name, version)
        rows = self._rows("SELECT run_id FROM model_versions WHERE name = ? AND version = ?", name, str(version))
        path = self._artifacts / rows[0][0] / "artifacts" / file if rows else None
        if path is None or not path.exists():
            raise NotFound("model", f"{name}@{version} was registered without {file}; train again")
        return dict(json.loads(path.read_bytes()))

    def champion(self, name: str) -> tuple[int, Path] | None:
        """Return the champion's version and the directory of its sealed copy; None before the first champion."""
        version = self.alias_version(name, "champion")
        return None if version is None else (version, self.sealed_directory(name, version))

    def versions(self, name: str) -> tuple[int, ...]:
        """Return every version that has a sealed copy, in ascending order."""
        named = (one.removeprefix(f"{name}@") for one in self._sealed.names() if one.startswith(f"{name}@"))
        return tuple(sorted(int(v) for v in named if v.isdigit()))

    def sealed_directory(self, name: str, version: int) -> Path:
        """Return the directory of a version's sealed copy, whose hash is checked when it is loaded.

        :raises NotFound: there is no such version
        :raises Refused: the version is registered, and its sealed copy is missing
        """
        model = f"{name}@{version}"
        content = self._sealed.content(model)
        if content is not None:
            return self._sealed.folder / content
        if any(registered == model for registered, _ in self._rows(_CONTENTS)):
            raise Refused(f"the sealed copy of {model} is missing: run `brain repair`")
        raise NotFound("model", f"there is no {model}")

    def load(self, name: str, version: int) -> "PropensityModel":
        """Return a version from its sealed copy; raises Refused if its bytes are not those that were sealed."""
        from training.model.model import PropensityModel  # noqa: PLC0415 - LightGBM with it, which takes seconds

        directory = self.sealed_directory(name, version)
        return PropensityModel.load(directory, expected_hash=directory.name)

    def load_sentiment(self, name: str, version: int) -> SentimentModel:
        """Return a version of a sentiment model from its sealed copy; raises as `load`."""
        return SentimentModel.from_files(read_sealed(self.sealed_directory(name, version)))

    def load_hearing(self, version: int) -> HearingModel:
        """Return a version of the model that hears from its sealed copy; raises as `load`."""
        return HearingModel.from_files(read_sealed(self.sealed_directory(HEARING, version)))

    def content(self, name: str, version: int) -> str:
        """Return the hash of a version's files, which is what is approved; raises as `sealed_directory`."""
        return self.sealed_directory(name, version).name

    def seal(self, name: str, version: int) -> str:
        """Restore a version's sealed copy from MLflow if it is missing, and return its hash.

        :raises Refused: MLflow's copy is not what was registered
        """
        client = self._client()
        expected = client.get_model_version(name, str(version)).tags["content_hash"]
        if not (self._sealed.folder / expected).exists():
            local = Path(self._mlflow().artifacts.download_artifacts(f"models:/{name}/{version}"))
            files = read_files(local / "data" / expected)
            if hash_files(files) != expected:
                raise Refused(f"{name}@{version}: MLflow's copy is not what was registered; train again")
            self._sealed.add(files)
        self._sealed.name(f"{name}@{version}", expected)
        return str(expected)

    def flaws(self) -> Iterator[str]:
        """Yield the versions whose sealed copy is missing or is not what was sealed, and a registry that is lost."""
        try:
            registered = self._rows(_CONTENTS)
            yield from (f"mlflow.db: {problem}" for (problem,) in self._rows("PRAGMA quick_check") if problem != "ok")
        except Unavailable as error:
            registered = []
            yield f"mlflow.db: {error}"
        for model in self._sealed.names():
            if not self._sealed.is_whole(self._sealed.content(model) or ""):
                yield f"models/{model}: its sealed copy is missing or damaged"
        for model, content in registered:
            named = self._sealed.content(model)
            if named is None:
                yield f"models/{model}: it is registered, and has no sealed copy here"
            elif named != content:
                yield f"models/{model}: mlflow.db names another model: one of the two is another workspace's"

    def repair(self) -> Iterator[tuple[bool, str]]:
        """Make missing and damaged sealed copies anew from MLflow's; yield whether it was possible, with a line."""
        for model, content in self._rows(_CONTENTS):
            if self._sealed.is_whole(content) and self._sealed.content(model) == content:
                continue
            name, _, version = model.rpartition("@")
            damaged = self._sealed.set_aside_damaged(content)
            try:
                self.seal(name, int(version))
            except Refused as error:
                yield False, str(error)
            except Exception as error:  # noqa: BLE001 (MLflow's errors are of many kinds)
                yield False, f"{model}: MLflow has no copy of it that can be read ({type(error).__name__}); train again"
            else:
                yield True, f"{model} was copied from MLflow"
            if damaged is not None:
                remove_sealed(damaged)

    def delete(self, name: str, version: int, referenced: Callable[[str], bool]) -> None:
        """Delete a version and, unless another has the same bytes, its sealed copy.

        :param referenced: tells whether a decision names `<name>@<version>`; such a decision must stay recomputable
        :raises Refused: the version is champion, challenger, on trial or referenced
        """
        self.sealed_directory(name, version)
        if role := self._role(name, version):
            raise Refused(f"{name}@{version} cannot be deleted: {role}")
        if referenced(f"{name}@{version}"):
            raise Refused(f"{name}@{version} cannot be deleted: decisions name it and must stay recomputable")
        self._client().delete_model_version(name, str(version))
        self._sealed.forget(f"{name}@{version}")

    def _role(self, name: str, version: int) -> str:
        """Return the role that keeps a version from being deleted, with what to do first; else an empty text."""
        lineup = self.lineup(name)
        if version == lineup.champion:
            return "it is the champion; promote another first"
        if lineup.trial is not None and version == lineup.trial.version:
            return "it is on trial; end that first (brain trial --end)"
        if version == self.alias_version(name, "challenger"):
            return "it is the challenger; train or try another first"
        return ""

    def _experiment(self, client: Any, name: str) -> str:
        """Return the id of the name's experiment; creates it if needed."""
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(client.create_experiment(name, artifact_location=self._artifacts.as_uri()))

    def _client(self) -> Any:
        """Return MLflow's client.

        On first use a lock is held while MLflow creates or migrates its tables: it has no lock of its own, and fails
        halfway if two processes do so at once.
        """
        mlflow = self._mlflow()
        if not self._has_tables:
            self.settle()
            with (self._data / "mlflow.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._migrate(mlflow)
            self._has_tables = True
        return mlflow.MlflowClient(self._uri, self._uri)

    def _migrate(self, mlflow: Any) -> None:
        """Let MLflow create its tables, or bring them to its version."""
        mlflow.MlflowClient(self._uri, self._uri).search_registered_models(max_results=1)

    def _mlflow(self) -> Any:
        """Return MLflow, set to this workspace; imported on first use, because that takes seconds."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["DO_NOT_TRACK"] = "true"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        os.environ.setdefault("MPLCONFIGDIR", str(self._data / "run" / "matplotlib"))
        import mlflow  # noqa: PLC0415 - slow, and needed for training and promotion only

        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        mlflow.set_tracking_uri(self._uri)
        mlflow.set_registry_uri(self._uri)
        return mlflow


def _check_permit(model: str, directory: Path, permit: Permit | None) -> None:
    """Raise Refused unless the permit is about the files in this directory, as they are now."""
    if permit is None or (permit.asked.what, permit.asked.hash) != ("model", directory.name):
        raise Refused(f"{model} makes no decisions: nobody permitted that")
    if not is_sealed(directory):
        raise Refused(f"the files of {model} are not those that were sealed: run `brain repair`")


def _write_text(text: str, path: Path) -> None:
    path.write_text(text)


def propensity_name(version: int | None) -> str:
    """Return how decisions name a version of the propensity model; None is the catalogue's priors."""
    return PRIOR_MODEL if version is None else f"{PROPENSITY}@{version}"


def sentiment_name(language: str) -> str:
    """Return the name of the sentiment models in a language."""
    return f"{SENTIMENT}-{language}"
