"""The one FeatureStore that a process keeps for a workspace, and its online store."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import ibis  # type: ignore[import-untyped]
from feast import FeatureStore
from feast.protos.feast.types.Value_pb2 import Value as Proto

from decisioning.errors import Refused, Unavailable
from features.profile.online_sqlite import SqliteOnline
from features.profile.rows import BUSY_S, Online, Reader, Table, Values, Write
from features.repo.definitions import feature_view, from_folder, signals_view, subject_entity
from features.views import SIGNALS, SIGNALS_STATE, SIGNALS_VERSION, Layout, ProfileView

CHUNK = 500
"""Subjects per write transaction, chosen so that a bulk load delays live writes by about 100 ms at most."""


class SignalState(NamedTuple):
    """The state of a subject's signals, as `features.signals` encodes it; `version` is that of its ledger row."""

    version: int
    body: bytes


NOTHING = SignalState(-1, b"")


def register(layout: Layout) -> None:
    """Apply the generated repository, as `feast apply` does: write registry rows and create online tables."""
    store = FeatureStore(repo_path=str(layout.repo))
    if store.config.online_store.type == "sqlite":
        with sqlite3.connect(layout.online) as online:
            online.execute("PRAGMA journal_mode=WAL")  # the file keeps this setting: readers never wait for a writer
        online.close()
    store.apply(list(from_folder(layout.repo)))


class Store:
    """The FeatureStore of one workspace; create one per process. Safe for threads and processes.

    Nothing here reads through Feast's registry caches, which lag behind an `apply` of another process.
    """

    def __init__(self, workspace_data_dir: Path) -> None:
        self.layout = Layout(workspace_data_dir.resolve())
        if not (self.layout.repo / "feature_store.yaml").exists():
            raise Refused("this workspace has no feature repository yet: run `brain release`")
        self.feast = FeatureStore(repo_path=str(self.layout.repo))
        self.config = self.feast.config
        self.signals = Table(
            SIGNALS, (SIGNALS_VERSION, SIGNALS_STATE), signals_view(self.layout.offline, subject_entity())
        )

    @cached_property
    def online(self) -> Online:
        """The SQLite or Redis store that the repository names, opened at its first use."""
        feast = self.feast._get_provider().online_store
        if self.config.online_store.type == "sqlite":
            return SqliteOnline(feast, self.config)
        from features.profile.online_redis import RedisOnline  # noqa: PLC0415  its client: only where there is a Redis

        return RedisOnline(feast, self.config, self.layout.home.read_text())

    @cached_property
    def _read_signals(self) -> Reader:
        return self.online.reader([self.signals])

    def offline(self) -> FeatureStore:
        """Return the FeatureStore for point-in-time joins, with DuckDB set to spill into the workspace."""
        duckdb, spill = ibis.get_backend().con, str(self.layout.offline / "spill")
        if duckdb.execute("SELECT current_setting('temp_directory')").fetchone() != (spill,):
            duckdb.execute("SET temp_directory = ?", [spill])  # DuckDB refuses this once it has spilled
        return self.feast

    def table(self, view: ProfileView) -> Table:
        """Return the view's table, built from the schema, since a registry cache may be old."""
        columns = (view.stamps, *(f.name for f in view.features))
        return Table(view.name, columns, feature_view(view, self.layout.offline, subject_entity()))

    def read_signals(self, subjects: Sequence[str]) -> list[SignalState | None]:
        """Return the states in the order of `subjects`, None for one without signals. Raises Unavailable."""
        return [signal_state(values) for values in self._read_signals(subjects)]

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


def signal_state(values: Values) -> SignalState | None:
    """Return the state of a subject's signals from its values, or None if they hold none."""
    version, body = values.get(SIGNALS_VERSION), values.get(SIGNALS_STATE)
    return SignalState(version.int64_val, body.bytes_val) if version is not None and body is not None else None


def _newer(states: Mapping[str, tuple[int, bytes]], subject: str, values: Values) -> Write | None:
    """Return the write for a subject, or None if the stored state is newer or the same.

    Equal versions replace each other, as another release recomputes a state under the same version.
    """
    version, body = states[subject]
    stored = signal_state(values)
    if stored is not None and (stored.version > version or stored == (version, body)):
        return None
    now_us = time.time_ns() // 1000
    return Write({SIGNALS_VERSION: Proto(int64_val=version), SIGNALS_STATE: Proto(bytes_val=body)}, now_us, now_us)
