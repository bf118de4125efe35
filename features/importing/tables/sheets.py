"""Sheets: files of columns, read whole or in parts."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from decisioning.errors import Refused
from features.importing.tables.csv_text import csv_batches
from features.importing.tables.encodings import UTF_8

_ROWS = 10_000
"""Rows of a Parquet file that are read at a time."""


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


def read_sheet(path: Path, *, parquet: bool) -> Sheet:
    """Read a CSV file with a header (all cells as text), or a Parquet file. Raises Refused if that is impossible."""
    with _readable(path, parquet=parquet, encoding=UTF_8):
        table = pq.read_table(path) if parquet else _csv_table(path)
    _refuse_unusable(path, table.schema.names, table.num_rows)
    return Sheet(path.name, table)


def read_parts(
    path: Path, *, parquet: bool, separator: str = ",", encoding: str = UTF_8
) -> Iterator[tuple[Sheet, int, int]]:
    """Yield a file as `read_sheet` reads it in parts of a few megabytes, each with how much was read, and of how much.

    Raises Refused, also for what only a later part shows.
    """
    rows = 0
    with _readable(path, parquet=parquet, encoding=encoding):
        for batch, done, total in _parquet_batches(path) if parquet else csv_batches(path, separator, encoding):
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
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise Refused(f"{path.name} is a damaged gzip file") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is a folder, or a file of another kind"
        raise Refused(f"{path.name} cannot be read: {reason}") from None
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
        return f"is not text in {encoding}: save it as UTF-8, or state the `encoding` in a mapping, such as cp1252"
    return "is not a CSV file with a header"


def _csv_table(path: Path) -> pa.Table:
    return pa.Table.from_batches([batch for batch, _, _ in csv_batches(path, ",", UTF_8)])


def _parquet_batches(path: Path) -> Iterator[tuple[pa.RecordBatch, int, int]]:
    """Yield batches, each with the rows up to its end, and all rows of the file."""
    with pq.ParquetFile(path) as file:
        done, total = 0, file.metadata.num_rows
        for batch in file.iter_batches(_ROWS):
            done += batch.num_rows
            yield batch, done, total
