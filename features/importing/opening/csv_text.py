"""CSV files as Arrow batches of text; what is not CSV as RFC 4180 has it is a fault, as rows might be swallowed."""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.csv

from features.importing.opening.encodings import UTF_8, open_utf8
from features.importing.opening.separators import CsvLayout, called
from features.importing.opening.stated import Compression
from features.importing.tables.faults import Faults
from features.importing.tables.row_numbers import Batch, RowNumbers

Handler = Callable[[pyarrow.csv.InvalidRow], str]
BYTES: Final = 1 << 20
"""How much of a file is read at a time."""
_UNCLOSED: Final = "a quotation mark opens a cell and does not close it: rows after it would be lost"
_HOLDS_ROWS: Final = "a cell in quotation marks holds whole rows: a quotation mark is missing or too many"


@dataclass(frozen=True)
class CsvText:
    """A CSV file of which is known how it is written; `text` is its beginning, `whole` whether it is all of it."""

    path: Path
    layout: CsvLayout
    encoding: str
    compression: Compression
    sure: bool
    text: str
    whole: bool

    @property
    def numbers(self) -> RowNumbers:
        """The rows of the file as a program of spreadsheets shows them."""
        return RowNumbers(self.layout.header_row + 1)

    def header(self) -> list[str]:
        """Return the cells of the header, as they stand there."""
        lines = io.StringIO(self.text[len(self.layout.above) :], newline="")
        return next(csv.reader(lines, delimiter=self.layout.separator), [])

    def sample(self) -> pa.RecordBatch:
        """Return the rows of the beginning that have as many cells as the header, without a last one that is cut."""
        data = self.text[len(self.layout.above) :].encode()
        reading, parsing, texts = self._options(len(self.header()), lambda _: "skip")
        reading.block_size = len(data) + 1
        rows = pyarrow.csv.read_csv(pa.BufferReader(data), reading, parsing, texts).combine_chunks()
        kept = rows.slice(1, None if self.whole or len(rows) == 1 else len(rows) - 2)
        return pa.RecordBatch.from_arrays([column.combine_chunks() for column in kept.columns], kept.schema.names)

    def batches(self, numbers: RowNumbers) -> Iterator[Batch]:
        """Yield batches of columns of text, each with the bytes of the file that were read, and the size of the file.

        Raises Refused for rows of another length than the header, and for quotation marks that do not fit; and what
        `open_utf8` and Arrow's reader raise.
        """
        faults, total, width = Faults(), self.path.stat().st_size, len(self.header())
        self._survey(width, faults)
        faults.raise_any()
        with self._open() as (text, file):
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(text, mode="r"), *self._options(width, self._skip_ragged(numbers, faults))
            )
            for n, batch in enumerate(reader):
                yield batch if n else batch.slice(1), file.tell(), total
        faults.raise_any()

    @contextmanager
    def _open(self) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """Yield the text from the header on, and the file."""
        with open_utf8(self.path, self.encoding, self.compression, sure=self.sure) as (text, file):
            text.read(len(self.layout.above.encode()))
            yield text, file

    def _survey(self, width: int, faults: Faults) -> None:
        """Report quotation marks that do not fit."""
        with self._open() as (text, _):
            quoted = any(b'"' in piece for piece in iter(lambda: text.read(BYTES), b""))
        if quoted:
            with self._open() as (text, _):
                rows = csv.reader(
                    io.TextIOWrapper(text, UTF_8, newline=""), delimiter=self.layout.separator, strict=True
                )
                self._check_rows(rows, width, faults)

    def _check_rows(self, rows: Any, width: int, faults: Faults) -> None:
        number, line = self.layout.header_row - 1, 0
        try:
            for cells in rows:
                lines, line = rows.line_num - line, rows.line_num
                number += 1
                if lines > 1 and any(_holds_rows(cell, self.layout.separator, width) for cell in cells):
                    faults.add(self.path.name, "(all)", [number], _HOLDS_ROWS)
        except csv.Error:
            faults.add(self.path.name, "(all)", [number + 1], _UNCLOSED)

    def _skip_ragged(self, numbers: RowNumbers, faults: Faults) -> Handler:
        """Return what to do with rows of another length than the header: they are faults."""
        above = self.layout.header_row - 1

        def skip(row: pyarrow.csv.InvalidRow) -> str:
            message = f"{row.actual_columns} cells, the header has {row.expected_columns}, separated by"
            faults.add(self.path.name, "(all)", [row.number + above], f"{message} {called(self.layout.separator)}")
            numbers.leave_out([row.number + above])
            return "skip"

        return skip

    def _options(self, width: int, handler: Handler) -> tuple[Any, Any, Any]:
        """Return how to read, parse and convert: every cell is text, the header too.

        Empty lines are rows without a cell, which is left to whoever reads the batches.
        """
        reading = pyarrow.csv.ReadOptions(use_threads=False, block_size=BYTES, autogenerate_column_names=True)
        parsing = pyarrow.csv.ParseOptions(
            delimiter=self.layout.separator,
            newlines_in_values=True,
            invalid_row_handler=handler,
            ignore_empty_lines=False,
        )
        texts = pyarrow.csv.ConvertOptions(column_types={f"f{n}": pa.string() for n in range(width)})
        return reading, parsing, texts


def _holds_rows(cell: str, separator: str, width: int) -> bool:
    """Tell whether a line within a cell has as many separators as a row."""
    return width > 1 and any(line.count(separator) == width - 1 for line in islice(cell.splitlines(), 1, None))
