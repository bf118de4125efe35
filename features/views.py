"""How declared features are stored: in which view, with which Arrow type, in which files. Does not import Feast."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from decisioning.errors import Refused
from decisioning.facts.schema import Dtype, Feature, FeatureSchema, Source
from features.sqlite_errors import REPAIR

PROFILE, SCORES, SIGNALS = "profile", "scores", "signals"
VIEWS: Mapping[str, Source] = {PROFILE: "profile", SCORES: "model"}
"""Feature view -> the source whose features it holds."""
_NOT_STORED: Final = ("because", "purpose", "routing")

SIGNALS_VERSION, SIGNALS_STATE = "_signals_version", "_signals_state"
"""The two columns of the third view, of the state of a subject's signals, which has no history but the ledger's."""

ARROW_TYPES: Mapping[Dtype, pa.DataType] = {
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "enum": pa.string(),
    "timestamp": pa.int64(),
}
PYTHON_TYPES: Mapping[Dtype, frozenset[type]] = {
    "float": frozenset({float, int}),
    "int": frozenset({int}),
    "bool": frozenset({bool}),
    "string": frozenset({str}),
    "enum": frozenset({str}),
    "timestamp": frozenset({int}),
}
"""Exact Python types of a fact of each dtype: a bool is not an int, and a numpy scalar is neither."""

TIME = pa.timestamp("us", tz="UTC")
SIGNALS_SCHEMA = pa.schema(
    [
        ("subject", pa.string()),
        ("event_timestamp", TIME),
        ("created", TIME),
        (SIGNALS_VERSION, pa.int64()),
        (SIGNALS_STATE, pa.binary()),
    ]
)
"""The schema of the empty file that Feast reads if a user materializes all views."""


def stamps_column(view: str) -> str:
    """Return the column in which a view keeps the times of its values; no feature's name starts with an underscore."""
    return f"_{view}_stamps"


@dataclass(frozen=True)
class ProfileView:
    """One feature view; its features are sorted by name."""

    name: str
    features: tuple[Feature, ...]

    @property
    def stamps(self) -> str:
        """The name of its column of encoded stamps."""
        return stamps_column(self.name)

    @property
    def arrow_schema(self) -> pa.Schema:
        """The schema of its history: key, time in the world, time of recording, stamps, then a column per feature."""
        head = [("subject", pa.string()), ("event_timestamp", TIME), ("created", TIME), (self.stamps, pa.string())]
        return pa.schema([*head, *((f.name, ARROW_TYPES[f.dtype]) for f in self.features)])


def views_of(schema: FeatureSchema) -> tuple[ProfileView, ...]:
    """Return the views of a schema in the order of `VIEWS`, including those without features."""
    return tuple(ProfileView(name, tuple(map(_stored, schema.of_source(source)))) for name, source in VIEWS.items())


def _stored(feature: Feature) -> Feature:
    """Return what stores need of a feature: how it is told as a reason, and when it is read, change no store."""
    is_same = feature.because is None and feature.purpose is None
    return feature if is_same else feature.model_copy(update=dict.fromkeys(_NOT_STORED))


def write_views(schema: FeatureSchema) -> str:
    """Return the views of a schema as JSON text, from which `read_views` makes equal views."""
    body = {v.name: [f.model_dump(mode="json", exclude=set(_NOT_STORED)) for f in v.features] for v in views_of(schema)}
    return json.dumps(body, indent=1, sort_keys=True) + "\n"


def read_views(path: Path) -> tuple[ProfileView, ...]:
    """Return the views described by a file with the text of `write_views`. Raises Refused if it is damaged."""
    try:
        body = json.loads(path.read_text())
        return tuple(
            ProfileView(name, tuple(Feature.model_validate_json(json.dumps(f)) for f in features))
            for name, features in body.items()
        )
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Refused(f"{path} is damaged or of another kind: {REPAIR}") from error


@dataclass(frozen=True)
class Layout:
    """The paths within a workspace's data folder, all absolute."""

    data: Path

    @property
    def identity(self) -> Path:
        """File by which a database is told from another workspace's; there is none before a ledger was opened."""
        return self.data / "identity"

    @property
    def repo(self) -> Path:
        """The generated Feast repository."""
        return self.data / "feature_repo"

    @property
    def offline(self) -> Path:
        """Folder of the history: one Parquet file per view, and the spool."""
        return self.data / "offline"

    @property
    def online(self) -> Path:
        """SQLite file of the online store."""
        return self.data / "online.db"

    @property
    def registry(self) -> Path:
        """SQLite file of the Feast registry."""
        return self.data / "registry.db"

    @property
    def applied(self) -> Path:
        """File with a hash of the repository that was applied last; there is none before the first time."""
        return self.repo / ".applied"

    @property
    def home(self) -> Path:
        """File with the name of this workspace in its online store; every move to another store changes the name."""
        return self.repo / "home"

    @property
    def spool(self) -> Path:
        """SQLite file of statements that are not in the Parquet files yet."""
        return self.offline / "spool.db"

    def history(self, view: str) -> Path:
        """Return the path of a view's Parquet file."""
        return self.offline / f"{view}.parquet"
