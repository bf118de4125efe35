"""The history of every feature as Parquet, one file per view, full rows, made only of mergeable statements.

A file's rows depend on what was stated, not on the order in which it came. Columns of features that a later release
dropped are carried along, so that a rollback finds them again.
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

HEAD = 4  # subject, event_timestamp, created, stamps: then the features
_OLD_HALF = ".half"  # of a file that an earlier version of the brain was writing when it crashed
PYTHON_OF: Mapping[pa.DataType, tuple[type, ...]] = {
    pa.float64(): (float, int, NoneType),
    pa.int64(): (int, NoneType),
    pa.bool_(): (bool, NoneType),
    pa.string(): (str, NoneType),
}
"""What a column takes: a process on the previous release may still state a dtype that a feature no longer has."""
Said = dict[str, list[Statement]]


class Archive:
    """Parquet files and spool of one workspace; safe for several processes."""

    def __init__(self, layout: Layout, views: Sequence[ProfileView]) -> None:
        self.layout = layout
        self.views = tuple(views)
        self.spool = Spool(layout.spool)
        self._thread = threading.RLock()
        self._held = False

    def holds(self, view: ProfileView) -> bool:
        """Whether the view's file has a column for each of its features."""
        path = self.layout.history(view.name)
        return path.exists() and set(view.arrow_schema.names) <= set(pq.read_schema(path).names)

    def table(self, view: ProfileView) -> pa.Table:
        """The file's rows, sorted by (subject, event_timestamp, created); spooled statements are not in it."""
        return pq.read_table(self.layout.history(view.name))

    def subjects(self) -> list[str]:
        """Return every stream that has a profile, sorted; what was still spooled counts."""
        self.compact()
        paths = [self.layout.history(view.name) for view in self.views]
        parts = [pq.read_table(path, columns=["subject"])["subject"] for path in paths]
        everyone = pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string())
        return sorted(pc.unique(everyone).to_pylist())

    def prepare(self) -> None:
        """Make the files hold every column of the views; raises Refused when a kept column cannot take a new type."""
        with self.alone():
            if all(self.layout.history(view.name).exists() for view in self.views):
                self.compact()  # what was stated under the old types is kept under them first
            for view in self.views:
                path = self.layout.history(view.name)
                old = pq.read_table(path) if path.exists() else view.arrow_schema.empty_table()
                new = fit(old, view)
                if new.schema != old.schema or not path.exists():
                    _replace(path, new)

    def add(self, view: ProfileView, table: pa.Table) -> None:
        """Merge statements: `table` has subject, event_timestamp, created and features of the view, one row each."""
        with self.alone():
            path = self.layout.history(view.name)
            _replace(path, merge(pq.read_table(path), view, table, {}))

    def compact(self) -> int:
        """Move the spool into the Parquet files; returns how many statements moved."""
        with self.alone():
            up_to, spooled = self.spool.read()
            if spooled:
                for view in self.views:
                    self._compact_view(view, spooled)
                self.spool.drop(up_to)  # a crash before this line repeats a merge, which changes nothing
            return len(spooled)

    def statements_of(self, subject: str) -> list[Statement]:
        """All that was ever stated of one subject, in the order of the times at which it was true."""
        states: list[State] = []
        for view in self.views:
            states += states_of(pq.read_table(self.layout.history(view.name), filters=[("subject", "=", subject)]))
        return sorted([*statements_in(states), *self.spool.of(subject)], key=lambda said: said.stamp)

    def among(self, subjects: Sequence[str]) -> list[str]:
        """Those of whom the files hold something."""
        wanted, found = pa.array(subjects, pa.string()), set[str]()
        for view in self.views:
            held = pq.read_table(self.layout.history(view.name), columns=["subject"])["subject"]
            found.update(pc.unique(held.filter(pc.is_in(held, value_set=wanted))).to_pylist())
        return sorted(found)

    def forget(self, subjects: Sequence[str]) -> None:
        """Erase subjects from spool and files."""
        with self.alone():
            with self.spool.writing():
                self.spool.forget(subjects)
            self.spool.scrub()
            for view in self.views:
                path = self.layout.history(view.name)
                for half in (unfinished(path), path.with_suffix(_OLD_HALF)):
                    half.unlink(missing_ok=True)
                table = pq.read_table(path)
                kept = table.filter(pc.invert(_among(table, subjects)))
                if kept.num_rows < table.num_rows:
                    _replace(path, kept)

    def _compact_view(self, view: ProfileView, spooled: Iterable[tuple[str, Statement]]) -> None:
        path = self.layout.history(view.name)
        table = pq.read_table(path)
        takes = {field.name: PYTHON_OF[field.type] for field in list(table.schema)[HEAD:]}
        said: Said = {}
        for subject, (stamp, facts) in spooled:
            own = {name: value for name, value in facts.items() if type(value) in takes.get(name, ())}
            if own:
                said.setdefault(subject, []).append(Statement(stamp, own))
        if said:
            _replace(path, merge(table, view, None, said))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One thread of one process rewrites the files (and may enter again); readers see the old file or the new."""
        with self._thread:
            if self._held:
                yield
                return
            self.layout.offline.mkdir(parents=True, exist_ok=True)
            with open(self.layout.offline / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._held = True
                try:
                    yield
                finally:
                    self._held = False


def fit(table: pa.Table, view: ProfileView) -> pa.Table:
    """`table` with the columns and types of `view`, in its order, then columns of features no longer declared."""
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


def merge(old: pa.Table, view: ProfileView, new: pa.Table | None, said: Said) -> pa.Table:
    """The history of everything in `old`, `new` (one statement a row) and `said`, sorted.

    Subjects that appear once, and never before, need no merging and take a vectorised path.
    """
    quick = None
    if new is not None:
        known = _among(new, old["subject"])
        again = _among(new, _repeated(new["subject"]))
        slow = pc.or_(known, again)
        quick = _single_rows(new.filter(pc.invert(slow)), view)
        said = {**said, **_statements(new.filter(slow))}
    touched = _among(old, list(said))
    for subject, states in _states(old.filter(touched)).items():
        said[subject] = [*said[subject], *statements_in(states)]
    slow_rows = _full_rows(said, old.schema)
    parts = [old.filter(pc.invert(touched)), slow_rows, *([fit_to(quick, old.schema)] if quick is not None else [])]
    return pa.concat_tables(parts).sort_by(
        [("subject", "ascending"), ("event_timestamp", "ascending"), ("created", "ascending")]
    )


def fit_to(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns of `schema`."""
    return pa.table([_column(table, field) for field in schema], schema=schema)


def _among(table: pa.Table, subjects: Sequence[str] | pa.ChunkedArray) -> pa.ChunkedArray:
    values = subjects if isinstance(subjects, pa.Array | pa.ChunkedArray) else pa.array(subjects, pa.string())
    return pc.is_in(table["subject"], value_set=values)


def _repeated(subjects: pa.ChunkedArray) -> pa.Array:
    counts = pc.value_counts(subjects)
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def _single_rows(table: pa.Table, view: ProfileView) -> pa.Table:
    """Statements as rows of history: the same values, plus the stamps of the columns that the table has."""
    names = [n for n in table.schema.names if n not in ("subject", "event_timestamp", "created")]
    times = np.stack([micros(table["event_timestamp"]), micros(table["created"])], axis=1)
    pairs, which = np.unique(times, axis=0, return_inverse=True)
    texts = [encode_stamps(dict.fromkeys(names, Stamp(int(e), int(c)))) for e, c in pairs]
    return table.append_column(view.stamps, pa.array(texts, pa.string()).take(pa.array(which.reshape(-1))))


def micros(column: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Timestamps as int64 microseconds UTC, shape (n,)."""
    return column.cast(TIME).cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]


def _statements(table: pa.Table) -> Said:
    said: Said = {}
    names = [n for n in table.schema.names if n not in ("subject", "event_timestamp", "created")]
    stamps = map(Stamp, micros(table["event_timestamp"]).tolist(), micros(table["created"]).tolist())
    facts = table.select(names).to_pylist()
    for subject, stamp, row in zip(table["subject"].to_pylist(), stamps, facts, strict=True):
        said.setdefault(subject, []).append(Statement(stamp, row))
    return said


def _states(table: pa.Table) -> dict[str, list[State]]:
    found: dict[str, list[State]] = {}
    for subject, state in zip(table["subject"].to_pylist(), states_of(table), strict=True):
        found.setdefault(subject, []).append(state)
    return found


def states_of(table: pa.Table) -> list[State]:
    """The versions in each row of history."""
    stamps = table.column(HEAD - 1).to_pylist()
    facts = table.select(table.schema.names[HEAD:]).to_pylist()
    return [
        {name: Version(row[name], stamp) for name, stamp in decode_stamps(text).items()}
        for text, row in zip(stamps, facts, strict=True)
    ]


def _full_rows(said: Mapping[str, Iterable[Statement]], schema: pa.Schema) -> pa.Table:
    records = [_record(subject, row, schema) for subject, all_said in said.items() for row in history(all_said)]
    return pa.Table.from_pylist(records, schema=schema)


def _record(subject: str, row: Row, schema: pa.Schema) -> dict[str, object]:
    stamps = encode_stamps({name: version.stamp for name, version in row.state.items()})
    head = (subject, row.event_us, row.created_us, stamps)
    values = {name: version.value for name, version in row.state.items()}
    return dict(zip(schema.names[:HEAD], head, strict=True)) | values


def _replace(path: Path, table: pa.Table) -> None:
    replace_file(path, lambda half: pq.write_table(table, half), durable=True)
