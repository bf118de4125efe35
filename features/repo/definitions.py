"""Feast objects of a workspace: the entity `subject`, a feature view per source of its features, and a view of the
state of its signals.

`feast apply` in a workspace imports this module through the workspace's own `definitions.py`.
"""

from collections.abc import Mapping
from pathlib import Path

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Bool, Bytes, Float64, Int64, PrimitiveFeastType, String

from decisioning.facts.schema import Dtype, worded
from features.views import (
    PROFILE,
    SCORES,
    SIGNALS,
    SIGNALS_STATE,
    SIGNALS_VERSION,
    VIEWS,
    ProfileView,
    read_views,
    stamps_column,
)

FEAST_TYPES: Mapping[Dtype, PrimitiveFeastType] = {
    "float": Float64,
    "int": Int64,
    "bool": Bool,
    "string": String,
    "enum": String,
    "timestamp": Int64,
}

FACTS, INTERNAL = {"holds": "features"}, {"holds": "state"}
"""Tags by which Feast's page and `feast feature-views list --tags` tell features from what the brain keeps beside."""
DESCRIPTIONS: Mapping[str, str] = {
    PROFILE: "Facts of customers, from imports and other systems.",
    SCORES: "Scores of risk models, written after each training.",
    SIGNALS: "Internal: counts, sums and sessions of signals in one encoded value. It holds no feature to train on.",
}


def subject_entity() -> Entity:
    """Return the only entity. Its value is a ledger stream id (a keyed hash), never an id that the company uses."""
    return Entity(name="subject", join_keys=["subject"], value_type=ValueType.STRING, description="ledger stream id")


def feature_view(view: ProfileView, offline: Path, entity: Entity) -> FeatureView:
    """Return the Feast view of `view` over `offline/<view>.parquet`.

    The path is absolute, as the DuckDB store resolves relative ones against the working directory. There is no TTL:
    Feast does not apply it to online reads, so `features.profile.online` checks ages by the time of each value.
    """
    fields = [
        Field(
            name=f.name,
            dtype=FEAST_TYPES[f.dtype],
            description=worded(f.description, "en"),
            tags=_tags(f.unit, f.tags),
        )
        for f in view.features
    ]
    stamps = Field(name=stamps_column(view.name), dtype=String, description="when each value was true and recorded")
    return _view(view.name, [*fields, stamps], offline, entity, FACTS)


def signals_view(offline: Path, entity: Entity) -> FeatureView:
    """Return the view of the state of a subject's signals, one value and its version; its history file stays empty."""
    fields = [
        Field(name=SIGNALS_VERSION, dtype=Int64, description="version of the state in the ledger's database"),
        Field(name=SIGNALS_STATE, dtype=Bytes, description="windows, sums and sessions, encoded"),
    ]
    return _view(SIGNALS, fields, offline, entity, INTERNAL)


def _view(name: str, fields: list[Field], offline: Path, entity: Entity, tags: dict[str, str]) -> FeatureView:
    source = FileSource(
        name=f"{name}_history",
        path=str(offline / f"{name}.parquet"),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    key = Field(name="subject", dtype=String)
    about = {"description": DESCRIPTIONS[name], "tags": tags}
    return FeatureView(name=name, entities=[entity], schema=[*fields, key], source=source, ttl=None, **about)


def from_folder(repo: Path) -> tuple[Entity, FeatureView, FeatureView, FeatureView]:
    """Return the objects that `repo/schema.json` describes; their history files are in `../offline`."""
    entity = subject_entity()
    views = {v.name: v for v in read_views(repo / "schema.json")}
    offline = repo.parent / "offline"
    profile, scores = (feature_view(views[name], offline, entity) for name in VIEWS)
    return entity, profile, scores, signals_view(offline, entity)


def _tags(unit: str | None, tags: tuple[str, ...]) -> dict[str, str]:
    return {**({"unit": unit} if unit else {}), **({"tags": ",".join(tags)} if tags else {})}
