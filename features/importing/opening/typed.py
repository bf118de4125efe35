"""Values of Python, of a workbook or of JSON, as Arrow columns, each value as it was."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

import pyarrow as pa

from decisioning.errors import Refused
from features.importing.tables.sheets import WITH_POINT

_INT64: Final = range(-(2**63), 2**63)
_MARKED: Final = re.compile(r"^\s*[+-]?[\d.,' ]*[.,]\d+\s*$")


def as_column(file: str, name: str, values: Sequence[Any]) -> tuple[pa.Field, pa.Array]:
    """Return values, some of them None, as a column of one type: of text if they are of several.

    Lists and records give a column of lists, which whoever reads it refuses. Raises Refused if some cells are numbers
    with decimals, and others are texts that are such numbers: they may be written with another mark.
    """
    kinds = {type(value) for value in values if value is not None}
    if kinds & {dict, list}:
        cells = pa.array([None if value is None else [] for value in values], pa.list_(pa.null()))
    elif kinds <= {date, datetime}:
        cells = pa.array([_moment(value) for value in values], pa.timestamp("us") if kinds else pa.string())
    elif kinds <= {int, float} and (float in kinds or all(v is None or v in _INT64 for v in values)):
        cells = pa.array(values, pa.float64() if float in kinds else pa.int64())
    elif len(kinds) == 1 and kinds <= {str, bool}:
        cells = pa.array(values, pa.bool_() if bool in kinds else pa.string())
    else:
        return _mixed(file, name, values)
    return pa.field(name, cells.type), cells


def _moment(value: date | None) -> datetime | None:
    return datetime(value.year, value.month, value.day) if type(value) is date else value  # type: ignore[return-value]  # noqa: DTZ001  a workbook has no zones


def _mixed(file: str, name: str, values: Sequence[Any]) -> tuple[pa.Field, pa.Array]:
    """Return values of several kinds as text, in which numbers have a decimal point."""
    fractions = any(isinstance(value, float) for value in values)
    if fractions and any(isinstance(value, str) and _MARKED.match(value) for value in values):
        raise Refused(
            f"{file}: column {name}: some cells are numbers, and others are texts that look so: make all numbers"
        )
    cells = pa.array([_text(value) for value in values], pa.string())
    return pa.field(name, cells.type, metadata=WITH_POINT if fractions else None), cells


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    return None if value is None else str(value)


def as_batch(file: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Return rows, of a value per name, as a batch of columns."""
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    pairs = [as_column(file, name, values) for name, values in zip(names, columns, strict=True)]
    return pa.RecordBatch.from_arrays([cells for _, cells in pairs], schema=pa.schema([field for field, _ in pairs]))
