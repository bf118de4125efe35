"""Queries of the log of decisions: databases in memory, whose views are the log's files."""

import glob
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import pyarrow as pa

from decisioning.catalogue.release import Release
from features.decisions.labels import label_columns, labels_sql, outcome_tables
from features.decisions.parsing import fact_columns, no_rows
from features.decisions.people import PEOPLE
from features.duck import DuckDBPyConnection, connected

AS_WRITTEN: Final = "union_by_name = true, hive_partitioning = false"
"""How files are read: columns by name, and none from folders' names, such as `year=2026`."""
KEYS: Final = "_stream, _id, _at_us, _action, _told, _source, _channel, _counts_on"
NO_EVENTS: Final = (
    "SELECT 0::BIGINT seq, 0::BIGINT part, '' stream, '' kind, '' offer_id, '' AS action, '' AS name, 0::BIGINT at_us, "
    "0.0::DOUBLE value_eur, false implied, 0 sign WHERE false"
)
_MOST_KEPT: Final = 2
"""How many databases are kept while the log is read: one by the files' labels, and one by an outcome."""
_SMALL: Final = 16_000_000
"""Up to how many bytes of files are read once, where queries share a database; in memory they are ten times as many."""
_RESTRICTED: Final = (
    "SELECT stream FROM all_events WHERE kind = 'flag' GROUP BY stream HAVING arg_max(name, (at_us, name)) = 'true'"
)
_UNITS: Final = f"""
WITH RECURSIVE {PEOPLE}
SELECT _stream, coalesce(max(account) OVER (PARTITION BY person), person) AS _customer FROM (
  SELECT v._stream, coalesce(any_value(p._person), v._stream) AS person, max(v._account) AS account
  FROM visible v LEFT JOIN people p USING (_stream) GROUP BY v._stream)
"""


@dataclass(frozen=True, slots=True)
class Labels:
    """By which labels rows are read: those of the files (`outcome` None), or whether an outcome came.

    `shared`: as in `labels_sql`; `outcome` must be given.
    """

    outcome: str | None = None
    shared: bool = False


@dataclass(slots=True)
class _Kept:
    """Databases that queries share, of files as they were: by the columns and labels that they have."""

    stack: ExitStack
    files: frozenset[tuple[Path, int, int, int]] = frozenset()
    databases: dict[Hashable, DuckDBPyConnection] = field(default_factory=dict)

    def clear(self, files: frozenset[tuple[Path, int, int, int]]) -> None:
        self.stack.close()
        self.databases.clear()
        self.files = files


class LogQueries:
    """Queries of the log in `folder`; `labelled_us` tells when its rows were labelled last. For one thread."""

    def __init__(self, folder: Path, labelled_us: Callable[[], int]) -> None:
        self._folder, self._labelled_us = folder, labelled_us
        self._rows, self._events = folder / "rows", folder / "events"
        self._kept: _Kept | None = None

    def query(self, sql: str, release: Release, labels: Labels) -> pa.Table:
        """Return the result of a query, see `DecisionLog.query`."""
        with self._database(release, labels) as connection:
            return connection.sql(sql).to_arrow_table()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let queries share a database until a file changes: most take less time than to make its views anew."""
        if self._kept is not None:
            yield
            return
        with ExitStack() as stack:
            self._kept = _Kept(stack)
            try:
                yield
            finally:
                self._kept = None

    def _database(self, release: Release, labels: Labels) -> AbstractContextManager[DuckDBPyConnection]:
        if self._kept is None:
            return self._made(release, labels)
        kept, files = self._kept, self._state()
        key = _columns(release), labels, None if labels.outcome is None else release.hash
        if kept.files != files or (key not in kept.databases and len(kept.databases) >= _MOST_KEPT):
            kept.clear(files)
        if key not in kept.databases:
            once = sum(size for _, size, *_ in files) <= _SMALL
            kept.databases[key] = kept.stack.enter_context(self._made(release, labels, once=once))
        return nullcontext(kept.databases[key])

    def _state(self) -> frozenset[tuple[Path, int, int, int]]:
        """Return what differs once any file of the log does."""
        folders = (self._folder, self._rows, self._events)
        every = (path for folder in folders for path in folder.glob("[!.]*.*"))
        return frozenset((path, *stated) for path in every if (stated := _stated(path)) is not None)

    @contextmanager
    def _made(self, release: Release, labels: Labels, *, once: bool = False) -> Iterator[DuckDBPyConnection]:
        """Make a database; `once`: read the files into it, so that no query reads them again."""
        kept = "TABLE" if once else "VIEW"
        with connected(self._folder) as connection:
            connection.register("no_rows", _no_rows(_columns(release), self._folder))
            connection.sql(f"CREATE {kept} all_events AS {_files(self._events, NO_EVENTS)}")
            connection.sql(f"CREATE VIEW restricted AS {_RESTRICTED}")
            connection.sql(f"CREATE VIEW all_rows AS {_files(self._rows, 'SELECT * FROM no_rows')}")
            connection.sql(f"CREATE {kept} visible AS SELECT * FROM all_rows WHERE _stream NOT IN (FROM restricted)")
            connection.sql(f"CREATE {kept} events AS SELECT * FROM all_events WHERE stream NOT IN (FROM restricted)")
            connection.sql(f"CREATE {kept} units AS {_UNITS}")
            self._label(connection, release, labels)
            yield connection

    def _label(self, connection: DuckDBPyConnection, release: Release, labels: Labels) -> None:
        """Create the view `log`: with the files' labels, or with those by an outcome at the time of the last update."""
        if labels.outcome is None:
            connection.sql("CREATE VIEW log AS FROM visible")
            return
        now = pa.table({"us": [self._labelled_us()]})
        for name, table in {**outcome_tables(release, labels.outcome), "now": now}.items():
            connection.register(name, table)
        connection.sql(f"CREATE TABLE rows AS SELECT {KEYS} FROM visible")
        connection.sql(f"CREATE TABLE labels AS {labels_sql(shared=labels.shared)}")
        connection.sql(
            f"CREATE VIEW log AS SELECT v.* EXCLUDE ({', '.join(label_columns())}), l.* EXCLUDE (_stream, _id) "
            "FROM visible v JOIN labels l USING (_stream, _id)"
        )


def _stated(path: Path) -> tuple[int, int, int] | None:
    """Return the size of a file and what else differs once it was written again; None if it was removed meanwhile."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_ino, stat.st_mtime_ns


def quoted(path: Path) -> str:
    """Return the path as DuckDB reads it in a text: without escapes, a folder `shop[12]` is a pattern for others."""
    return glob.escape(str(path)).replace("'", "''")


def _files(folder: Path, empty: str) -> str:
    """Return SQL for all files of a folder, with every column of any of them; `empty` is SQL for no rows."""
    if not any(folder.glob("*.parquet")):
        return empty
    return f"{empty} UNION ALL BY NAME SELECT * FROM read_parquet('{quoted(folder)}/*.parquet', {AS_WRITTEN})"


def _columns(release: Release) -> tuple[tuple[str, str], ...]:
    return tuple(fact_columns(release.schema).items())


@lru_cache(maxsize=16)
def _no_rows(facts: tuple[tuple[str, str], ...], spill: Path) -> pa.Table:
    """Return a table without rows but with every column that a row of a release with these facts has.

    It is kept, since each database needs it.
    """
    rows = no_rows(dict(facts), spill)
    for name, kind in label_columns().items():
        rows = rows.append_column(name, pa.array([], kind))
    return rows
