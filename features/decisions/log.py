"""The log of decisions on disk: per week a file of rows and a file of events, rewritten only if something changed.

`rows/2026-02-02.parquet` holds what was decided in the week of that Monday, `events/…` what happened in it. Every row
of both names the subject's stream (`_stream` and `stream`), so that an erasure reaches all of them. Columns that begin
with `_` belong to the log, the others are the facts as served.
"""

import fcntl
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from decisioning.catalogue.release import Release
from decisioning.times import DAY_US, WEEK_US
from features.decisions.labels import label_columns, labels_sql, longest_window_us, outcome_tables
from features.decisions.parsing import KINDS, ParsedRecords, fact_columns, parse
from features.decisions.queries import AS_WRITTEN, KEYS, NO_EVENTS, Labels, LogQueries, quoted
from features.duck import DuckDBPyConnection, connected, remove_abandoned
from features.files import replace_file
from features.ledger import Ledger

LOG = "decisions"
"""The folder's name within a workspace's data."""
Progress = Callable[[int, int, str], None]
_MONDAY_US = 4 * DAY_US
"""1970 began on a Thursday: its first Monday was the fifth day."""
_PAGE = 20_000
_MAX_BUFFERED = 200_000
"""How many rows and events are buffered before they are written to files."""
_MOST_TOGETHER = 50_000
"""How many rows of several weeks are labelled at once at most."""
_LAYOUT = 7
"""The version of the columns; files of another version are made again from the ledger."""


@dataclass(frozen=True, slots=True)
class LogUpdate:
    """How many rows and events were added, files of rows written, and erased streams removed."""

    rows: int
    events: int
    files: int
    erased: int


@dataclass(slots=True)
class _Buffer:
    """Rows and events that are not written yet, by week, and what the update has changed so far.

    `weeks`: those that got rows or events. `offers`: those named by a contact or a correction. `size`: rows and events
    not written yet.
    """

    rows: dict[int, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    events: dict[int, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    erased: set[str] = field(default_factory=set)
    weeks: set[int] = field(default_factory=set)
    offers: set[str] = field(default_factory=set)
    size: int = 0
    rows_in: int = 0
    events_in: int = 0

    def add(self, parsed: ParsedRecords) -> None:
        """Add parsed records. An offer that an event names is affected in whichever week it was made."""
        for by_week, table, at in ((self.rows, parsed.rows, "_at_us"), (self.events, parsed.events, "at_us")):
            for week, part in _by_week(table, at):
                by_week[week].append(part)
                self.weeks.add(week)
        named = pc.or_(pc.equal(parsed.events["kind"], "contact"), pc.equal(parsed.events["sign"], -1))
        self.offers.update(o for o in parsed.events.filter(named)["offer_id"].to_pylist() if o)
        self.erased |= parsed.erased
        self.rows_in += parsed.rows.num_rows
        self.events_in += parsed.events.num_rows
        self.size += parsed.rows.num_rows + parsed.events.num_rows


class DecisionLog:
    """The log of decisions in `folder`; one process writes at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows, self._events, self._state = folder / "rows", folder / "events", folder / "state.json"
        self._queries = LogQueries(folder, lambda: int(self._read_state()["at_us"]))

    def update(self, ledger: Ledger, release: Release, now_us: int, progress: Progress | None = None) -> LogUpdate:
        """Add the records since the last update, and label rows whose windows have closed or that were corrected.

        Safe to run again after a crash: nothing is added twice.
        """
        with self._locked():
            return self._update(ledger, release, now_us, progress)

    def rebuild(self, ledger: Ledger, release: Release, now_us: int, progress: Progress | None = None) -> LogUpdate:
        """Delete every file, and read the ledger from the start."""
        with self._locked():
            self._state.unlink(missing_ok=True)  # without it, files of an unfinished attempt are deleted, too
            return self._update(ledger, release, now_us, progress)

    def _update(self, ledger: Ledger, release: Release, now_us: int, progress: Progress | None) -> LogUpdate:
        state = self._usable_state()
        buffer, after, n_read = _Buffer(), state["after"], 0
        accounts = lru_cache(partial(ledger.stream_of, "account"))
        while records := ledger.scan_rows(KINDS, after, _PAGE):
            buffer.add(parse(records, release.schema, accounts, ledger.figures_as_json, spill=self._folder))
            after, n_read = records[-1].seq, n_read + len(records)
            if progress:
                progress(n_read, 0, "ledger")
            if buffer.size > _MAX_BUFFERED:
                self._flush(buffer)
        self._flush(buffer)
        erased = self._forget(buffer.erased)
        rules = _rules_hash(release)
        changed = buffer.weeks if rules == state["rules"] and now_us >= state["at_us"] else None
        files = self._relabel(self._stale_weeks(changed, buffer.offers, state["at_us"], release), release, now_us)
        state = {"after": after, "at_us": now_us, "rules": rules, "layout": _LAYOUT}
        self._write_state({**state, "files": [self._name_of(path) for path in self._all_files()]})
        return LogUpdate(buffer.rows_in, buffer.events_in, files, erased)

    def query(self, sql: str, release: Release, outcome: str | None = None, *, shared: bool = False) -> pa.Table:
        """Return the result of a query in DuckDB's SQL over `log`, `events` and `units`, without restricted subjects.

        `units` holds whose each stream is (`_stream`, `_customer`): the account's if one was told, else the person's,
        of whom visitors that logged in are a part. Rows of one unit are not independent.

        :param outcome: label rows by whether this outcome came, instead of any positive outcome of their action
        :param shared: as in `labels_sql`; `outcome` must be given
        """
        return self._queries.query(sql, release, Labels(outcome, shared))

    def reading(self) -> AbstractContextManager[None]:
        """Let the queries of one thread share a database until a file changes, as reports ask dozens of them."""
        return self._queries.reading()

    def forget(self, streams: Collection[str]) -> int:
        """Remove subjects from every file, and return how many of them had rows or events."""
        if not streams or not self._rows.parent.exists():
            return 0
        with self._locked():
            return self._forget(streams)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process write at a time: an erasure waits for an update, and then removes what that wrote."""
        self._rows.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._rows.parent / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _forget(self, streams: Collection[str]) -> int:
        if not streams:
            return 0
        remove_abandoned(self._folder)
        erased, removed = pa.array(sorted(streams), pa.string()), set()
        for folder, name in ((self._rows, "_stream"), (self._events, "stream")):
            for half in folder.glob(".*.half"):
                half.unlink()  # a process died while it wrote this, as only one writes at a time
            for path in sorted(folder.glob("*.parquet")):
                matches = pc.is_in(pq.read_table(path, columns=[name])[name], value_set=erased)
                if pc.any(matches).as_py():
                    table = pq.read_table(path)
                    removed.update(table.filter(matches)[name].to_pylist())
                    _write(path, table.filter(pc.invert(matches)))
        return len(removed)

    def _flush(self, buffer: _Buffer) -> None:
        """Write buffered rows and events to the files of their weeks."""
        with connected(self._folder) as connection:
            for folder, parts, key in (
                (self._rows, buffer.rows, ("_stream", "_id", "_at_us")),
                (self._events, buffer.events, ("seq", "part", "stream")),
            ):
                for week, tables in parts.items():
                    path = folder / f"{_name(week)}.parquet"
                    existing = [pq.read_table(path)] if path.exists() else []
                    every = pa.concat_tables([*existing, *tables], promote_options="permissive")
                    _write(path, _without_repeats(connection, every, key))
                parts.clear()
        buffer.size = 0

    def _stale_weeks(self, changed: set[int] | None, offers: set[str], since_us: int, release: Release) -> list[int]:
        """Return the weeks whose labels may have to change.

        :param changed: weeks with new rows or events; None if rules or the clock changed, so that all weeks are stale
        :param offers: offers whose rows may have changed in any week
        :param since_us: the time of the last update
        """
        weeks = sorted(_week_of(p) for p in self._rows.glob("*.parquet"))
        if changed is None:
            return weeks
        reach = longest_window_us(release)
        still_open = {w for w in weeks if _starts_us(w + 1) + reach >= since_us}
        within_reach = {w for w in weeks for c in changed if w <= c <= w + reach // WEEK_US + 1}
        stale = still_open | within_reach
        ids = pa.array(sorted(offers), pa.string())
        return sorted(stale | {w for w in weeks if w not in stale and len(ids) and self._contains(w, ids)})

    def _contains(self, week: int, offers: pa.Array) -> bool:
        ids = pq.read_table(self._rows / f"{_name(week)}.parquet", columns=["_id"])["_id"]
        return bool(pc.any(pc.is_in(ids, value_set=offers)).as_py())

    def _relabel(self, weeks: Iterable[int], release: Release, now_us: int) -> int:
        tables = {**outcome_tables(release), "now": pa.table({"us": [now_us]})}
        reach = longest_window_us(release) // WEEK_US + 1
        with connected(self._folder) as connection:
            for name, table in tables.items():
                connection.register(name, table)
            return sum(self._label(connection, files, reach) for files in self._together(weeks))

    def _together(self, weeks: Iterable[int]) -> Iterator[dict[int, pa.Table]]:
        """Yield the rows of weeks that are labelled at once: weeks in a row that are small and have one schema."""
        files: dict[int, pa.Table] = {}
        for week in weeks:
            rows = pq.read_table(self._rows / f"{_name(week)}.parquet")
            many = sum(map(len, files.values())) + len(rows) > _MOST_TOGETHER
            if files and (many or any(not rows.schema.equals(other.schema) for other in files.values())):
                yield files
                files = {}
            files[week] = rows
        if files:
            yield files

    def _label(self, connection: DuckDBPyConnection, files: Mapping[int, pa.Table], reach: int) -> int:
        """Label the rows of some weeks, each from the events of `reach` weeks more; return how many files changed."""
        first, until = min(files), max(files) + reach
        connection.register("bucket", pa.concat_tables(files.values()))
        connection.sql("CREATE OR REPLACE TABLE people AS SELECT DISTINCT _stream FROM bucket")
        row_files = [f for w in range(first, until + 1) if (f := self._rows / f"{_name(w)}.parquet").exists()]
        event_files = [f for f in sorted(self._events.glob("*.parquet")) if _week_of(f) >= first - 1]
        events = _of_people(event_files, "*", "stream") if event_files else NO_EVENTS
        connection.sql(f"CREATE OR REPLACE TABLE rows AS {_of_people(row_files, KEYS, '_stream')}")
        connection.sql(f"CREATE OR REPLACE TABLE events AS {events}")
        facts = [f'b."{c}"' for c in files[first].column_names if c not in label_columns()]
        labelled = connection.sql(
            f"SELECT {', '.join(facts)}, l.* EXCLUDE (_stream, _id) "
            f"FROM bucket b JOIN ({labels_sql()}) l USING (_stream, _id) "
            "ORDER BY b._at_us, b._stream, b._id"
        ).to_arrow_table()
        changed = [(week, rows) for week, rows in _by_week(labelled, "_at_us") if not rows.equals(files[week])]
        for week, rows in changed:
            _write(self._rows / f"{_name(week)}.parquet", rows)
        return len(changed)

    def _usable_state(self) -> dict[str, Any]:
        """Return the state of the files. Files of another layout are deleted, and the ledger is read from the start."""
        state = self._read_state()
        if state["layout"] == _LAYOUT and not self.missing():
            return state
        for path in self._all_files():
            path.unlink()
        return {**state, "after": 0}

    def missing(self) -> list[str]:
        """Return the files that the last update left and that are gone."""
        return [name for name in self._read_state()["files"] if not (self._state.parent / name).exists()]

    def _all_files(self) -> list[Path]:
        return sorted((*self._rows.glob("*.parquet"), *self._events.glob("*.parquet")))

    def _name_of(self, path: Path) -> str:
        return str(path.relative_to(self._state.parent))

    def _read_state(self) -> dict[str, Any]:
        """Return up to which record, at what time and by which rules the files were made."""
        try:
            state: dict[str, Any] = dict(json.loads(self._state.read_text())) if self._state.exists() else {}
        except (ValueError, TypeError):
            state = {}  # damaged: the ledger is read from the start
        return {"after": 0, "at_us": 0, "rules": "", "layout": 1, "files": [], **state}

    def _write_state(self, state: dict[str, Any]) -> None:
        self._state.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._state, lambda half: half.write_text(json.dumps(state)))


def _of_people(files: Iterable[Path], columns: str, stream: str) -> str:
    """Return SQL for the rows of the table `people` in these files; `stream` is the column of the subject."""
    listed = ", ".join(f"'{quoted(f)}'" for f in files)
    return (
        f"SELECT {columns} FROM read_parquet([{listed}], {AS_WRITTEN}) WHERE {stream} IN (SELECT _stream FROM people)"
    )


def _rules_hash(release: Release) -> str:
    """Return a hash of everything that labels and columns depend on."""
    rules = {name: table.to_pylist() for name, table in outcome_tables(release).items()}
    return sha256(json.dumps([rules, fact_columns(release.schema)], sort_keys=True).encode()).hexdigest()


def _by_week(table: pa.Table, at: str) -> Iterable[tuple[int, pa.Table]]:
    weeks = pc.cast(pc.floor(pc.divide(pc.subtract(pc.cast(table[at], pa.float64()), _MONDAY_US), WEEK_US)), pa.int64())
    for week in sorted(pc.unique(weeks).to_pylist()):
        yield week, table.filter(pc.equal(weeks, week))


def _starts_us(week: int) -> int:
    return week * WEEK_US + _MONDAY_US


def _name(week: int) -> str:
    return datetime.fromtimestamp(_starts_us(week) / 1e6, UTC).strftime("%Y-%m-%d")


def _week_of(path: Path) -> int:
    monday = datetime.strptime(path.stem, "%Y-%m-%d").replace(tzinfo=UTC)
    return (round(monday.timestamp() * 1e6) - _MONDAY_US) // WEEK_US


def _without_repeats(connection: DuckDBPyConnection, table: pa.Table, key: tuple[str, str, str]) -> pa.Table:
    """Return each row once: of rows that agree in the first two columns of `key`, the lowest in the third."""
    connection.register("repeated", table)
    first, second, third = key
    return connection.sql(
        f"SELECT * FROM repeated QUALIFY row_number() OVER (PARTITION BY {first}, {second} ORDER BY {third}) = 1 "
        f"ORDER BY {third}, {first}, {second}"
    ).to_arrow_table()


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, lambda half: pq.write_table(table, half, compression="zstd", write_page_checksum=True))
