"""Sheets: parts of a file, as columns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from features.importing.tables.dates import DateOrder
from features.importing.tables.marks import Decimal
from features.importing.tables.row_numbers import RowNumbers

WITH_POINT: Final = {b"decimal": b"."}
"""The metadata of a column of text in which numbers were written with a decimal point by us."""

ZERO_PADDED: Final = {b"shown": b"zeros"}
"""The metadata of a column with numbers that a workbook shows with leading zeros."""


@dataclass(frozen=True)
class ColumnForm:
    """How the cells of a column are written; None: nothing decides it, so what could mean two things is refused.

    `shown`: rows show the mark of decimals, or it is stated, so that the other one is of thousands.
    """

    decimal: Decimal | None = None
    shown: bool = False
    dates: DateOrder | None = None


_PLAIN: Final = ColumnForm(".")


@dataclass(frozen=True)
class Sheet:
    """One file, or a part of it: its name without the folder, and its columns, of text or of Parquet's own types.

    `first_row`: how many rows of data come before these. `forms`: how columns are written, by name.
    """

    file: str
    table: pa.Table
    first_row: int = 0
    numbers: RowNumbers = field(default_factory=lambda: RowNumbers(1))
    forms: Mapping[str, ColumnForm] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the file."""
        return tuple(self.table.schema.names)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, column: str) -> pa.Array:
        return self.table[column].combine_chunks()

    def form(self, column: str) -> ColumnForm:
        """Return how a column is written."""
        form = self.forms.get(column, _PLAIN)
        metadata = self.table.schema.field(column).metadata
        return ColumnForm(".", dates=form.dates) if metadata == WITH_POINT else form

    def is_zero_padded(self, column: str) -> bool:
        """Tell whether a workbook shows the numbers of a column with leading zeros, which are not in its cells."""
        return bool(self.table.schema.field(column).metadata == ZERO_PADDED)

    def row_numbers(self, rows: Iterable[int]) -> list[int]:
        """Return the numbers in the file of rows of this part, counted from 0."""
        return self.numbers.of(self.first_row + row for row in rows)
