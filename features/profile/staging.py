"""Rows on their way into the history: kept sorted in a file without a name, so that memory does not grow with them.

The file vanishes with the process. Rows come back in ranges of subjects, all rows of a subject together.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc

PART = 20_000
"""About how many rows are in memory at a time."""
_STEP = 500
"""Rows between two subjects that are looked at to cut ranges."""
_RUN, _PIECE = 50_000, 500
"""Rows of a sorted run in the file, and how many are read from each run at a time."""


class _Piece(NamedTuple):
    at: int
    size: int


class Staged:
    """Rows of one schema with a column `subject`, in any order and number; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed at the end of the block that it is used in
        self._waiting: list[pa.Table] = []
        self._runs: list[list[_Piece]] = []
        self._samples: list[str] = []
        self._unwanted = pa.array([], pa.string())
        self.schema: pa.Schema | None = None
        self.rows = 0
        self.left_out: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, rows: pa.Table) -> None:
        """Add rows, which are sorted and written out; all tables have the same columns."""
        if not rows.num_rows:
            return
        self.schema = self.schema or rows.schema
        self._waiting.append(rows.cast(self.schema))
        self.rows += rows.num_rows
        if sum(table.num_rows for table in self._waiting) >= _RUN:
            self._sort()

    def _sort(self) -> None:
        """Write out what is waiting, as a sorted run."""
        if self._waiting:
            ordered = pa.concat_tables(self._waiting).sort_by("subject").combine_chunks()
            self._waiting = []
            self._samples += sampled(ordered["subject"])
            self._runs.append([self._write(batch) for batch in ordered.to_batches(_PIECE)])

    def has(self, columns: Iterable[str]) -> bool:
        """Tell whether the rows have any of these columns."""
        return self.schema is not None and not set(self.schema.names).isdisjoint(columns)

    def leave_out(self, subjects: Iterable[str]) -> None:
        """Forget the rows about these subjects; `left_out` holds those of them that had rows."""
        unwanted = pa.array(list(subjects), pa.string())
        if not len(unwanted):
            return
        for _, rows in self.ranges():
            own = rows["subject"].filter(pc.is_in(rows["subject"], value_set=unwanted))
            self.left_out |= frozenset(own.to_pylist())
            self.rows -= len(own)
        self._unwanted = unwanted

    def ranges(self, samples: Iterable[str] = ()) -> Iterator[tuple[str | None, pa.Table]]:
        """Yield (last subject, rows up to it) in the order of subjects; the last range has None, and goes to the end.

        `samples` are the subjects of every so many rows that are merged with these, so that ranges are small for both.
        """
        if self.schema is None:
            return
        self._sort()
        self._file.flush()
        cursors = [Cursor(self._read(run)) for run in self._runs]
        for last in bounds([*self._samples, *samples]):
            parts = [part for cursor in cursors for part in cursor.up_to(last)]
            yield last, pa.concat_tables(parts) if parts else self.schema.empty_table()

    def _write(self, batch: pa.RecordBatch) -> _Piece:
        data = batch.serialize()
        at = self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        return _Piece(at, data.size)

    def _read(self, run: Iterable[_Piece]) -> Iterator[pa.Table]:
        for piece in run:
            data = os.pread(self._file.fileno(), piece.size, piece.at)
            table = pa.Table.from_batches([pa.ipc.read_record_batch(data, self.schema)])
            if len(self._unwanted):
                table = table.filter(pc.invert(pc.is_in(table["subject"], value_set=self._unwanted)))
            yield table


class Cursor:
    """Goes once through tables that are sorted by subject."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._rest: pa.Table | None = None

    def up_to(self, last: str | None) -> list[pa.Table]:
        """Return the rows that were not returned yet, up to a subject and with it, or all of them."""
        parts: list[pa.Table] = []
        while True:
            table = self._rest if self._rest is not None else next(self._tables, None)
            self._rest = None
            if table is None:
                return parts
            if not table.num_rows:
                continue
            if last is None or table["subject"][-1].as_py() <= last:
                parts.append(table)
                continue
            n = pc.sum(pc.less_equal(table["subject"], last)).as_py()
            self._rest = table.slice(n)
            return [*parts, table.slice(0, n)] if n else parts


def sampled(subjects: pa.Array) -> list[str]:
    """Return the subject of every so many rows."""
    return list(subjects[::_STEP].to_pylist())


def bounds(samples: list[str]) -> list[str | None]:
    """Return the last subjects of ranges of about `PART` rows, None for the last range."""
    size = PART // _STEP
    return [*sorted(set(sorted(samples)[size::size])), None]
