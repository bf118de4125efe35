"""Reads a company's files as Arrow columns; reports faults by file, row and column, never by value."""

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from decisioning.errors import Refused

_BYTES, _ROWS = 1 << 20, 10_000
"""How much of a file is read at a time."""
MAX_LISTED = 20
"""How many faults a message lists."""


@dataclass
class Faults:
    """The wrong cells of an import: the first `MAX_LISTED` as (file, row, column, message), and their number.

    Rows are counted from 1, without the header and empty lines.
    """

    listed: list[tuple[str, int, str, str]] = field(default_factory=list)
    count: int = 0

    def add(self, file: str, column: str, rows: Iterable[int], message: str) -> None:
        """Add rows (counted from 0) of a column that have the same fault."""
        for row in rows:
            self.count += 1
            if len(self.listed) < MAX_LISTED:
                self.listed.append((file, int(row) + 1, column, message))

    def raise_any(self) -> None:
        """Raise Refused, with the listed faults, if there are any faults."""
        if not self.count:
            return
        lines = [f"{file}: row {row}, column {column}: {message}" for file, row, column, message in self.listed]
        more = [f"and {self.count - len(lines)} more"] if self.count > len(lines) else []
        raise Refused("\n".join([f"nothing was imported: {self.count} cells are wrong", *lines, *more]))


@dataclass(frozen=True)
class Sheet:
    """One file, or a part of it: its name without the folder, and its columns, of text or of Parquet's own types.

    `first_row`: how many rows of the file come before these.
    """

    file: str
    table: pa.Table
    first_row: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the file."""
        return tuple(self.table.schema.names)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, column: str) -> pa.Array:
        return self.table[column].combine_chunks()


def is_parquet(path: Path) -> bool:
    """Tell by its suffix whether a file is Parquet."""
    return path.suffix.lower() in (".parquet", ".pq")


def read_sheet(path: Path, *, parquet: bool, separator: str = ",", encoding: str = "utf-8") -> Sheet:
    """Read a CSV file with a header (all cells as text), or a Parquet file. Raises Refused if that is impossible."""
    with _readable(path, parquet=parquet, encoding=encoding):
        table = pq.read_table(path) if parquet else _read_csv(path, separator, encoding)
    _refuse_unusable(path, table.schema.names, table.num_rows)
    return Sheet(path.name, table)


def read_parts(path: Path, *, parquet: bool, separator: str = ",") -> Iterator[tuple[Sheet, int, int]]:
    """Yield a file as `read_sheet` reads it in parts of a few megabytes, each with how much was read, and of how much.

    Raises Refused, also for what only a later part shows.
    """
    rows = 0
    with _readable(path, parquet=parquet, encoding="utf-8"):
        for batch, done, total in _parquet_batches(path) if parquet else _csv_batches(path, separator):
            _refuse_unusable(path, batch.schema.names)
            if batch.num_rows:
                yield Sheet(path.name, pa.Table.from_batches([batch]), rows), done, total
            rows += batch.num_rows
    if not rows:
        raise Refused(f"{path.name} holds no rows")


@contextmanager
def _readable(path: Path, *, parquet: bool, encoding: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{path.name} cannot be read: {os.strerror(error.errno or 0)}") from None
    except LookupError:
        raise Refused(f"{path.name}: there is no encoding {encoding!r}") from None
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise Refused(f"{path.name} {_reason(error, encoding, parquet=parquet)}") from None


def _refuse_unusable(path: Path, names: list[str], rows: int = 1) -> None:
    if repeated := sorted({n for n in names if names.count(n) > 1}):
        raise Refused(f"{path.name} has two columns called {', '.join(repeated)}: rename one of them")
    if not rows:
        raise Refused(f"{path.name} holds no rows")


def _reason(error: Exception, encoding: str, *, parquet: bool) -> str:
    """Return what is wrong with a file in words of our own, as Arrow's message would quote the row."""
    if parquet:
        return "is not a Parquet file"
    if "UTF8" in str(error) or isinstance(error, UnicodeDecodeError):
        return f"is not text in {encoding}: state the `encoding`, such as cp1252"
    return "is not a CSV file with a header"


def _read_csv(path: Path, separator: str, encoding: str) -> pa.Table:
    faults = Faults()
    table = pyarrow.csv.read_csv(path, *_csv_options(path, separator, encoding, faults))
    faults.raise_any()
    return table


def _csv_batches(path: Path, separator: str) -> Iterator[tuple[pa.RecordBatch, int, int]]:
    """Yield batches, each with the bytes that were read for it, and the size of the file."""
    faults, total = Faults(), path.stat().st_size
    with pa.OSFile(str(path)) as file:
        for batch in pyarrow.csv.open_csv(file, *_csv_options(path, separator, "utf-8", faults)):
            yield batch, file.tell(), total
    faults.raise_any()


def _parquet_batches(path: Path) -> Iterator[tuple[pa.RecordBatch, int, int]]:
    """Yield batches, each with the rows up to its end, and all rows of the file."""
    with pq.ParquetFile(path) as file:
        done, total = 0, file.metadata.num_rows
        for batch in file.iter_batches(_ROWS):
            done += batch.num_rows
            yield batch, done, total


def _csv_options(path: Path, separator: str, encoding: str, faults: Faults) -> tuple[Any, Any, Any]:
    """Return how to read, parse and convert: every cell is text, and rows of another length are reported."""

    def skip_ragged(row: pyarrow.csv.InvalidRow) -> str:
        message = f"{row.actual_columns} cells, the header has {row.expected_columns}"
        faults.add(path.name, "(all)", [row.number - 2], message)
        return "skip"

    reading = pyarrow.csv.ReadOptions(use_threads=False, encoding=encoding, block_size=_BYTES)
    parsing = pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=skip_ragged)
    texts = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(_header(path, separator, encoding), pa.string()))
    return reading, parsing, texts


def _header(path: Path, separator: str, encoding: str) -> list[str]:
    """Return the names of the columns; none for an empty file."""
    with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as file:
        return next(csv.reader(file, delimiter=separator), [])


def rows_of(mask: pa.Array) -> list[int]:
    """Return the rows (counted from 0) where a bool column is true, and not null."""
    return np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False)).tolist()
