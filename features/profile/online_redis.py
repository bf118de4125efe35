"""Feast's Redis online store, without its traps.

Feast reads an absent entity as nulls of 1970, silently drops a row that is not newer than the stored one, and checks
that without a lock. So we write the hashes of its documented format ourselves, in a transaction that fails when the
subject changed since it was read. All views of a subject are fields of one hash.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value as Proto
from google.protobuf.timestamp_pb2 import Timestamp
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import RedisError, TimeoutError, WatchError
from redis.retry import Retry

from decisioning.errors import Refused, Unavailable
from features.profile.rows import BUSY_S, Change, Reader, Table, Values, Write, entity_key

SILENCE_S = 1.0
"""Who could not be reached is not asked again for so long: a request must not wait for what the last one waited for."""

FILLED = b"filled"
Command = tuple[bytes, list[bytes]]
"""A hash, and which of its fields are asked for."""
Reply = list[bytes | None]


class RedisOnline:
    """Feast's `store` (a RedisOnlineStore) with `config` (a RepoConfig).

    A Redis that was restarted without its data answers as if nobody had a profile. So it holds a mark of this
    workspace, `home`, which every read asks for too.
    """

    def __init__(self, store: Any, config: Any, home: str) -> None:
        self._mark = f"brain:{home}".encode()
        self._store = store
        self._config = config
        self._silent_until_s = 0.0
        self.client: Any = store._get_client(config.online_store)  # it connects when first asked
        self.client.set_retry(Retry(NoBackoff(), 1))  # at once, for a connection gone stale; never seconds later

    def reader(self, tables: Sequence[Table]) -> Reader:
        """One command per subject for all of its views, all commands at once."""
        fields = _fields(tables)

        def read(subjects: Sequence[str]) -> list[Values]:
            with self._reached():
                (filled,), *rows = self._fetch((self._mark, [FILLED]), *_commands(fields, self._keys(subjects)))
            if filled is None:
                raise Unavailable("the online feature store lost what it held; fill it again with `brain release`")
            return _decoded(fields, rows)

        return read

    def update(self, table: Table, subjects: Sequence[str], change: Change, *, durable: bool = True) -> None:
        """All subjects in one transaction; when one of them changed meanwhile, again in halves."""
        fields, give_up_s = _fields([table]), time.monotonic() + BUSY_S
        waiting = [list(subjects)]
        while waiting:
            part = waiting.pop()
            with self._reached():
                if self._changed(table, fields, part, change):
                    continue
            if time.monotonic() > give_up_s:
                raise Unavailable("others kept writing about the same subjects; try again")
            half = (len(part) + 1) // 2
            waiting += filter(None, (part[half:], part[:half]))

    def forget(self, tables: Sequence[Table], subjects: Sequence[str]) -> None:
        """Of memory; what Redis was configured to keep in its files is its owner's."""
        if subjects:
            with self._reached():
                self.client.delete(*self._keys(subjects))

    def rewrite(self) -> None:
        """Nothing: Redis's files are its owner's."""

    def filled(self) -> bool:
        """As every read asks."""
        with self._reached():
            return bool(self.client.hexists(self._mark, FILLED))

    def fill(self) -> None:
        """As durable as the rest of what Redis holds: they are lost together."""
        with self._reached():
            self.client.hset(self._mark, FILLED, b"1")

    def _changed(self, table: Table, fields: Mapping[str, bytes], subjects: list[str], change: Change) -> bool:
        """False, and nothing written, when another writer came between reading and writing."""
        keys = self._keys(subjects)
        with self.client.pipeline() as pipe:
            pipe.watch(*keys)
            held = _decoded(
                fields, self._fetch(*_commands(fields, keys))
            )  # by another connection: the watch began before
            pipe.multi()
            for subject, key, values in zip(subjects, keys, held, strict=True):
                write = change(subject, values)
                if write:
                    pipe.hset(key, mapping=_hash(table, fields, write))
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
        if time.monotonic() < self._silent_until_s:
            raise Unavailable("the online feature store could not be reached a moment ago")
        try:
            yield
        except RedisError as error:
            if isinstance(error, Unreachable | TimeoutError):
                self._silent_until_s = time.monotonic() + SILENCE_S
            raise Unavailable("the online feature store cannot be reached") from error


def _fields(tables: Sequence[Table]) -> dict[str, bytes]:
    """Column -> its field in a subject's hash: 32 bits that Feast makes of the name. Raises Refused for two alike."""
    owners: dict[bytes, str] = {}
    for table in tables:
        for column in table.columns:
            other = owners.setdefault(_mmh3(f"{table.name}:{column}"), column)
            if other != column:
                raise Refused(f"Redis cannot tell feature {column} from {other}: give one of them another name")
    return {column: field for field, column in owners.items()}


def _commands(fields: Mapping[str, bytes], keys: Sequence[bytes]) -> list[Command]:
    wanted = list(fields.values())
    return [(key, wanted) for key in keys]


def _decoded(fields: Mapping[str, bytes], rows: Sequence[Reply]) -> list[Values]:
    return [{c: Proto.FromString(v) for c, v in zip(fields, row, strict=True) if v is not None} for row in rows]


def _hash(table: Table, fields: Mapping[str, bytes], write: Write) -> dict[str | bytes, bytes]:
    moment = Timestamp()
    moment.FromMicroseconds(write.event_us)
    cells: dict[str | bytes, bytes] = {f"_ts:{table.name}": moment.SerializeToString()}
    return cells | {fields[column]: value.SerializeToString() for column, value in write.values.items()}
