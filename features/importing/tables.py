"""Reads a company's files as Arrow columns; reports faults by file, row and column, never by value."""

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from decisioning.errors import Refused

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
    """One file: its name without the folder, and its columns, of text or of Parquet's own types."""

    file: str
    table: pa.Table

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
    try:
        table = pq.read_table(path) if parquet else _read_csv(path, separator, encoding)
    except OSError as error:
        raise Refused(f"{path.name} cannot be read: {os.strerror(error.errno or 0)}") from None
    except LookupError:
        raise Refused(f"{path.name}: there is no encoding {encoding!r}") from None
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise Refused(f"{path.name} {_reason(error, encoding, parquet=parquet)}") from None
    names = table.schema.names
    if repeated := sorted({n for n in names if names.count(n) > 1}):
        raise Refused(f"{path.name} has two columns called {', '.join(repeated)}: rename one of them")
    if not table.num_rows:
        raise Refused(f"{path.name} holds no rows")
    return Sheet(path.name, table)


def _reason(error: Exception, encoding: str, *, parquet: bool) -> str:
    """Return what is wrong with a file in words of our own, as Arrow's message would quote the row."""
    if parquet:
        return "is not a Parquet file"
    if "UTF8" in str(error) or isinstance(error, UnicodeDecodeError):
        return f"is not text in {encoding}: state the `encoding`, such as cp1252"
    return "is not a CSV file with a header"


def _read_csv(path: Path, separator: str, encoding: str) -> pa.Table:
    faults = Faults()

    def skip_ragged(row: pyarrow.csv.InvalidRow) -> str:
        message = f"{row.actual_columns} cells, the header has {row.expected_columns}"
        faults.add(path.name, "(all)", [row.number - 2], message)
        return "skip"

    parsing = pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=skip_ragged)
    reading = pyarrow.csv.ReadOptions(use_threads=False, encoding=encoding)
    texts = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(_header(path, separator, encoding), pa.string()))
    table = pyarrow.csv.read_csv(path, reading, parsing, texts)
    faults.raise_any()
    return table


def _header(path: Path, separator: str, encoding: str) -> list[str]:
    """Return the names of the columns; none for an empty file."""
    with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as file:
        return next(csv.reader(file, delimiter=separator), [])


def rows_of(mask: pa.Array) -> list[int]:
    """Return the rows (counted from 0) where a bool column is true, and not null."""
    return np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False)).tolist()
