"""Columns of ids: text as it is written in the file, of the one form that ids have everywhere."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from decisioning.facts.ids import (
    ABSENT,
    BAD_FORM,
    FORM,
    FORMULA,
    IS_ABSENT,
    IS_FORMULA,
    IS_ROUNDED,
    IS_UNADDRESSABLE,
    PREFIX,
    ROUNDED,
    UNADDRESSABLE,
)

_FLOATS: Final = "is a number with decimals, which changes ids: store the column as text"
_NO_TEXT: Final = "is neither text nor a whole number: store the column as text"
_DECIMALS: Final = "ends with .0, like every id of the column: a program read them as numbers, so store them as text"
ZEROS: Final = "is shown with leading zeros by a format, and is a number without them: make the column text"
_WITH_DECIMALS: Final = r"^[0-9]+\.0$"


def changes_ids(type_: pa.DataType) -> str | None:
    """Return why a column of this type holds no ids as they are; None for text and whole numbers."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if pa.types.is_floating(type_):
        return _FLOATS
    if pa.types.is_decimal(type_):
        return None if type_.scale == 0 else _FLOATS
    is_text = pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)
    return None if is_text or pa.types.is_integer(type_) or pa.types.is_null(type_) else _NO_TEXT


def misfit_ids(cells: pa.Array) -> Iterator[tuple[pa.Array, str]]:
    """Yield which texts, (n,), are no ids, and why; see `decisioning.facts.ids.problem_of`. Nulls are in none."""
    well_formed = pc.match_substring_regex(cells, f"^{FORM}$")
    yield pc.invert(well_formed), BAD_FORM
    absent, lower = pa.array(sorted(ABSENT), pa.string()), pc.utf8_lower(cells)
    yield pc.is_in(lower, value_set=absent), IS_ABSENT
    yield pc.is_in(cells, value_set=pa.array(sorted(UNADDRESSABLE), pa.string())), IS_UNADDRESSABLE
    if _any_has(cells, ":"):
        bare = pc.replace_substring_regex(lower, f"^{PREFIX}", "")
        yield pc.and_(pc.is_in(bare, value_set=absent), pc.not_equal(bare, lower)), IS_ABSENT
    if _any_has(cells, "+"):
        yield pc.match_substring_regex(cells, f"^(?:{ROUNDED})$"), IS_ROUNDED
    if _any_has(cells, "="):
        yield pc.match_substring_regex(cells, f"^(?:{FORMULA})$"), IS_FORMULA
    if _any_has(cells, ".0"):
        with_decimals = pc.match_substring_regex(cells, _WITH_DECIMALS)
        if pc.all(with_decimals, min_count=1).as_py():
            yield with_decimals, _DECIMALS


def _any_has(cells: pa.Array, text: str) -> bool:
    """Tell whether some cell has this text: finding that takes a fraction of matching a pattern."""
    return bool(pc.any(pc.match_substring(cells, text)).as_py())
