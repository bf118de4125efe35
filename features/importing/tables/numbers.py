"""Columns of cells as numbers, and the cells that are none, or that could mean two numbers."""

import math
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from features.importing.tables.marks import AMBIGUOUS, Decimal, Reasons, without_marks

_WHOLE: Final = r"^[+-]?[0-9]{1,18}(\.0{0,2})?$"
"""With at most two zeros after the point: `1.000` is one to some and a thousand to others."""
_THOUSANDS: Final = r"^[+-]?[0-9]{1,3}(\.[0-9]{3})$"
_EXACT: Final = 2**53
"""Whole numbers up to here are floats; beyond, some are not."""
_LONG: Final = 16
"""Digits from which a whole number may be larger."""
_TOO_LARGE: Final = "is a whole number that `float` cannot hold exactly: declare the feature int or string"


def parsed_numbers(
    cells: pa.Array, decimal: Decimal | None, *, whole: bool, shown: bool = True
) -> tuple[pa.Array, Reasons]:
    """Return texts, (n,), as float64 or as int64 if `whole`; null where missing or wrong, which is in the faults.

    :param decimal: the mark of decimals; None: that of each cell, as far as it is certain
    :param shown: rows show that mark, so that the other one is of thousands
    """
    texts, faults = without_marks(cells, decimal, shown=shown)
    if whole:
        return _whole_numbers(texts, faults)
    numbers = pc.replace_substring_regex(texts, r"^\+", "").cast(pa.float64())
    faults.append((pc.invert(pc.is_finite(numbers)), "is not a finite number"))
    inexact = _inexact(texts, numbers)
    faults.append((inexact, _TOO_LARGE))
    return _without(numbers, inexact), faults


def _whole_numbers(texts: pa.Array, faults: Reasons) -> tuple[pa.Array, Reasons]:
    bad = _false_at_nulls(pc.invert(pc.match_substring_regex(texts, _WHOLE)))
    grouped = _false_at_nulls(_matches(texts, _THOUSANDS, bad))
    faults += [(pc.and_(bad, pc.invert(grouped)), "is not a whole number"), (grouped, AMBIGUOUS)]
    plain = pc.replace_substring_regex(_without(texts, bad), r"^\+|\.0*$", "")
    return plain.cast(pa.int64()), [(mask, reason.replace("a number", "a whole number")) for mask, reason in faults]


def typed_numbers(cells: pa.Array, *, whole: bool) -> tuple[pa.Array, Reasons]:
    """Return numbers, (n,), as `parsed_numbers` does."""
    if pa.types.is_floating(cells.type):
        numbers = cells.cast(pa.float64())
        if not whole:
            return numbers, [(pc.invert(pc.is_finite(numbers)), "is not a finite number")]
        is_whole = pc.and_(pc.equal(pc.floor(numbers), numbers), pc.less_equal(pc.abs(numbers), float(_EXACT)))
        bad = _false_at_nulls(pc.invert(is_whole))
        return _without(numbers, bad).cast(pa.int64()), [(bad, "is not a whole number")]
    limit = 2**63 - 1 if whole else _EXACT
    if pa.types.is_unsigned_integer(cells.type):
        bad = pc.greater(cells.cast(pa.uint64()), pa.scalar(limit, pa.uint64()))
    else:
        bad = pc.greater(pc.abs(cells.cast(pa.int64())), pa.scalar(limit, pa.int64()))
    kept = _without(cells, _false_at_nulls(bad)).cast(pa.int64())
    return kept if whole else kept.cast(pa.float64()), [(bad, "is not a whole number" if whole else _TOO_LARGE)]


def _inexact(texts: pa.Array, numbers: pa.Array) -> pa.Array:
    """Return where a text of digits alone is another number than the float that was made of it."""
    long = pc.greater_equal(pc.binary_length(texts), _LONG)
    long = _false_at_nulls(pc.and_(long, _matches(texts, r"^-?[0-9]+$", long)))
    if not pc.any(long).as_py():
        return long
    return pa.array(list(_differing(long, texts, numbers)), pa.bool_())


def _matches(cells: pa.Array, pattern: str, where: pa.Array) -> pa.Array:
    """Return where cells match a pattern; false everywhere, which costs nothing, unless some row of `where` is true."""
    if pc.any(where).as_py():
        return pc.match_substring_regex(cells, pattern)
    return pa.repeat(pa.scalar(False), len(cells))


def _differing(long: Any, texts: Any, numbers: Any) -> Iterator[bool]:
    for is_long, text, number in zip(long.to_pylist(), texts.to_pylist(), numbers.to_pylist(), strict=True):
        yield is_long and math.isfinite(number) and int(number) != int(text)


def _without(cells: pa.Array, bad: pa.Array) -> pa.Array:
    return pc.if_else(bad, pa.scalar(None, cells.type), cells)


def _false_at_nulls(mask: pa.Array) -> pa.Array:
    return pc.fill_null(mask, False)
