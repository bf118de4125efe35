"""Workbooks of Excel and LibreOffice: one sheet, its cells as they were typed, dates as dates."""

from collections.abc import Iterator, Sequence
from datetime import time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from decisioning.errors import Refused
from features.importing.opening.shown_zeros import zero_padded
from features.importing.opening.stated import state
from features.importing.opening.typed import as_batch
from features.importing.tables.row_numbers import Batch, RowNumbers
from features.importing.tables.sheets import ZERO_PADDED

_ROWS: Final = 10_000
_EXACT: Final = 1e15
"""Below it a whole number of a workbook is what was typed: from 16 digits on, the last ones are lost."""


class Workbook:
    """One sheet of a workbook; raises Refused if there is none, or if it is not certain which."""

    def __init__(self, path: Path, sheet: str | None) -> None:
        self.path = path
        sheets = _filled(path)
        self.name = _chosen(path, list(sheets), sheet)
        self._rows = sheets[self.name]
        self._padded = {n - self._rows.start[1] for n in zero_padded(path)}
        self._above = next(n for n, row in enumerate(self._rows.iter_rows()) if _filled_row(row))

    @property
    def numbers(self) -> RowNumbers:
        """The rows of the sheet, as they are numbered there."""
        return RowNumbers(self._above + 2)

    def header(self) -> list[str]:
        """Return the cells of the header."""
        return [str(value) for value in next(islice(self._rows.iter_rows(), self._above, None))]

    def sample(self) -> pa.RecordBatch:
        """Return the first rows."""
        return next(self.batches(self.numbers))[0]

    def batches(self, _: RowNumbers) -> Iterator[Batch]:
        """Yield the rows after the header, at least one batch, with the number of rows read, and of all."""
        rows, done = islice(self._rows.iter_rows(), self._above + 1, None), self._above + 1
        names = self.header()
        while (part := list(islice(rows, _ROWS))) or done == self._above + 1:
            done += len(part)
            batch = as_batch(self.path.name, names, [list(map(_value, row)) for row in part])
            yield self._marked(batch), done, self._rows.total_height
            if not part:
                return

    def _marked(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with a mark on columns whose numbers a format shows with leading zeros."""
        fields = [
            field.with_metadata(ZERO_PADDED) if n in self._padded and field.metadata is None else field
            for n, field in enumerate(batch.schema)
        ]
        return pa.RecordBatch.from_arrays(batch.columns, schema=pa.schema(fields))


def _filled(path: Path) -> dict[str, Any]:
    """Return the sheets that hold something and are not hidden, by name."""
    import python_calamine  # noqa: PLC0415 - few commands read a workbook

    try:
        with path.open("rb") as file:
            book = python_calamine.CalamineWorkbook.from_filelike(file)
            shown = [m.name for m in book.sheets_metadata if m.visible == python_calamine.SheetVisibleEnum.Visible]
            kinds = {m.name: m.typ for m in book.sheets_metadata}
            tables = [n for n in shown if kinds[n] == python_calamine.SheetTypeEnum.WorkSheet]
            sheets = {name: book.get_sheet_by_name(name) for name in tables}
            return {name: s for name, s in sheets.items() if any(map(_filled_row, s.iter_rows()))}
    except python_calamine.PasswordError:
        raise Refused(f"{path.name} is protected by a password: save it without one") from None
    except python_calamine.CalamineError:
        raise Refused(f"{path.name} is a damaged workbook, or protected by a password: save it anew") from None
    except BaseException as error:  # the library ends a call that a damaged file upsets with a bare exception
        if type(error).__name__ != "PanicException":
            raise
        raise Refused(f"{path.name} is a damaged workbook: save it anew") from None


def _filled_row(row: Sequence[Any]) -> bool:
    return any(value != "" for value in row)


def _chosen(path: Path, names: list[str], stated: str | None) -> str:
    if stated is not None:
        if stated not in names:
            raise Refused(f"{path.name} has no filled sheet {stated!r}: it has {', '.join(names) or 'none'}")
        return stated
    if not names:
        raise Refused(f"{path.name} holds no rows")
    if len(names) > 1:
        raise Refused(f"{path.name} has several filled sheets ({', '.join(names)}): {state('sheet', repr(names[0]))}")
    return names[0]


def _value(cell: Any) -> Any:
    """Return a cell's value: None if it is empty, and whole numbers, all floats in a workbook, as int."""
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() and abs(cell) < _EXACT else cell
    if isinstance(cell, time | timedelta):
        return str(cell)
    return None if cell == "" else cell
