"""The marks of decimals and of thousands in columns of text: which a column has, and numbers without them."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Decimal = Literal[".", ","]
Reasons = list[tuple[pa.Array, str]]
"""Which rows are wrong, and why."""
_OTHER: Final[dict[Decimal, Decimal]] = {".": ",", ",": "."}
_MARKS: Final[tuple[Decimal, ...]] = (".", ",")
_NEUTRAL: Final = "[ '’\u00a0\u202f]"
"""Marks of thousands that are never decimals."""
_EXPONENT: Final = "([eE][+-]?[0-9]+)?"
_NUMERIC_SHARE: Final = 0.9
"""Which share of a column's cells has to be numbers before it says anything about other columns."""


def _alike(mark: str) -> str:
    """Return a pattern of groups of three digits, with one of the neutral marks throughout, or with `mark`."""
    marks = [mark, " ", "'", "’", "\u00a0", "\u202f"]
    return "(" + "|".join(f"({m}[0-9]{{3}})+" for m in marks) + ")"


def _grouped(decimal: Decimal) -> str:
    mark, other = _escaped(decimal), _escaped(_OTHER[decimal])
    return f"^[+-]?[1-9][0-9]{{0,2}}{_alike(other)}({mark}[0-9]*)?$"


def _certain(decimal: Decimal) -> str:
    """Return a pattern of numbers whose decimal mark can only be this one."""
    mark, other = _escaped(decimal), _escaped(_OTHER[decimal])
    thousands = f"({other}[0-9]{{3}}){{2,}}|{_alike(other)}{mark}[0-9]*"
    return (
        f"^[+-]?([0-9]*{mark}([0-9]{{1,2}}|[0-9]{{4,}})|(0[0-9]*|[0-9]{{4,}})?{mark}[0-9]{{3}}"
        f"|[0-9]+{mark}|[1-9][0-9]{{0,2}}({thousands})){_EXPONENT}$"
    )


def _escaped(mark: Decimal) -> str:
    return rf"\{mark}"


PLAIN: Final[dict[Decimal | None, str]] = {
    ".": rf"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+){_EXPONENT}$",
    ",": rf"^[+-]?([0-9]+(,[0-9]*)?|,[0-9]+){_EXPONENT}$",
    None: rf"^[+-]?[0-9]+{_EXPONENT}$",
}
"""Numbers without marks of thousands, by their decimal mark; None: without decimals."""
_GROUPED: Final[dict[Decimal, str]] = {".": _grouped("."), ",": _grouped(",")}
_CERTAIN: Final[dict[Decimal, str]] = {".": _certain("."), ",": _certain(",")}
_NEUTRALLY_GROUPED: Final = r"^[+-]?[1-9][0-9]{0,2}(( [0-9]{3})+|('[0-9]{3})+|(’[0-9]{3})+)$"
_DOUBTFUL: Final = r"^[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}$"
_NUMERIC: Final = rf"^[+-]?[0-9]*([.,]?[0-9]+|{_NEUTRAL}[0-9]{{3}})*[.,]?{_EXPONENT}$"
AMBIGUOUS: Final = "has a mark that may be of thousands or of decimals: state `decimal`"
_POINT: Final = "has a decimal point, and the column is read with decimal commas: write all numbers alike"
_COMMA: Final = "has a decimal comma, and the column is read with decimal points: write all numbers alike"


@dataclass(frozen=True)
class MarksSeen:
    """Which decimal mark the cells of a column show for certain, None for neither or both; and what is left open.

    `both`: some cells show the one and some the other. `numeric`: nearly all cells are numbers. `doubtful`: some cell
    could mean two numbers.
    """

    decimal: Decimal | None
    both: bool
    numeric: bool
    doubtful: bool


def marks_seen(cells: pa.Array) -> MarksSeen:
    """Return what the cells of a column of text, (n,), show."""
    filled = cells.filter(pc.binary_length(cells).cast(pa.bool_()))  # Arrow imports pandas for a scalar: a second
    marked = filled.filter(pc.match_substring_regex(filled, "[.,]"))
    shares = {mark: _share(marked, _CERTAIN[mark]) for mark in _MARKS}
    numeric = _share(filled, _NUMERIC) >= _NUMERIC_SHARE and len(filled) > 0
    decimal: Decimal | None = None
    if any(shares.values()):
        decimal = "," if shares[","] > shares["."] else "."
    return MarksSeen(decimal, all(shares.values()), numeric, _share(marked, _DOUBTFUL) > 0)


def _share(cells: pa.Array, pattern: str) -> float:
    return pc.mean(pc.match_substring_regex(cells, pattern)).as_py() or 0.0 if len(cells) else 0.0


def without_marks(cells: pa.Array, decimal: Decimal | None, *, shown: bool = True) -> tuple[pa.Array, Reasons]:
    """Return texts, (n,), with a decimal point and without marks of thousands, null if they are no numbers; and faults.

    :param decimal: the mark of decimals; None: that of each cell, as far as it is certain
    :param shown: rows show that mark, so that the other one is of thousands
    """
    plain = pc.fill_null(pc.match_substring_regex(cells, PLAIN[decimal]), True)
    texts = cells if decimal != "," else pc.replace_substring(cells, ",", ".")
    if pc.all(plain).as_py():
        return texts, []
    rest = cells.filter(pc.invert(plain))
    rewritten, reasons = _rewritten(rest, decimal, shown=shown)
    at = pc.indices_nonzero(pc.invert(plain))
    texts = pc.replace_with_mask(texts, pc.invert(plain), rewritten)
    return texts, [(_mask(len(cells), at.filter(bad)), reason) for bad, reason in reasons]


def _mask(size: int, rows: Any) -> pa.Array:
    mask = np.zeros(size, np.bool_)
    mask[np.asarray(rows)] = True
    return pa.array(mask)


def _rewritten(cells: pa.Array, decimal: Decimal | None, *, shown: bool) -> tuple[pa.Array, Reasons]:
    """Return cells that are not plain numbers as texts of plain numbers, null if they are none; and why not."""
    by_mark = _GROUPED if decimal and shown else _CERTAIN
    forms: list[tuple[str, Decimal]] = [(_NEUTRALLY_GROUPED, ".")]
    forms += [(by_mark[mark], mark) for mark in ((decimal,) if decimal else _MARKS)]
    texts, open_ = pa.nulls(len(cells), pa.string()), pa.repeat(pa.scalar(True), len(cells))
    for pattern, mark in forms:
        here = pc.and_(pc.match_substring_regex(cells, pattern), open_)
        texts, open_ = pc.if_else(here, _stripped(cells, mark), texts), pc.and_not(open_, here)
    reasons: Reasons = []
    other = [(_CERTAIN[_OTHER[decimal]], _wrong(decimal))] if decimal else []
    for pattern, reason in [*other, (_DOUBTFUL, AMBIGUOUS), ("", "is not a number")]:
        here = pc.and_(pc.match_substring_regex(cells, pattern), open_)
        reasons.append((here, reason))
        open_ = pc.and_not(open_, here)
    return texts, reasons


def _wrong(decimal: Decimal) -> str:
    return _POINT if decimal == "," else _COMMA


def _stripped(cells: pa.Array, decimal: Decimal) -> pa.Array:
    bare = pc.replace_substring_regex(cells, f"{_NEUTRAL}|{_escaped(_OTHER[decimal])}", "")
    return pc.replace_substring(bare, decimal, ".")
