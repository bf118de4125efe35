"""The history of every feature as Parquet: one file of full rows per view, computed from mergeable statements.

The rows of a file depend on the statements alone, not on the order in which they arrived. Columns of features that a
later release dropped stay in the file, so that a rollback finds them again.
"""

import fcntl
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from decisioning.errors import Refused
from features.files import replace_file, unfinished
from features.profile.spool import Spool
from features.profile.versions import (
    Row,
    Stamp,
    State,
    Statement,
    Version,
    decode_stamps,
    encode_stamps,
    history,
    statements_in,
)
from features.views import TIME, Layout, ProfileView

HEAD = 4
"""Number of columns before the features: subject, event_timestamp, created, stamps."""
PART = 50_000
"""About how many rows of a file are in memory at a time."""
_OLD_HALF = ".half"
"""Suffix of a file that an earlier version of the brain was writing when it crashed."""
PYTHON_OF: Mapping[pa.DataType, tuple[type, ...]] = {
    pa.float64(): (float, int, NoneType),
    pa.int64(): (int, NoneType),
    pa.bool_(): (bool, NoneType),
    pa.string(): (str, NoneType),
}
"""The Python types that a column accepts. A process on the previous release may still send a feature's old dtype."""
StatementsBySubject = dict[str, list[Statement]]


class Archive:
    """The Parquet files and the spool of one workspace; safe for several processes."""

    def __init__(self, layout: Layout, views: Sequence[ProfileView]) -> None:
        self.layout = layout
        self.views = tuple(views)
        self.spool = Spool(layout.spool)
        self._thread_lock = threading.RLock()
        self._has_file_lock = False

    def holds(self, view: ProfileView) -> bool:
        """Tell whether the view's file has a column for each of its features."""
        path = self.layout.history(view.name)
        return path.exists() and set(view.arrow_schema.names) <= set(pq.read_schema(path).names)

    def table(self, view: ProfileView) -> pa.Table:
        """Return the file's rows, sorted by (subject, event_timestamp, created), without spooled statements."""
        return pq.read_table(self.layout.history(view.name))

    def rows(self, view: ProfileView) -> int:
        """Return the number of rows of the view's file."""
        return int(pq.read_metadata(self.layout.history(view.name)).num_rows)

    def parts(self, view: ProfileView) -> Iterator[pa.Table]:
        """Yield the file's rows in order, about `PART` at a time and all rows of a subject together."""
        with pq.ParquetFile(self.layout.history(view.name)) as file:
            rest = file.schema_arrow.empty_table()
            for batch in file.iter_batches(PART):
                table = pa.concat_tables([rest, pa.Table.from_batches([batch])])
                cut = pc.index(table["subject"], table["subject"][-1]).as_py()  # the last subject may go on
                yield table.slice(0, cut)
                rest = table.slice(cut)
            yield rest

    def subjects(self) -> list[str]:
        """Return every stream that has a profile, sorted; what was still spooled counts."""
        self.compact()
        paths = [self.layout.history(view.name) for view in self.views]
        parts = [pq.read_table(path, columns=["subject"])["subject"] for path in paths]
        everyone = pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string())
        return sorted(pc.unique(everyone).to_pylist())

    def prepare(self) -> None:
        """Give the files every column of the views. Raises Refused when a column does not fit its new type."""
        with self.exclusive():
            if all(self.layout.history(view.name).exists() for view in self.views):
                self.compact()  # statements under the old types must be merged under those types first
            for view in self.views:
                path = self.layout.history(view.name)
                old = pq.read_table(path) if path.exists() else view.arrow_schema.empty_table()
                new = fit(old, view)
                if new.schema != old.schema or not path.exists():
                    _replace(path, new)

    def add(self, view: ProfileView, table: pa.Table) -> None:
        """Merge statements into the view's file.

        `table` has one row per statement, with columns subject, event_timestamp, created and features of the view.
        """
        with self.exclusive():
            path = self.layout.history(view.name)
            _replace(path, merge(pq.read_table(path), view, table, {}))

    def compact(self) -> int:
        """Move the spool into the Parquet files and return how many statements moved."""
        with self.exclusive():
            up_to, spooled = self.spool.read()
            if spooled:
                for view in self.views:
                    self._compact_view(view, spooled)
                self.spool.drop(up_to)  # after a crash before this line the merge is repeated, which changes nothing
            return len(spooled)

    def statements_of(self, subject: str) -> list[Statement]:
        """Return every statement about one subject, in the order of the times at which it was true."""
        states: list[State] = []
        for view in self.views:
            states += states_of(pq.read_table(self.layout.history(view.name), filters=[("subject", "=", subject)]))
        return sorted([*statements_in(states), *self.spool.of(subject)], key=lambda statement: statement.stamp)

    def present(self, subjects: Sequence[str]) -> list[str]:
        """Return those of `subjects` that have rows in the files, sorted."""
        candidates, matches = pa.array(subjects, pa.string()), set[str]()
        for view in self.views:
            column = pq.read_table(self.layout.history(view.name), columns=["subject"])["subject"]
            matches.update(pc.unique(column.filter(pc.is_in(column, value_set=candidates))).to_pylist())
        return sorted(matches)

    def forget(self, subjects: Sequence[str]) -> None:
        """Erase subjects from the spool and the files."""
        with self.exclusive():
            with self.spool.writing():
                self.spool.forget(subjects)
            self.spool.scrub()
            for view in self.views:
                path = self.layout.history(view.name)
                for half in (unfinished(path), path.with_suffix(_OLD_HALF)):
                    half.unlink(missing_ok=True)
                table = pq.read_table(path)
                others = table.filter(pc.invert(is_about(table, subjects)))
                if others.num_rows < table.num_rows:
                    _replace(path, others)

    def _compact_view(self, view: ProfileView, spooled: Iterable[tuple[str, Statement]]) -> None:
        path = self.layout.history(view.name)
        table = pq.read_table(path)
        accepted = {field.name: PYTHON_OF[field.type] for field in list(table.schema)[HEAD:]}
        statements: StatementsBySubject = {}
        for subject, (stamp, facts) in spooled:
            own = {name: value for name, value in facts.items() if type(value) in accepted.get(name, ())}
            if own:
                statements.setdefault(subject, []).append(Statement(stamp, own))
        if statements:
            _replace(path, merge(table, view, None, statements))

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let one thread of one process rewrite the files; re-entrant. Readers see the old file or the new one."""
        with self._thread_lock:
            if self._has_file_lock:
                yield
                return
            self.layout.offline.mkdir(parents=True, exist_ok=True)
            with open(self.layout.offline / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._has_file_lock = True
                try:
                    yield
                finally:
                    self._has_file_lock = False


def fit(table: pa.Table, view: ProfileView) -> pa.Table:
    """Return `table` with the columns and types of `view`, in its order, then columns of undeclared features."""
    extra = [table.schema.field(name) for name in table.schema.names if name not in view.arrow_schema.names]
    columns = [_column(table, field) for field in [*view.arrow_schema, *extra]]
    return pa.table(columns, schema=pa.schema([*view.arrow_schema, *extra]))


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name not in table.schema.names:
        return pa.chunked_array([pa.nulls(table.num_rows, field.type)])
    try:
        return table[field.name].cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        old = table.schema.field(field.name).type
        raise Refused(
            f"feature {field.name} is kept as {old} and its history does not fit {field.type}: give it a new name"
        ) from None


def merge(old: pa.Table, view: ProfileView, new: pa.Table | None, further_statements: StatementsBySubject) -> pa.Table:
    """Return the history of everything in `old`, `new` (one statement per row) and `further_statements`, sorted.

    Subjects that are in `new` once and not in `old` need no merging and take a vectorised path.
    """
    statements, single = further_statements, None
    if new is not None:
        in_old = is_about(new, old["subject"])
        to_merge = pc.or_(in_old, is_about(new, repeated(new["subject"])))
        single = _single_rows(new.filter(pc.invert(to_merge)), view)
        statements = {**statements, **_statements(new.filter(to_merge))}
    changed = is_about(old, list(statements))
    for subject, states in _states(old.filter(changed)).items():
        statements[subject] = [*statements[subject], *statements_in(states)]
    merged = _full_rows(statements, old.schema)
    parts = [old.filter(pc.invert(changed)), merged, *([fit_to(single, old.schema)] if single is not None else [])]
    return pa.concat_tables(parts).sort_by(
        [("subject", "ascending"), ("event_timestamp", "ascending"), ("created", "ascending")]
    )


def fit_to(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` with exactly the columns of `schema`, null where the table has none."""
    return pa.table([_column(table, field) for field in schema], schema=schema)


def is_about(table: pa.Table, subjects: Sequence[str] | pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a bool column (n,): whether the row is about one of `subjects`."""
    values = subjects if isinstance(subjects, pa.Array | pa.ChunkedArray) else pa.array(subjects, pa.string())
    return pc.is_in(table["subject"], value_set=values)


def repeated(subjects: pa.ChunkedArray) -> pa.Array:
    """Return the subjects that occur more than once."""
    counts = pc.value_counts(subjects)
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def _single_rows(table: pa.Table, view: ProfileView) -> pa.Table:
    """Return statements as rows of history: the same values, plus the stamps of the columns that the table has."""
    names = [n for n in table.schema.names if n not in ("subject", "event_timestamp", "created")]
    times = np.stack([micros(table["event_timestamp"]), micros(table["created"])], axis=1)
    pairs, which = np.unique(times, axis=0, return_inverse=True)
    texts = [encode_stamps(dict.fromkeys(names, Stamp(int(e), int(c)))) for e, c in pairs]
    return table.append_column(view.stamps, pa.array(texts, pa.string()).take(pa.array(which.reshape(-1))))


def micros(column: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return timestamps as int64 microseconds UTC, shape (n,)."""
    return column.cast(TIME).cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]


def _statements(table: pa.Table) -> StatementsBySubject:
    statements: StatementsBySubject = {}
    names = [n for n in table.schema.names if n not in ("subject", "event_timestamp", "created")]
    stamps = map(Stamp, micros(table["event_timestamp"]).tolist(), micros(table["created"]).tolist())
    facts = table.select(names).to_pylist()
    for subject, stamp, row in zip(table["subject"].to_pylist(), stamps, facts, strict=True):
        statements.setdefault(subject, []).append(Statement(stamp, row))
    return statements


def _states(table: pa.Table) -> dict[str, list[State]]:
    states: dict[str, list[State]] = {}
    for subject, state in zip(table["subject"].to_pylist(), states_of(table), strict=True):
        states.setdefault(subject, []).append(state)
    return states


def states_of(table: pa.Table) -> list[State]:
    """Return the versions in each row of a history table, in the order of its rows."""
    stamps = table.column(HEAD - 1).to_pylist()
    facts = table.select(table.schema.names[HEAD:]).to_pylist()
    return [
        {name: Version(row[name], stamp) for name, stamp in decode_stamps(text).items()}
        for text, row in zip(stamps, facts, strict=True)
    ]


def _full_rows(statements: Mapping[str, Iterable[Statement]], schema: pa.Schema) -> pa.Table:
    records = [_record(subject, row, schema) for subject, own in statements.items() for row in history(own)]
    return pa.Table.from_pylist(records, schema=schema)


def _record(subject: str, row: Row, schema: pa.Schema) -> dict[str, object]:
    stamps = encode_stamps({name: version.stamp for name, version in row.state.items()})
    head = (subject, row.event_us, row.created_us, stamps)
    values = {name: version.value for name, version in row.state.items()}
    return dict(zip(schema.names[:HEAD], head, strict=True)) | values


def _replace(path: Path, table: pa.Table) -> None:
    """Write a Parquet file atomically and durably: readers, and a restart after a crash, see the old or the new one."""
    replace_file(path, lambda half: pq.write_table(table, half), durable=True)
