"""The history of every feature as Parquet: one file of full rows per view, computed from mergeable statements.

The rows of a file depend on the statements alone, not on the order in which they arrived. Columns of features that a
later release dropped stay in the file, so that a rollback finds them again.
"""

import fcntl
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from decisioning.errors import Refused
from features.duck import remove_abandoned
from features.files import replace_file, unfinished
from features.profile.fitting import PYTHON_OF, fit
from features.profile.merging import HEAD, StatementsBySubject, is_about, merge, states_of
from features.profile.spool import Spool
from features.profile.staging import PART, Cursor, Staged, bounds, sampled
from features.profile.versions import Stamp, State, Statement, decode_stamps, statements_in
from features.sqlite_errors import REPAIR, size_of
from features.views import Layout, ProfileView

KEYS = ("subject", "event_timestamp", "created")
_OWNER = b"workspace"
"""The entry of a file's metadata that holds the workspace's identity."""
_OLD_HALF = ".half"
"""Suffix of a file that an earlier version of the brain was writing when it crashed."""
Step = Callable[[int], None]
"""Called with the number of rows that were added since the last call."""


class Archive:
    """The Parquet files and the spool of one workspace; safe for several processes.

    :raises Refused: the spool is gone, damaged or another workspace's
    """

    def __init__(self, layout: Layout, views: Sequence[ProfileView]) -> None:
        self.layout = layout
        self.views = tuple(views)
        if layout.applied.exists() and not size_of(layout.spool):
            raise Refused(f"{layout.spool} is gone: {REPAIR}, which makes it anew from the online store")
        self.spool = Spool(layout.spool, layout.identity)
        self._thread_lock = threading.RLock()
        self._has_file_lock = False

    def holds(self, view: ProfileView) -> bool:
        """Tell whether the view's file has a column for each of its features.

        :raises Refused: it is gone, though there was one, or it is damaged
        """
        path = self.layout.history(view.name)
        if not path.exists():
            self._refuse_lost(path)
            return False
        if is_another_workspaces(path, self.layout.identity):
            raise Refused(f"{path} is another workspace's; {REPAIR}")
        return set(view.arrow_schema.names) <= set(_schema_of(path).names)

    def missing(self, view: ProfileView) -> frozenset[str]:
        """Return the features of the view for which its file has no column; all of them if it has no file yet.

        :raises Refused: as `holds` does
        """
        names = frozenset(f.name for f in view.features)
        if not names or self.holds(view):
            return frozenset()
        path = self.layout.history(view.name)
        return names - set(_schema_of(path).names) if path.exists() else names

    def _refuse_lost(self, path: Path) -> None:
        if self.layout.applied.exists():
            raise Refused(f"{path} is gone: {REPAIR}, which makes it anew from what else is kept")

    def table(self, view: ProfileView) -> pa.Table:
        """Return the file's rows, sorted by (subject, event_timestamp, created), without spooled statements."""
        return pq.read_table(self.layout.history(view.name))

    def rows(self, view: ProfileView) -> int:
        """Return the number of rows of the view's file."""
        return int(pq.read_metadata(self.layout.history(view.name)).num_rows)

    def parts(self, view: ProfileView) -> Iterator[pa.Table]:
        """Yield the file's rows in order, about `PART` at a time and all rows of a subject together."""
        cursor, end = Cursor(self._batches(view)), bounds(self._samples(view))
        for last in end:
            yield from _joined(cursor.up_to(last))

    def _batches(self, view: ProfileView, columns: list[str] | None = None) -> Iterator[pa.Table]:
        with pq.ParquetFile(self.layout.history(view.name)) as file:
            for batch in file.iter_batches(PART, columns=columns):
                yield pa.Table.from_batches([batch])

    def _samples(self, view: ProfileView) -> list[str]:
        return [s for table in self._batches(view, ["subject"]) for s in sampled(table["subject"])]

    def subjects(self) -> list[str]:
        """Return every stream that has a profile, sorted; what was still spooled counts."""
        self.compact()
        parts = [pc.unique(table["subject"]) for view in self.views for table in self._batches(view, ["subject"])]
        return sorted(pc.unique(pa.chunked_array(parts, pa.string())).to_pylist())

    def prepare(self, *, keep: bool = False) -> None:
        """Give the files every column of the views.

        Raises Refused if values do not fit the new type of their feature, unless they are to be kept beside it.
        """
        with self.exclusive():
            if all(self.layout.history(view.name).exists() for view in self.views):
                self.compact()  # statements under the old types must be merged under those types first
            for view in self.views:
                self._prepare_view(view, keep=keep)

    def _prepare_view(self, view: ProfileView, *, keep: bool) -> None:
        path = self.layout.history(view.name)
        if not path.exists():
            self._refuse_lost(path)
        old = _schema_of(path) if path.exists() else view.arrow_schema
        new = fit(old.empty_table(), view, keep=keep).schema
        if not path.exists():
            self._rewrite(view, new, ())
        elif not new.equals(old):
            self._rewrite(view, new, (fit(part, view, keep=keep) for part in self._batches(view)))

    def restore(self, view: ProfileView) -> int:
        """Write the view's file anew from those of its parts that can be read; return the number of rows."""
        with self.exclusive():
            path = self.layout.history(view.name)
            parts = [] if is_another_workspaces(path, self.layout.identity) else list(_readable_parts(path))
            schema = fit(parts[0].slice(0, 0), view, keep=True).schema if parts else view.arrow_schema
            self._rewrite(view, schema, (fit(part, view, keep=True) for part in parts))
        return sum(part.num_rows for part in parts)

    def add(self, view: ProfileView, staged: Staged, step: Step = lambda _: None) -> None:
        """Merge statements into the view's file.

        `staged` has one row per statement, with columns subject, event_timestamp, created and any features.
        """
        columns = [*KEYS, *(f.name for f in view.features if f.name in (staged.schema or pa.schema([])).names)]
        with self.exclusive():
            self._rewrite(view, self.schema(view), self._merged(view, staged, columns, step))

    def _merged(self, view: ProfileView, staged: Staged, columns: list[str], step: Step) -> Iterator[pa.Table]:
        old, empty = Cursor(self._batches(view)), self.schema(view).empty_table()
        for last, new in staged.ranges(self._samples(view)):
            yield merge(pa.concat_tables([empty, *old.up_to(last)]), view, new.select(columns), {})
            step(new.num_rows)

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
            states += states_of(_rows_about(self.layout.history(view.name), subject))
        return sorted([*statements_in(states), *self.spool.of(subject)], key=lambda statement: statement.stamp)

    def count_of(self, subject: str) -> int:
        """Return how many statements about one subject there are, without reading what they say."""
        stamps = set[Stamp]()
        for view in self.views:
            texts = _rows_about(self.layout.history(view.name), subject, heads_only=True).column(HEAD - 1)
            stamps.update(stamp for text in texts.to_pylist() for stamp in decode_stamps(text).values())
        return len(stamps) + len(self.spool.of(subject))

    def later_than_recorded(self, view: ProfileView) -> dict[str, list[Statement]]:
        """Return all statements of the subjects of whom something in the file is later than its recording."""
        statements: dict[str, list[Statement]] = {}
        for part in self.parts(view):
            late = part.filter(pc.greater(part["event_timestamp"], part["created"]))
            theirs = part.filter(is_about(part, late["subject"]))
            states: dict[str, list[State]] = {}
            for subject, state in zip(theirs["subject"].to_pylist(), states_of(theirs), strict=True):
                states.setdefault(subject, []).append(state)
            statements.update((subject, statements_in(own)) for subject, own in states.items())
        return statements

    def restate(self, view: ProfileView, statements: StatementsBySubject) -> None:
        """Write the rows of these subjects anew, from these statements alone."""

        def restated() -> Iterator[pa.Table]:
            for part in self.parts(view):
                own = {s: statements[s] for s in pc.unique(part["subject"]).to_pylist() if s in statements}
                yield merge(part.filter(pc.invert(is_about(part, list(own)))), view, None, own) if own else part

        with self.exclusive():
            self._rewrite(view, self.schema(view), restated())

    def present(self, subjects: Sequence[str]) -> list[str]:
        """Return those of `subjects` that have rows in the files, sorted."""
        matches = set[str]()
        for view in self.views:
            for table in self._batches(view, ["subject"]):
                matches.update(pc.unique(table.filter(is_about(table, subjects))["subject"]).to_pylist())
        return sorted(matches)

    def forget(self, subjects: Sequence[str]) -> None:
        """Erase subjects from the spool and the files. The time this takes grows with the files."""
        with self.exclusive():
            self.spool.forget(subjects)
            self.remove_abandoned()
            for view in self.views:
                if any(pc.any(is_about(table, subjects)).as_py() for table in self._batches(view, ["subject"])):
                    others = (part.filter(pc.invert(is_about(part, subjects))) for part in self._batches(view))
                    self._rewrite(view, self.schema(view), others)

    def remove_abandoned(self) -> None:
        """Remove what killed processes were writing; it may hold subjects that no file holds."""
        with self.exclusive():
            for view in self.views:
                path = self.layout.history(view.name)
                for half in (unfinished(path), path.with_suffix(_OLD_HALF)):
                    half.unlink(missing_ok=True)
            remove_abandoned(self.layout.offline)

    def _compact_view(self, view: ProfileView, spooled: Iterable[tuple[str, Statement]]) -> None:
        schema = self.schema(view)
        accepted = {field.name: PYTHON_OF[field.type] for field in list(schema)[HEAD:]}
        statements: dict[str, list[Statement]] = {}
        for subject, (stamp, facts) in spooled:
            own = {name: value for name, value in facts.items() if type(value) in accepted.get(name, ())}
            if own:
                statements.setdefault(subject, []).append(Statement(stamp, own))
        if statements:
            self._rewrite(view, schema, self._with_statements(view, statements))

    def _with_statements(self, view: ProfileView, statements: StatementsBySubject) -> Iterator[pa.Table]:
        old, empty, waiting = Cursor(self._batches(view)), self.schema(view).empty_table(), sorted(statements)
        for last in bounds([*self._samples(view), *waiting[::1000]]):
            upto = len(waiting) if last is None else bisect_right(waiting, last)
            now, waiting = {s: statements[s] for s in waiting[:upto]}, waiting[upto:]
            yield merge(pa.concat_tables([empty, *old.up_to(last)]), view, None, now)

    def schema(self, view: ProfileView) -> pa.Schema:
        """Return the columns of the view's file: its features, and what earlier releases left."""
        return pq.read_schema(self.layout.history(view.name))

    def _rewrite(self, view: ProfileView, schema: pa.Schema, parts: Iterable[pa.Table]) -> None:
        """Write a file of sorted parts atomically and durably: a reader, or a restart, sees the old or the new one."""
        path = self.layout.history(view.name)

        def write(half: Path) -> None:
            with pq.ParquetWriter(half, self._owned(schema), write_page_checksum=True) as file:
                for group in _groups(parts):
                    file.write_table(group)

        try:
            replace_file(path, write, durable=True)
        finally:
            unfinished(path).unlink(missing_ok=True)

    def _owned(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema with the mark of this workspace, if it has one yet."""
        owner = _owner(self.layout.identity)
        return schema.with_metadata({_OWNER: owner}) if owner else schema

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


def is_another_workspaces(path: Path, identity: Path) -> bool:
    """Tell whether a file of the history has the mark of another workspace; False if it has none or is damaged."""
    try:
        marked = (pq.read_schema(path).metadata or {}).get(_OWNER, b"")
    except (pa.ArrowException, OSError):
        return False
    own = _owner(identity)
    return bool(marked and own and marked != own)


def _owner(identity: Path) -> bytes:
    return identity.read_bytes().strip() if identity.exists() else b""


def _schema_of(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise Refused(f"{path} cannot be read: it is damaged or of another kind; {REPAIR}") from error


def _rows_about(path: Path, subject: str, *, heads_only: bool = False) -> pa.Table:
    """Return the rows of a file about one subject, of those of its parts that may hold some.

    :param heads_only: only the first `HEAD` columns are read
    """
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names[:HEAD] if heads_only else None
        of = [file.metadata.row_group(n).column(0).statistics for n in range(file.num_row_groups)]
        own = [n for n, known in enumerate(of) if known is None or known.min <= subject <= known.max]
        table = file.read_row_groups(own, columns=names, use_threads=False)
    return table.filter(pc.equal(table["subject"], subject))


def _readable_parts(path: Path) -> Iterator[pa.Table]:
    with suppress(pa.ArrowException, OSError), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for n in range(file.num_row_groups):
            with suppress(pa.ArrowException, OSError):
                yield file.read_row_group(n)


def _groups(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same rows in tables of at least `PART` rows, but for the last; each becomes a group of a file."""
    waiting: list[pa.Table] = []
    for part in parts:
        waiting.append(part)
        if sum(table.num_rows for table in waiting) >= PART:
            yield pa.concat_tables(waiting)
            waiting = []
    yield from _joined(waiting)


def _joined(tables: list[pa.Table]) -> Iterator[pa.Table]:
    if tables:
        yield pa.concat_tables(tables)
