"""The stores that a process keeps for a workspace: the online store, and Feast's FeatureStore, which few need."""

import atexit
import glob
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from decisioning.errors import Unavailable
from features.duck import SpillFolder
from features.feast_library import import_feast
from features.profile.migration import count_as_recorded, migrate
from features.profile.repository import online_at, register, settle
from features.profile.stores.rows import BUSY_S, SIGNALS_TABLE, Online, OnlineRow, Reader
from features.profile.stores.sqlite import SqliteOnline
from features.profile.versions import Stamp, State, Version
from features.sqlite_errors import REPAIR, size_of
from features.views import SIGNALS_STATE, SIGNALS_VERSION, Layout

if TYPE_CHECKING:  # Feast takes seconds to import
    from feast import FeatureStore

CHUNK = 500
"""Subjects per write transaction, chosen so that a bulk load delays live writes by about 100 ms at most."""


_LOST = f"the online feature store is gone: {REPAIR}, which fills it from the history"


class _LiteralPaths:
    """Reads a Parquet file by its path as it is: to DuckDB, a folder `shop[12]` is a pattern, and `age=30` a column."""

    def __init__(self, read: Callable[..., Any]) -> None:
        self._read = read

    def __call__(self, path: str | Path, **options: Any) -> Any:
        """Return the file as a table of ibis."""
        return self._read(glob.escape(str(path)), hive_partitioning=False, **options)


class SignalState(NamedTuple):
    """The state of a subject's signals, as `features.signals` encodes it; `version` is that of its ledger row."""

    version: int
    body: bytes


NOTHING = SignalState(-1, b"")


class Store:
    """The stores of one workspace; create one per process. Safe for threads and processes.

    :param filling: the caller fills the online store; otherwise one that holds nothing is refused

    Nothing here reads through Feast's registry caches, which lag behind an `apply` of another process. Raises Refused
    before the first release.
    """

    signals = SIGNALS_TABLE

    def __init__(self, workspace_data_dir: Path, *, filling: bool = False) -> None:
        self.layout = Layout(workspace_data_dir.resolve())
        self._redis, self._filling = online_at(self.layout), filling

    @cached_property
    def feast(self) -> "FeatureStore":
        """Feast's own view of the workspace, registered for the folder in which the workspace is now."""
        feast = import_feast()  # decisions do not need it
        if settle(self.layout):
            register(self.layout)
        return cast("FeatureStore", feast.FeatureStore(repo_path=str(self.layout.repo)))

    @property
    def config(self) -> Any:
        """Feast's configuration of the workspace."""
        return self.feast.config

    @cached_property
    def online(self) -> Online:
        """The SQLite file, or the Redis that the repository names, opened at its first use.

        Raises Unavailable if the file is gone: an empty one in its place would make every fact unknown, unnoticed.
        """
        online = self._opened()
        count_as_recorded(self.layout, online)
        return online

    def _opened(self) -> Online:
        if self._redis is None:
            is_new = self._filling or not self.layout.home.exists()
            if not is_new and not size_of(self.layout.online):
                raise Unavailable(_LOST)
            online = SqliteOnline(self.layout.online, self.layout.identity)
            migrate(self.layout, online)
            if not is_new and not online.filled():
                raise Unavailable(_LOST)
            return online
        import_feast()
        from features.profile.stores.redis import RedisOnline  # noqa: PLC0415  needs Feast, and its client

        return RedisOnline(self.feast._get_provider().online_store, self.config, self.layout.home.read_text())

    def offline(self) -> "FeatureStore":
        """Return the FeatureStore for point-in-time joins, with DuckDB set to spill into the workspace."""
        import ibis  # type: ignore[import-untyped]  # noqa: PLC0415  as Feast

        backend = ibis.get_backend()
        if not isinstance(backend.read_parquet, _LiteralPaths):
            backend.read_parquet = _LiteralPaths(backend.read_parquet)
        duckdb, inside = backend.con, str(self.layout.offline)
        if not str(duckdb.execute("SELECT current_setting('temp_directory')").fetchone()[0]).startswith(inside):
            spill = SpillFolder(self.layout.offline)
            atexit.register(spill.remove)
            duckdb.execute("SET temp_directory = ?", [str(spill.path)])  # DuckDB refuses this once it has spilled
        return self.feast

    @cached_property
    def _read_signals(self) -> Reader:
        return self.online.reader([self.signals])

    def read_signals(self, subjects: Sequence[str]) -> list[SignalState | None]:
        """Return the states in the order of `subjects`, None for one without signals. Raises Unavailable."""
        return [signal_state(row) for (row,) in self._read_signals(subjects)]

    def write_signals(self, states: Mapping[str, tuple[int, bytes]]) -> None:
        """Write states (version, body); when this returns, every process reads these versions or newer ones.

        A power cut may undo the write, as the ledger's database is authoritative. Raises Unavailable when the store
        cannot be reached, or when other writers block it for longer than `BUSY_S`; states written by then stay.
        """
        subjects = list(states)
        for start in range(0, len(subjects), CHUNK):
            self._write_signals({s: states[s] for s in subjects[start : start + CHUNK]})

    def _write_signals(self, states: dict[str, tuple[int, bytes]]) -> None:
        pending, give_up_s = states, time.monotonic() + BUSY_S
        while pending:
            self.online.update(self.signals, list(pending), partial(_newer, pending), durable=False)
            stored = dict(zip(pending, self.read_signals(list(pending)), strict=True))
            pending = {s: state for s, state in pending.items() if (stored[s] or NOTHING).version < state[0]}
            if pending and time.monotonic() > give_up_s:
                raise Unavailable("signals were written and cannot be read back; send them again")


def signal_state(row: OnlineRow | None) -> SignalState | None:
    """Return the state of a subject's signals from its row, or None if there is none."""
    if row is None or SIGNALS_VERSION not in row[0] or SIGNALS_STATE not in row[0]:
        return None
    return SignalState(cast(int, row[0][SIGNALS_VERSION]), cast(bytes, row[0][SIGNALS_STATE]))


def _newer(states: Mapping[str, tuple[int, bytes]], subject: str, stored: State) -> State | None:
    """Return the write for a subject, or None if the stored state is newer or the same.

    Equal versions replace each other, as another release recomputes a state under the same version.
    """
    version, body = states[subject]
    old = signal_state(({name: v.value for name, v in stored.items() if v.value is not None}, 0))
    if old is not None and (old.version > version or old == (version, body)):
        return None
    now = Stamp(*[time.time_ns() // 1000] * 2)
    return {SIGNALS_VERSION: Version(version, now), SIGNALS_STATE: Version(body, now)}
