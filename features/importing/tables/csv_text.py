"""CSV files as Arrow batches of text; what is not CSV as RFC 4180 has it is a fault, as rows might be swallowed."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv

from decisioning.errors import Refused
from features.importing.tables.encodings import open_utf8
from features.importing.tables.faults import Faults

BYTES: Final = 1 << 20
"""How much of a file is read at a time."""
_UNCLOSED: Final = "a quotation mark opens a cell and does not close it: rows after it would be lost"
_HOLDS_ROWS: Final = "a cell in quotation marks holds whole rows: a quotation mark is missing or too many"


def csv_batches(path: Path, separator: str, encoding: str) -> Iterator[tuple[pa.RecordBatch, int, int]]:
    """Yield batches of columns of text, each with the bytes of the file that were read, and the size of the file.

    Raises Refused for rows of another length than the header, and for quotation marks that do not fit; and what
    `open_utf8` and Arrow's reader raise.
    """
    if len(separator.encode()) != 1:
        raise Refused("the separator of a CSV file is one ASCII character")
    faults, total = Faults(), path.stat().st_size
    width = _survey(path, separator, encoding, faults)
    faults.raise_any()
    names: list[str] | None = None
    with open_utf8(path, encoding) as (text, file):
        for batch in pyarrow.csv.open_csv(pa.PythonFile(text, mode="r"), *_options(path, separator, width, faults)):
            rows = batch
            if names is None:
                names, rows = [str(column[0]) for column in batch.columns], batch.slice(1)
            yield rows.rename_columns(names), file.tell(), total
    faults.raise_any()


def _survey(path: Path, separator: str, encoding: str, faults: Faults) -> int:
    """Return the number of columns of the header; report quotation marks that do not fit."""
    with open_utf8(path, encoding) as (text, _):
        quoted = any(b'"' in piece for piece in iter(lambda: text.read(BYTES), b""))
    with open_utf8(path, encoding) as (text, _):
        rows = csv.reader(io.TextIOWrapper(text, "utf-8", newline=""), delimiter=separator, strict=True)
        return _check_rows(path, rows, separator, faults) if quoted else _first_width(rows)


def _first_width(rows: Iterator[list[str]]) -> int:
    return next((len(cells) for cells in rows if cells), 0)


def _check_rows(path: Path, rows: Any, separator: str, faults: Faults) -> int:
    """Return the number of columns; report the rows where quotation marks do not fit."""
    row, width, line = -2, 0, 0
    try:
        for cells in rows:
            lines, line = rows.line_num - line, rows.line_num
            if not cells:
                continue
            row, width = row + 1, width or len(cells)
            if lines > 1 and any(_holds_rows(cell, separator, width) for cell in cells):
                faults.add(path.name, "(all)", [row], _HOLDS_ROWS)
    except csv.Error:
        faults.add(path.name, "(all)", [max(row + 1, 0)], _UNCLOSED)
    return width


def _holds_rows(cell: str, separator: str, width: int) -> bool:
    """Tell whether a line within a cell has as many separators as a row."""
    return width > 1 and any(line.count(separator) == width - 1 for line in cell.splitlines()[1:])


def _options(path: Path, separator: str, width: int, faults: Faults) -> tuple[Any, Any, Any]:
    """Return how to read, parse and convert: every cell is text, the header too; rows of another length are faults."""

    def skip_ragged(row: pyarrow.csv.InvalidRow) -> str:
        message = f"{row.actual_columns} cells, the header has {row.expected_columns}"
        faults.add(path.name, "(all)", [row.number - 2], message)
        return "skip"

    reading = pyarrow.csv.ReadOptions(use_threads=False, block_size=BYTES, autogenerate_column_names=True)
    parsing = pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=skip_ragged)
    texts = pyarrow.csv.ConvertOptions(column_types={f"f{n}": pa.string() for n in range(width)})
    return reading, parsing, texts
