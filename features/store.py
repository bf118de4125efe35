"""The one FeatureStore that a process keeps of a workspace."""

import sqlite3
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

import ibis  # type: ignore[import-untyped]
from feast import FeatureStore

from decisioning.errors import Refused
from features.repo.definitions import feature_view, from_folder, subject_entity
from features.spool import BUSY_S, scrub
from features.views import Layout, View


def register(layout: Layout) -> None:
    """`feast apply` of the generated repository: registry rows and online tables."""
    with sqlite3.connect(layout.online) as online:
        online.execute("PRAGMA journal_mode=WAL")  # kept in the file: readers never wait for a writer
    online.close()
    FeatureStore(repo_path=str(layout.repo)).apply(list(from_folder(layout.repo)))


class Store:
    """One workspace's FeatureStore; keep one per process. Nothing here reads through Feast's registry caches, which
    lag behind an `apply` of another process.

    `lock` guards the online store's connection, which Feast shares between threads.
    """

    def __init__(self, workspace_data_dir: Path) -> None:
        self.layout = Layout(workspace_data_dir.resolve())
        if not (self.layout.repo / "feature_store.yaml").exists():
            raise Refused("this workspace has no feature repository yet: run `brain release`")
        self.feast = FeatureStore(repo_path=str(self.layout.repo))
        self.config = self.feast.config
        self.lock = threading.RLock()

    @cached_property
    def online(self) -> Any:
        """Feast's OnlineStore, opened; what reaches its files is durable, and what leaves them is overwritten."""
        store = self.feast._get_provider().online_store
        db = store._get_conn(self.config)
        db.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA secure_delete=ON")
        return store

    def offline(self) -> FeatureStore:
        """For point-in-time joins, which spill to the workspace if they must."""
        duckdb, spill = ibis.get_backend().con, str(self.layout.offline / "spill")
        if duckdb.execute("SELECT current_setting('temp_directory')").fetchone() != (spill,):
            duckdb.execute("SET temp_directory = ?", [spill])  # DuckDB refuses this once it has spilled
        return self.feast

    def feature_view(self, view: View) -> Any:
        """The Feast view, made from our schema rather than read from a registry cache that may be old."""
        return feature_view(view, self.layout.offline, subject_entity())

    def forget(self, view: View, keys: list[bytes]) -> None:
        """Erase entities (serialized keys) from the online store, which offers no way to do so itself."""
        table = f"{self.config.project}_{view.name}"
        with self.lock, self.online._get_conn(self.config) as db:
            erase = f'DELETE FROM "{table}" WHERE entity_key = ?'  # noqa: S608  the table's name is ours
            db.executemany(erase, [(k,) for k in keys])

    def scrub(self) -> None:
        """Leave no erased byte in the online store's log."""
        with self.lock:
            scrub(self.online._get_conn(self.config), "the online store")
