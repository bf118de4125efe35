"""What the columns of a file hold, in counts: the evidence that a draft of a mapping rests on."""

from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.importing.cells import CellReader
from features.importing.drafting.columns import MAX_VALUES, Column, Kind
from features.importing.opening import OpenedTable
from features.importing.tables import Faults, Sheet
from features.importing.tables.ids import changes_ids

MAX_ROWS: Final = 100_000
"""Rows that are looked at."""
_ROWS_PER_VALUE: Final = 10
_PAIRS: Final = tuple(
    frozenset(pair.split()) for pair in ("0 1", "yes no", "y n", "true false", "ja nee", "j n", "waar onwaar")
)
_ABSENT: Final = ("?", "-", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "onbekend", "unknown")
_SENTINELS: Final = frozenset({-999.0, -99.0, -1.0, 99.0, 999.0, 9999.0, 99999.0})


def columns_of(table: OpenedTable, now_us: int) -> list[Column]:
    """Return the columns of a table, in its order, from its first rows."""
    parts: list[Sheet] = []
    for sheet, _, _ in table.parts():
        parts.append(sheet)
        if sum(map(len, parts)) >= MAX_ROWS:
            break
    whole = pa.concat_tables([part.table for part in parts]).slice(0, MAX_ROWS).combine_chunks()
    sheet = Sheet(parts[0].file, whole, 0, parts[0].numbers, parts[0].forms)
    return [_column(sheet, name, now_us) for name in sheet.columns]


def _column(sheet: Sheet, name: str, now_us: int) -> Column:
    cells = _reader(sheet, ("",), now_us).text(name)
    counted = pc.value_counts(cells.drop_null())
    order = np.argsort(-np.asarray(counted.field("counts")), kind="stable")
    texts = counted.field("values").take(pa.array(order[: MAX_VALUES + 1])).to_pylist()
    counts = dict(zip(texts, np.asarray(counted.field("counts"))[order].tolist(), strict=False))
    kind, missing, numbers = _kind(sheet, name, cells, counts, now_us)
    codes = cells.dictionary_encode()
    return Column(
        name=name,
        kind=kind,
        rows=len(cells),
        filled=len(cells) - cells.null_count,
        distinct=len(counted),
        values=counts if len(counted) <= MAX_VALUES else {},
        missing=missing,
        numbers=numbers,
        codes=np.asarray(codes.indices.fill_null(-1), dtype=np.int64),
        holds_ids=changes_ids(sheet[name].type) is None and not cells.null_count,
    )


def _reader(sheet: Sheet, missing: tuple[str, ...], now_us: int) -> CellReader:
    return CellReader(sheet, Faults(), missing, ZoneInfo("UTC"), now_us)


def _kind(
    sheet: Sheet, name: str, cells: pa.Array, counts: Mapping[str, int], now_us: int
) -> tuple[Kind, tuple[str, ...], npt.NDArray[np.float64] | None]:
    """Return what a column holds, the texts that mean "not known", and its numbers if it is one of numbers."""
    if len(counts) < 2:
        return ("constant" if counts else "empty"), (), None
    if frozenset(text.lower() for text in counts) in _PAIRS:
        return "bool", (), None
    absent = tuple(text for text in _ABSENT if text in counts)
    reader = _reader(sheet, ("", *absent), now_us)
    known = len(cells) - reader.text(name).null_count
    numbers = reader.number(name)
    if known and len(numbers) - numbers.null_count == known and not _has_leading_zero(cells):
        return _of_numbers(numbers, absent)
    moments = reader.moment(name, None)
    if known and len(moments) - moments.null_count == known:
        return "time", absent, None
    few = len(counts) <= MAX_VALUES and len(counts) * _ROWS_PER_VALUE <= max(len(cells), 200)
    return ("enum" if few else "text"), (), None


def _has_leading_zero(cells: pa.Array) -> bool:
    """Tell whether a column of digits holds codes: as numbers they would lose their zeros."""
    return bool(pc.any(pc.match_substring_regex(cells, "^0[0-9]")).as_py())


def _of_numbers(numbers: pa.Array, absent: tuple[str, ...]) -> tuple[Kind, tuple[str, ...], npt.NDArray[np.float64]]:
    values = np.array(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
    if (sentinel := _sentinel(values)) is not None:
        values[values == sentinel] = np.nan
        absent = (*absent, f"{sentinel:g}")
    known = values[~np.isnan(values)]
    return ("int" if bool((known == np.floor(known)).all()) else "float"), absent, values


def _sentinel(values: npt.NDArray[np.float64]) -> float | None:
    """Return a number such as 999 that stands for "not known": most rows have it, and it lies far from all others."""
    known = values[~np.isnan(values)]
    for candidate in _SENTINELS.intersection(known.tolist()):
        others = known[known != candidate]
        far = len(others) and (candidate > 3 * others.max() or (candidate < 0 <= others.min()))
        if far and len(others) < len(known) / 2:
            return candidate
    return None
