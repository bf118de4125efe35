"""The columns of a file, collected part by part, in little memory: names are numbers into a dictionary."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from features.importing.tables.faults import Faults
from features.importing.tables.row_numbers import RowNumbers

_ENCODED: Final = ("subject", "action", "channel", "known_us", "probability")
_SMALL: Final = 127
"""The largest dictionary whose codes take a byte."""
_COMPARED: Final = 50_000
"""How many rows are compared at a time."""


class FileColumns:
    """Columns by name, to which parts are added. Those that have few different values are dictionary-encoded."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pa.Array]] = defaultdict(list)

    def add(self, name: str, cells: pa.Array, *, encoded: bool = False) -> None:
        """Add the cells of some further rows; `encoded`: also if the name does not say that the column is."""
        encoded = encoded or name.rpartition(" ")[2] in _ENCODED
        self._parts[name].append(cells.dictionary_encode() if encoded else cells)

    def whole(self, name: str) -> pa.Array:
        """Return a whole column."""
        parts = self._parts[name]
        if len(parts) > 1:
            parts[:] = [_smallest(pa.concat_arrays(parts))]
        return parts[0]

    def replace(self, name: str, cells: pa.Array) -> None:
        """Take `cells` as a whole column."""
        self._parts[name] = [cells]


def _smallest(cells: pa.Array) -> pa.Array:
    """Return a column with codes of a byte, if it has codes and these are few."""
    if not pa.types.is_dictionary(cells.type) or len(cells.dictionary) > _SMALL:
        return cells
    return pa.DictionaryArray.from_arrays(cells.indices.cast(pa.int8()), cells.dictionary)


def _widest(cells: pa.DictionaryArray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(cells.indices.cast(pa.int32()), cells.dictionary)


def decoded(cells: pa.Array) -> pa.Array:
    """Return a column as plain values."""
    return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells


def encode_together(places: Sequence[tuple[FileColumns, str]]) -> pa.Array:
    """Encode columns by one dictionary, and return it: their values, each once, in the order of the columns."""
    columns = [_widest(where.whole(name)) for where, name in places]
    together = pa.concat_arrays(columns)
    start = 0
    for (where, name), column in zip(places, columns, strict=True):
        where.replace(name, together.slice(start, len(column)))
        start += len(column)
    return together.dictionary


def report_repeated(
    faults: Faults,
    file: tuple[str, RowNumbers],
    what: str,
    columns: Sequence[pa.Array],
    rows: pa.Array | None = None,
) -> None:
    """Report rows with the same cells in all `columns` as an earlier row; `what` names what they identify.

    :param file: its name, and the numbers of its rows
    :param rows: the rows of the file that the columns hold, by default all
    """
    if are_distinct([column.indices if pa.types.is_dictionary(column.type) else column for column in columns]):
        return  # nearly always: which rows are the same takes a tuple for each
    first_rows: dict[tuple[object, ...], int] = {}
    keys = zip(*(c.to_pylist() for c in columns), strict=True)
    for row, key in zip(range(len(columns[0])) if rows is None else rows.to_pylist(), keys, strict=True):
        first = first_rows.setdefault(key, row)
        if first != row and None not in key:
            name, numbers = file
            faults.add(name, "(all)", numbers.of([row]), f"the same {what} stands in row {numbers.of([first])[0]}")


def first_rows(
    faults: Faults,
    file: tuple[str, RowNumbers],
    what: str,
    key: Sequence[pa.Array],
    facts: Mapping[str, pa.Array],
) -> pa.Array | None:
    """Return the first row of each key, int64, or None if no key stands in two rows.

    Several rows of one key, such as the actions of one decision, may state the same facts. Reports rows that state
    other `facts` (column of the file -> cells) than the first row of their key.
    """
    if are_distinct([column.indices if pa.types.is_dictionary(column.type) else column for column in key]):
        return None
    rows_of: dict[tuple[object, ...], int] = {}
    first = [rows_of.setdefault(k, n) for n, k in enumerate(zip(*(c.to_pylist() for c in key), strict=True))]
    for column, cells in facts.items():
        values = cells.to_pylist()
        for row, same in enumerate(first):
            if values[row] != values[same]:
                name, numbers = file
                here, there = numbers.of([row, same])
                faults.add(name, column, [here], f"the same {what} stands in row {there}, with another value")
    return pa.array(sorted(set(first)), pa.int64())


def are_distinct(columns: Sequence[pa.Array]) -> bool:
    """Tell whether no two rows have the same cells, none of which is null. Sorting takes a tenth of a set's memory."""
    table = pa.table({str(n): column for n, column in enumerate(columns)})
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in table.column_names])
    for start in range(0, len(order) - 1, _COMPARED):
        near = table.take(order.slice(start, _COMPARED + 1))
        same = reduce(pc.and_, (pc.equal(column[1:], column[:-1]) for column in near.columns))
        if pc.any(same).as_py():
            return False
    return True


def return_memory() -> None:
    """Give what Arrow has freed back to the system; else it keeps as much again as the columns of a file take."""
    pa.default_memory_pool().release_unused()
