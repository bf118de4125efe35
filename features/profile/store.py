"""The one FeatureStore that a process keeps of a workspace, and its online store."""

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
"""Subjects per write transaction: a bulk load stalls no live write for longer than some 100 ms."""


class SignalState(NamedTuple):
    """What a subject's signals amount to, as the signals module encodes it; `version` is that of its ledger row."""

    version: int
    body: bytes


NOTHING = SignalState(-1, b"")


def register(layout: Layout) -> None:
    """`feast apply` of the generated repository: registry rows and online tables."""
    store = FeatureStore(repo_path=str(layout.repo))
    if store.config.online_store.type == "sqlite":
        with sqlite3.connect(layout.online) as online:
            online.execute("PRAGMA journal_mode=WAL")  # kept in the file: readers never wait for a writer
        online.close()
    store.apply(list(from_folder(layout.repo)))


class Store:
    """One workspace's FeatureStore; keep one per process. Nothing here reads through Feast's registry caches, which
    lag behind an `apply` of another process. Safe for threads and processes."""

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
        """SQLite or Redis, as the repository says; it is opened when first asked."""
        feast = self.feast._get_provider().online_store
        if self.config.online_store.type == "sqlite":
            return SqliteOnline(feast, self.config)
        from features.profile.online_redis import RedisOnline  # noqa: PLC0415  its client: only where there is a Redis

        return RedisOnline(feast, self.config, self.layout.home.read_text())

    @cached_property
    def _read_signals(self) -> Reader:
        return self.online.reader([self.signals])

    def offline(self) -> FeatureStore:
        """For point-in-time joins, which spill to the workspace if they must."""
        duckdb, spill = ibis.get_backend().con, str(self.layout.offline / "spill")
        if duckdb.execute("SELECT current_setting('temp_directory')").fetchone() != (spill,):
            duckdb.execute("SET temp_directory = ?", [spill])  # DuckDB refuses this once it has spilled
        return self.feast

    def table(self, view: ProfileView) -> Table:
        """The Feast view, made from our schema rather than read from a registry cache that may be old."""
        columns = (view.stamps, *(f.name for f in view.features))
        return Table(view.name, columns, feature_view(view, self.layout.offline, subject_entity()))

    def read_signals(self, subjects: Sequence[str]) -> list[SignalState | None]:
        """In the order of `subjects`; None for one without signals. Raises Unavailable."""
        return [signal_state(values) for values in self._read_signals(subjects)]

    def write_signals(self, states: Mapping[str, tuple[int, bytes]]) -> None:
        """Make at least these versions readable, everywhere, before this returns; a newer one that is there stays.

        A power cut may undo it, since the truth is in the ledger's database. Raises Unavailable when the store cannot
        be reached, or other writers are in the way for longer than `BUSY_S`; what came through by then stays.
        """
        subjects = list(states)
        for start in range(0, len(subjects), CHUNK):
            self._write_signals({s: states[s] for s in subjects[start : start + CHUNK]})

    def _write_signals(self, late: dict[str, tuple[int, bytes]]) -> None:
        give_up_s = time.monotonic() + BUSY_S
        while late:
            self.online.update(self.signals, list(late), partial(_newer, late), durable=False)
            read = dict(zip(late, self.read_signals(list(late)), strict=True))
            late = {s: state for s, state in late.items() if (read[s] or NOTHING).version < state[0]}
            if late and time.monotonic() > give_up_s:
                raise Unavailable("signals were written and cannot be read back; send them again")


def signal_state(values: Values) -> SignalState | None:
    """The signals among a subject's values."""
    version, body = values.get(SIGNALS_VERSION), values.get(SIGNALS_STATE)
    return SignalState(version.int64_val, body.bytes_val) if version is not None and body is not None else None


def _newer(states: Mapping[str, tuple[int, bytes]], subject: str, values: Values) -> Write | None:
    """Equal versions replace each other: a state is made anew, under the same version, for another release."""
    version, body = states[subject]
    held = signal_state(values)
    if held is not None and (held.version > version or held == (version, body)):
        return None
    now_us = time.time_ns() // 1000
    return Write({SIGNALS_VERSION: Proto(int64_val=version), SIGNALS_STATE: Proto(bytes_val=body)}, now_us, now_us)
