"""Feast's Redis online store, without its pitfalls.

Feast reads an absent entity as nulls of 1970, silently drops a row that is not newer than the stored one, and checks
that without a lock. So this module writes the hashes of Feast's documented format itself, in a transaction that fails
if the subject changed since it was read. All views of a subject are fields of one hash.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value as Proto
from google.protobuf.timestamp_pb2 import Timestamp
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import RedisError, TimeoutError, WatchError
from redis.retry import Retry

from decisioning.errors import Refused, Unavailable
from features.deadlines import Silence
from features.profile.stores.packing import KIND_OF
from features.profile.stores.protos import entity_key, from_proto, to_proto
from features.profile.stores.rows import BUSY_S, Change, Kind, OnlineRow, Reader, Table
from features.profile.versions import NEVER, Cell, Stamp, State, Version, decode_stamps, encode_stamps
from features.views import stamps_column

FILLED = b"filled"
Command = tuple[bytes, list[bytes]]
"""The key of a hash, and the fields to read from it."""
Reply = list[bytes | None]
Values = Mapping[str, Any]
"""Column -> Feast's protobuf value, without columns that were never written. No two views share a column."""


class RedisOnline:
    """The online store over Feast's `store` (a RedisOnlineStore) with `config` (a RepoConfig).

    A Redis that was restarted without its data answers as if nobody had a profile. So it holds a mark of this
    workspace, named after `home`, and every read checks the mark.
    """

    def __init__(self, store: Any, config: Any, home: str) -> None:
        self._mark = f"brain:{home}".encode()
        self._store = store
        self._config = config
        self.client: Any = store._get_client(config.online_store)  # connects at its first command
        once = Retry(NoBackoff(), 1, supported_errors=(Unreachable,))
        self.client.set_retry(once)  # at once, for a stale connection; not for one that does not answer
        self._silence = Silence("the online feature store", self._ask)

    def reader(self, tables: Sequence[Table]) -> Reader:
        """Return a reader that sends one command per subject for all of its views, all commands at once."""
        fields = _fields(tables)

        def read(subjects: Sequence[str]) -> list[Sequence[OnlineRow | None]]:
            with self._reached():
                (filled,), *rows = self._fetch((self._mark, [FILLED]), *_commands(fields, self._keys(subjects)))
            if filled is None:
                raise Unavailable("the online feature store lost what it held; fill it again with `brain release`")
            return [[_row(table, values) for table in tables] for values in _decoded(fields, rows)]

        return read

    def update(self, table: Table, subjects: Sequence[str], change: Change, *, durable: bool = True) -> None:
        """Update all subjects in one transaction, and in halves again while one of them changes meanwhile."""
        fields, give_up_s = _fields([table]), time.monotonic() + BUSY_S
        waiting = [list(subjects)]
        while waiting:
            part = waiting.pop()
            with self._reached():
                if self._apply(table, fields, part, change):
                    continue
            if time.monotonic() > give_up_s:
                raise Unavailable("others kept writing about the same subjects; try again")
            half = (len(part) + 1) // 2
            waiting += filter(None, (part[half:], part[:half]))

    def replace(self, table: Table, rows: pa.Table) -> pa.Array:
        """Write nothing: every row takes the way of an update, which Redis needs against other writers."""
        return pa.repeat(pa.scalar(True), rows.num_rows)

    def forget(self, tables: Sequence[Table], subjects: Sequence[str]) -> None:
        """Erase subjects from Redis's memory; its files, if it is configured to keep any, are its owner's."""
        if subjects:
            with self._reached():
                self.client.delete(*self._keys(subjects))

    def probe(self) -> None:
        """Write a field that nobody reads."""
        with self._reached():
            self.client.hset(self._mark, "probe", str(time.time_ns()))

    def remove_remains(self, pass_us: int) -> None:
        """Do nothing: Redis's files are its owner's."""

    def filled(self) -> bool:
        """Tell whether Redis holds the mark that every read checks."""
        with self._reached():
            return bool(self.client.hexists(self._mark, FILLED))

    def fill(self) -> None:
        """Set the mark. It is as durable as the other data in Redis, so that both are lost together."""
        with self._reached():
            self.client.hset(self._mark, FILLED, b"1")

    def _apply(self, table: Table, fields: Mapping[str, bytes], subjects: list[str], change: Change) -> bool:
        """Write the changes and return True, or write nothing and return False if another writer came in between."""
        keys = self._keys(subjects)
        with self.client.pipeline() as pipe:
            pipe.watch(*keys)  # before the read below, which uses another connection
            current = _decoded(fields, self._fetch(*_commands(fields, keys)))
            pipe.multi()
            for subject, key, values in zip(subjects, keys, current, strict=True):
                news = change(subject, _state(table, values))
                if news:
                    pipe.hset(key, mapping=_hash(table, fields, news, _stamps(table, values)))
            try:
                pipe.execute()
            except WatchError:
                return False
        return True

    def _fetch(self, *commands: Command) -> list[Reply]:
        return self._store._read_hash_fields(self._config, commands)  # type: ignore[no-any-return]

    def _keys(self, subjects: Sequence[str]) -> list[bytes]:
        return self._store._generate_redis_keys_for_entities(  # type: ignore[no-any-return]
            self._config, [entity_key(subject) for subject in subjects]
        )

    @contextmanager
    def _reached(self) -> Iterator[None]:
        self._silence.check()
        try:
            yield
        except RedisError as error:
            if isinstance(error, Unreachable | TimeoutError):
                self._silence.begin()
            raise Unavailable("the online feature store cannot be reached") from error

    def _ask(self) -> None:
        try:
            self.client.ping()
        except RedisError as error:
            raise Unavailable("the online feature store cannot be reached") from error


def _fields(tables: Sequence[Table]) -> dict[str, bytes]:
    """Return column -> its field in a subject's hash: 32 bits that Feast derives from the name.

    Raises Refused if two columns have the same field.
    """
    owners: dict[bytes, str] = {}
    for table in tables:
        stamps = [stamps_column(table.name)] if table.stamped else []
        for column in (*stamps, *table.kinds):
            other = owners.setdefault(_mmh3(f"{table.name}:{column}"), column)
            if other != column:
                raise Refused(f"Redis cannot tell feature {column} from {other}: give one of them another name")
    return {column: field for field, column in owners.items()}


def _commands(fields: Mapping[str, bytes], keys: Sequence[bytes]) -> list[Command]:
    columns = list(fields.values())
    return [(key, columns) for key in keys]


def _decoded(fields: Mapping[str, bytes], rows: Sequence[Reply]) -> list[Values]:
    return [{c: Proto.FromString(v) for c, v in zip(fields, row, strict=True) if v is not None} for row in rows]


def _stamps(table: Table, values: Values) -> Mapping[str, Stamp]:
    """Return the time of each column that was stated, also of columns that the table does not have."""
    proto = values.get(stamps_column(table.name))
    return decode_stamps(proto.string_val) if proto is not None and proto.string_val else {}


def _state(table: Table, values: Values) -> State:
    stamps = _stamps(table, values)
    known = {name: from_proto(values[name], kind) for name, kind in table.kinds.items() if name in values}
    if not table.stamped:
        return {name: Version(value, NEVER) for name, value in known.items()}
    return {name: Version(known.get(name), stamp) for name, stamp in stamps.items()}


def _row(table: Table, values: Values) -> OnlineRow | None:
    state = _state(table, values)
    cells: dict[str, Cell] = {name: v.value for name, v in state.items() if v.value is not None}
    return (cells, {name: state[name].stamp.event_us for name in cells}) if cells else None


def _kind(value: Cell | None) -> Kind:
    """Return the kind of a value itself; that of its feature may have changed."""
    return "?" if value is None else KIND_OF[type(value)]


def _hash(
    table: Table, fields: Mapping[str, bytes], news: State, stamps: Mapping[str, Stamp]
) -> dict[str | bytes, bytes]:
    """Return the fields to set: the new values, their times, and the newest time of the row for Feast's own readers."""
    cells: dict[str | bytes, bytes] = {
        fields[name]: to_proto(version.value, _kind(version.value)).SerializeToString()
        for name, version in news.items()
    }
    merged = {**stamps, **{name: version.stamp for name, version in news.items()}}
    if table.stamped:
        cells[fields[stamps_column(table.name)]] = Proto(string_val=encode_stamps(merged)).SerializeToString()
    moment = Timestamp()
    moment.FromMicroseconds(max(stamp.event_us for stamp in merged.values()))
    return cells | {f"_ts:{table.name}": moment.SerializeToString()}
