"""The log on disk: a file of rows and a file of events per week, rewritten only where something changed.

`rows/2026-02-02.parquet` holds what was decided in the week of that Monday, `events/…` what happened in it. Both have
the subject's stream in every row (`_stream` and `stream`), so that an erasure reaches all of it. Columns that begin
with `_` are ours, the others are the facts as served.
"""

import fcntl
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from decisioning.catalogue.release import Release
from decisioning.times import DAY_US
from features.decisions.labels import LABELS, PATIENCE_US, label_columns, longest_window_us, outcome_tables
from features.decisions.parsing import KINDS, ParsedRecords, connect, fact_columns, parse
from features.files import replace_file
from features.ledger import Ledger

LOG = "decisions"
"""The folder's name within a workspace's data."""
Progress = Callable[[int, int, str], None]
WEEK_US = 7 * DAY_US
_MONDAY_US = 4 * DAY_US
"""The first Monday of 1970 was its fifth day."""
_PAGE = 20_000
_HELD = 200_000
"""Rows and events that are held before their files are written."""
_LAYOUT = 3
"""Of the columns that are kept; files of another are made anew from the ledger."""
_KEYS = "_stream, _id, _at_us, _action, _told, _source, _counts_on"


@dataclass(frozen=True, slots=True)
class LogUpdate:
    """`rows` and `events` that came in, `files` of rows that were written, `erased` streams that were taken out."""

    rows: int
    events: int
    files: int
    erased: int


@dataclass(slots=True)
class _Held:
    """What came in and is not written yet, and what it touches."""

    rows: dict[int, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    events: dict[int, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    erased: set[str] = field(default_factory=set)
    weeks: set[int] = field(default_factory=set)
    offers: set[str] = field(default_factory=set)
    size: int = 0
    rows_in: int = 0
    events_in: int = 0

    def take(self, parsed: ParsedRecords) -> None:
        """By week; an offer that is named is touched whenever it was made."""
        for held, table, at in ((self.rows, parsed.rows, "_at_us"), (self.events, parsed.events, "at_us")):
            for week, part in _by_week(table, at):
                held[week].append(part)
                self.weeks.add(week)
        named = pc.or_(pc.equal(parsed.events["kind"], "contact"), pc.equal(parsed.events["sign"], -1))
        self.offers.update(o for o in parsed.events.filter(named)["offer_id"].to_pylist() if o)
        self.erased |= parsed.erased
        self.rows_in += parsed.rows.num_rows
        self.events_in += parsed.events.num_rows
        self.size += parsed.rows.num_rows + parsed.events.num_rows


class DecisionLog:
    """The log in `folder`; one process writes at a time."""

    def __init__(self, folder: Path) -> None:
        self._rows, self._events, self._state = folder / "rows", folder / "events", folder / "state.json"

    def update(self, ledger: Ledger, release: Release, now_us: int, progress: Progress | None = None) -> LogUpdate:
        """Takes up what the ledger has had since the last time, labels what has closed, and what was corrected.

        Safe to run again after a crash: what is there already is not added twice.
        """
        with self._alone():
            return self._update(ledger, release, now_us, progress)

    def _update(self, ledger: Ledger, release: Release, now_us: int, progress: Progress | None) -> LogUpdate:
        state = self._begun()
        held, after, done = _Held(), state["after"], 0
        accounts = lru_cache(partial(ledger.stream_of, "account"))
        while records := ledger.scan_rows(KINDS, after, _PAGE):
            held.take(parse(records, release.schema, accounts))
            after, done = records[-1].seq, done + len(records)
            if progress:
                progress(done, 0, "ledger")
            if held.size > _HELD:
                self._flush(held)
        self._flush(held)
        gone = self._forget(held.erased)
        known = _rules_hash(release)
        stale = held.weeks if known == state["rules"] and now_us >= state["at_us"] else None
        files = self._relabel(self._touched(stale, held.offers, state["at_us"], release), release, now_us)
        self._write_state({"after": after, "at_us": now_us, "rules": known, "layout": _LAYOUT})
        return LogUpdate(held.rows_in, held.events_in, files, gone)

    def query(self, sql: str, release: Release, outcome: str | None = None) -> pa.Table:
        """The answer to a query in DuckDB's SQL over `log` and `events`: every row of who is not restricted.

        :param outcome: rows are labelled by whether this came, instead of any positive outcome of their action
        """
        with connect() as connection:
            connection.register("nobody", _empty(release))
            connection.sql(f"CREATE VIEW told AS {self._files(self._events, _NO_EVENTS)}")
            connection.sql(f"CREATE VIEW silent AS {_RESTRICTED}")
            connection.sql(f"CREATE VIEW every AS {self._files(self._rows, 'SELECT * FROM nobody')}")
            connection.sql("CREATE VIEW kept AS SELECT * FROM every WHERE _stream NOT IN (FROM silent)")
            connection.sql("CREATE VIEW events AS SELECT * FROM told WHERE stream NOT IN (FROM silent)")
            self._view(connection, release, outcome)
            return connection.sql(sql).to_arrow_table()

    def _view(self, connection: DuckDBPyConnection, release: Release, outcome: str | None) -> None:
        """The view `log`: the labels of the files, or those by another outcome at the time of the last update."""
        if outcome is None:
            connection.sql("CREATE VIEW log AS FROM kept")
            return
        tables = {**outcome_tables(release, outcome), "now": pa.table({"us": [self._read_state()["at_us"]]})}
        for name, table in tables.items():
            connection.register(name, table)
        connection.sql(f"CREATE TABLE rows AS SELECT {_KEYS} FROM kept")
        connection.sql(f"CREATE TABLE labels AS {LABELS.format(patience_us=PATIENCE_US)}")
        connection.sql(
            f"CREATE VIEW log AS SELECT k.* EXCLUDE ({', '.join(label_columns())}), l.* EXCLUDE (_stream, _id) "
            "FROM kept k JOIN labels l USING (_stream, _id)"
        )

    def _files(self, folder: Path, none: str) -> str:
        """SQL for all files of a folder, with every column that any of them has."""
        if not any(folder.glob("*.parquet")):
            return none
        files = _quoted(folder / "*.parquet")
        return f"{none} UNION ALL BY NAME SELECT * FROM read_parquet('{files}', union_by_name = true)"

    def forget(self, streams: Collection[str]) -> int:
        """Takes subjects out of every file; how many of them had something there."""
        if not streams or not self._rows.parent.exists():
            return 0
        with self._alone():
            return self._forget(streams)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time: an erasure that comes while the files are written takes out of what was written."""
        self._rows.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._rows.parent / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _forget(self, streams: Collection[str]) -> int:
        if not streams:
            return 0
        gone, found = pa.array(sorted(streams), pa.string()), set()
        for folder, name in ((self._rows, "_stream"), (self._events, "stream")):
            for path in sorted(folder.glob("*.parquet")):
                hit = pc.is_in(pq.read_table(path, columns=[name])[name], value_set=gone)
                if pc.any(hit).as_py():
                    table = pq.read_table(path)
                    found.update(table.filter(hit)[name].to_pylist())
                    _write(path, table.filter(pc.invert(hit)))
        return len(found)

    def _flush(self, held: _Held) -> None:
        for folder, parts, key in (
            (self._rows, held.rows, ("_stream", "_id", "_at_us")),
            (self._events, held.events, ("seq", "part", "stream")),
        ):
            for week, tables in parts.items():
                path = folder / f"{_name(week)}.parquet"
                known = [pq.read_table(path)] if path.exists() else []
                _write(path, _once(pa.concat_tables([*known, *tables], promote_options="permissive"), key))
            parts.clear()
        held.size = 0

    def _touched(self, came: set[int] | None, offers: set[str], since_us: int, release: Release) -> list[int]:
        """The weeks whose rows may be labelled otherwise than they are; None: all, as rules or clocks have changed."""
        weeks = sorted(_week_of(p) for p in self._rows.glob("*.parquet"))
        if came is None:
            return weeks
        reach = longest_window_us(release)
        still_open = {w for w in weeks if _starts_us(w + 1) + reach >= since_us}
        reached = {w for w in weeks for x in came if w <= x <= w + reach // WEEK_US + 1}
        touched = still_open | reached
        named = pa.array(sorted(offers), pa.string())
        return sorted(touched | {w for w in weeks if w not in touched and len(named) and self._has(w, named)})

    def _has(self, week: int, offers: pa.Array) -> bool:
        ids = pq.read_table(self._rows / f"{_name(week)}.parquet", columns=["_id"])["_id"]
        return bool(pc.any(pc.is_in(ids, value_set=offers)).as_py())

    def _relabel(self, weeks: Iterable[int], release: Release, now_us: int) -> int:
        tables = {**outcome_tables(release), "now": pa.table({"us": [now_us]})}
        ahead = longest_window_us(release) // WEEK_US + 1
        return sum(self._label(week, week + ahead, tables) for week in weeks)

    def _label(self, week: int, until: int, tables: Mapping[str, pa.Table]) -> bool:
        """Whether the file changed."""
        path = self._rows / f"{_name(week)}.parquet"
        before = pq.read_table(path)
        with connect() as connection:
            for name, table in {**tables, "bucket": before}.items():
                connection.register(name, table)
            connection.sql("CREATE TABLE people AS SELECT DISTINCT _stream FROM bucket")
            near = [f for w in range(week, until + 1) if (f := self._rows / f"{_name(w)}.parquet").exists()]
            later = [f for f in sorted(self._events.glob("*.parquet")) if _week_of(f) >= week - 1]
            connection.sql(f"CREATE TABLE rows AS {_of_people(near, _KEYS, '_stream')}")
            connection.sql(f"CREATE TABLE events AS {_of_people(later, '*', 'stream') if later else _NO_EVENTS}")
            facts = [f'b."{c}"' for c in before.column_names if c not in label_columns()]
            sql = LABELS.format(patience_us=PATIENCE_US)
            labelled = connection.sql(
                f"SELECT {', '.join(facts)}, l.* EXCLUDE (_stream, _id) "
                f"FROM bucket b JOIN ({sql}) l USING (_stream, _id) "
                "ORDER BY b._at_us, b._stream, b._id"
            ).to_arrow_table()
        if labelled.equals(before):
            return False
        _write(path, labelled)
        return True

    def _begun(self) -> dict[str, Any]:
        """Where the files are; files that lack a column go, and the ledger is read from its beginning."""
        state = self._read_state()
        if state["layout"] == _LAYOUT:
            return state
        for path in (*self._rows.glob("*.parquet"), *self._events.glob("*.parquet")):
            path.unlink()
        return {**state, "after": 0}

    def _read_state(self) -> dict[str, Any]:
        """Up to which record, at what time and by which rules the files were made."""
        state: dict[str, Any] = json.loads(self._state.read_text()) if self._state.exists() else {}
        return {"after": 0, "at_us": 0, "rules": "", "layout": 1, **state}

    def _write_state(self, state: dict[str, Any]) -> None:
        self._state.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._state, lambda half: half.write_text(json.dumps(state)))


_RESTRICTED = "SELECT stream FROM told WHERE kind = 'flag' GROUP BY stream HAVING arg_max(name, (at_us, name)) = 'true'"
_NO_EVENTS = (
    "SELECT '' stream, '' kind, '' offer_id, '' AS action, '' AS name, 0::BIGINT at_us, 0.0::DOUBLE value_eur, 0 sign "
    "WHERE false"
)


def _of_people(files: Iterable[Path], what: str, stream: str) -> str:
    listed = ", ".join(f"'{_quoted(f)}'" for f in files)
    return (
        f"SELECT {what} FROM read_parquet([{listed}], union_by_name = true) "
        f"WHERE {stream} IN (SELECT _stream FROM people)"
    )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _empty(release: Release) -> pa.Table:
    """No rows, with every column that a row of this release has."""
    rows = parse((), release.schema, str).rows
    types = dict(zip(label_columns(), (pa.bool_(), pa.bool_(), pa.float64(), pa.string(), pa.float64()), strict=False))
    for name in label_columns():
        rows = rows.append_column(name, pa.array([], types.get(name, pa.bool_())))
    return rows


def _rules_hash(release: Release) -> str:
    """Of all that labels and columns depend on."""
    told = {name: table.to_pylist() for name, table in outcome_tables(release).items()}
    return sha256(json.dumps([told, fact_columns(release.schema)], sort_keys=True).encode()).hexdigest()


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


def _once(table: pa.Table, key: tuple[str, str, str]) -> pa.Table:
    """Without what is there twice; of two rows with one name in a week the earlier stays."""
    with connect() as connection:
        connection.register("found", table)
        first, second, third = key
        return connection.sql(
            f"SELECT * FROM found QUALIFY row_number() OVER (PARTITION BY {first}, {second} ORDER BY {third}) = 1 "
            f"ORDER BY {third}, {first}, {second}"
        ).to_arrow_table()


def _write(path: Path, table: pa.Table) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, lambda half: pq.write_table(table, half, compression="zstd"))
