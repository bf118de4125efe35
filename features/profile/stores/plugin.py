"""The packed store in a SQLite file as Feast's plugin, for `get_online_features`, `feast materialize`, `feast ui`."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.types import Bool, Bytes, Float64, Int64, String
from pydantic import StrictStr

from decisioning.times import datetime_at, microseconds
from features.profile.stores.packing import KIND_OF
from features.profile.stores.protos import from_proto, to_proto
from features.profile.stores.rows import Kind, Table
from features.profile.stores.sqlite import SqliteOnline
from features.profile.versions import NEVER, Cell, Stamp, State, Version, decode_stamps, encode_stamps, newer
from features.views import SIGNALS, stamps_column

_KINDS: dict[Any, Kind] = {Float64: "d", Int64: "q", Bool: "?", String: "s", Bytes: "b"}
FeastRow = tuple[Any, dict[str, Any], datetime, datetime | None]
"""Entity key, column -> protobuf value, time in the world, time of recording."""


class PackedOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # Feast is untyped
    """What `feature_store.yaml` says of the store."""

    type: Literal["features.profile.stores.plugin.PackedOnlineStore"] = (
        "features.profile.stores.plugin.PackedOnlineStore"
    )
    path: StrictStr


class PackedOnlineStore(OnlineStore):  # type: ignore[misc]  # Feast is untyped
    """Feast's OnlineStore over `SqliteOnline`; the times of values come and go in the view's column of times."""

    _path: str | None = None

    @cached_property
    def _online(self) -> SqliteOnline:
        return SqliteOnline(Path(self._path or ""))

    def _opened(self, config: RepoConfig) -> SqliteOnline:
        self._path = self._path or config.online_store.path
        return self._online

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[FeastRow], progress: Callable[[int], Any] | None
    ) -> None:
        """Write rows; per value, a newer one that is stored stays."""
        packed = _table(table)
        states: dict[str, State] = {}
        for key, values, event, created in data:
            state = states.setdefault(_subject(key), {})
            state.update(newer(state, _versions(packed, values, _stamp(event, created))))
        self._opened(config).update(packed, list(states), partial(_news, states))
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """Return the newest time and the values of each row; values of other kinds than the view's are null."""
        packed = _table(table)
        names = requested_features or [*packed.kinds, *([stamps_column(table.name)] if packed.stamped else [])]
        states = self._opened(config).states(packed, [_subject(key) for key in entity_keys])
        return [_answer(packed, names, state) if state else (None, None) for state in states]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Create the file; a view needs nothing of its own in it."""
        self._opened(config).filled()

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Delete the file."""
        for suffix in ("", "-wal", "-shm"):
            Path(config.online_store.path + suffix).unlink(missing_ok=True)


def _table(view: FeatureView) -> Table:
    kinds = {field.name: _KINDS[field.dtype] for field in view.features if field.name != stamps_column(view.name)}
    return Table(view.name, kinds, stamped=view.name != SIGNALS)


def _subject(key: Any) -> str:
    return str(key.entity_values[0].string_val)


def _stamp(event: datetime, created: datetime | None) -> Stamp:
    """Return the times of a row; Feast's naive times are in UTC."""
    event_us, created_us = (microseconds(t if t.tzinfo else t.replace(tzinfo=UTC)) for t in (event, created or event))
    return Stamp(event_us, created_us)


def _versions(table: Table, values: dict[str, Any], written: Stamp) -> State:
    proto = values.get(stamps_column(table.name))
    stamps = decode_stamps(proto.string_val) if proto is not None and proto.string_val else {}
    default = NEVER if table.stamped else written
    known = {name: from_proto(values[name], kind) for name, kind in table.kinds.items() if name in values}
    stated = {name: value for name, value in known.items() if value is not None or name in stamps}
    return {name: Version(value, stamps.get(name, default)) for name, value in stated.items()}


def _news(states: dict[str, State], subject: str, stored: State) -> State:
    return newer(stored, states[subject])


def _answer(table: Table, names: list[str], state: State) -> tuple[datetime, dict[str, Any]]:
    stamps = {name: version.stamp for name, version in state.items() if version.stamp != NEVER}
    column = stamps_column(table.name)
    values = {name: _proto(state.get(name), table.kinds[name]) for name in names if name != column}
    if column in names:
        values[column] = to_proto(encode_stamps(stamps) if stamps else None, "s")
    return datetime_at(max((stamp.event_us for stamp in stamps.values()), default=0)), values


def _proto(version: Version | None, kind: Kind) -> Any:
    """Return the protobuf value of a version, empty if it is of another kind."""
    value: Cell | None = None if version is None else version.value
    if value is not None and KIND_OF[type(value)] != kind:
        value = float(value) if (KIND_OF[type(value)], kind) == ("q", "d") else None
    return to_proto(value, kind)
