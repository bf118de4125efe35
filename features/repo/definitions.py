"""Feast objects of a workspace: one entity `subject`, one feature view per source of features kept about it.

`feast apply` in a workspace imports this module through the workspace's own `definitions.py`.
"""

from collections.abc import Mapping
from pathlib import Path

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Bool, Float64, Int64, PrimitiveFeastType, String

from decisioning.schema import Dtype
from features.views import VIEWS, View, read_views, stamps_column

FEAST_TYPES: Mapping[Dtype, PrimitiveFeastType] = {
    "float": Float64,
    "int": Int64,
    "bool": Bool,
    "string": String,
    "enum": String,
    "timestamp": Int64,
}


def subject_entity() -> Entity:
    """The one entity; its value is a ledger stream id (a keyed hash), never an id the company uses."""
    return Entity(name="subject", join_keys=["subject"], value_type=ValueType.STRING, description="ledger stream id")


def feature_view(view: View, offline: Path, entity: Entity) -> FeatureView:
    """The Feast view of `view` over `offline/<view>.parquet`.

    The path is absolute: the DuckDB store resolves relative ones against the working directory. No TTL: Feast does
    not apply it to online reads, so ages are checked by `features.online` from each value's own time.
    """
    source = FileSource(
        name=f"{view.name}_history",
        path=str(offline / f"{view.name}.parquet"),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    fields = [
        Field(name=f.name, dtype=FEAST_TYPES[f.dtype], description=f.description, tags=_tags(f.unit, f.tags))
        for f in view.features
    ]
    stamps = Field(name=stamps_column(view.name), dtype=String, description="when each value was true and recorded")
    key = Field(name="subject", dtype=String)
    return FeatureView(name=view.name, entities=[entity], schema=[*fields, stamps, key], source=source, ttl=None)


def from_folder(repo: Path) -> tuple[Entity, FeatureView, FeatureView]:
    """The objects described by `repo/schema.json`; history lies in `../offline` beside the repository."""
    entity = subject_entity()
    views = {v.name: v for v in read_views(repo / "schema.json")}
    profile, scores = (feature_view(views[name], repo.parent / "offline", entity) for name in VIEWS)
    return entity, profile, scores


def _tags(unit: str | None, tags: tuple[str, ...]) -> dict[str, str]:
    return {**({"unit": unit} if unit else {}), **({"tags": ",".join(tags)} if tags else {})}
