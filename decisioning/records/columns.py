"""Columns of scores as bytes, little-endian and exact: in 32 bits, or fewer, where that loses nothing."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ABSENT, CONSTANT, FLOAT32, FLOAT64, UINT16, INT8, PARTLY_PRIOR = range(7)


def pack_scores(column: Floats | None, priors: Callable[[], Floats]) -> tuple[int, bytes]:
    """Return the form and the bytes of scores (n,), most of which have 32 bits; `priors` (n,) replace some of them."""
    if column is None:
        return ABSENT, b""
    short = column.astype("<f4")
    if short.astype(np.float64).tobytes() == column.tobytes():
        return FLOAT32, short.tobytes()
    scored = column.view(np.int64) != priors().view(np.int64)
    short = column[scored].astype("<f4")
    if short.astype(np.float64).tobytes() == column[scored].tobytes():
        return PARTLY_PRIOR, np.packbits(scored).tobytes() + short.tobytes()
    return FLOAT64, column.astype("<f8").tobytes()


def pack_counts(column: Floats) -> tuple[int, bytes]:
    """Return the form and the bytes of numbers of rows (n,)."""
    raw = column.astype("<f8").tobytes()
    if raw and raw == raw[:8] * len(column):
        return CONSTANT, raw[:8]
    if len(column) and column.min() >= 0.0 and column.max() <= 65_535.0:
        short = column.astype("<u2")
        if short.astype("<f8").tobytes() == raw:
            return UINT16, short.tobytes()
    with np.errstate(over="ignore"):
        single = column.astype("<f4")
    return (FLOAT32, single.tobytes()) if single.astype("<f8").tobytes() == raw else (FLOAT64, raw)


def pack_levels(column: NDArray[np.int8] | None) -> tuple[int, bytes]:
    """Return the form and the bytes of small whole numbers (n,)."""
    if column is None:
        return ABSENT, b""
    raw = column.astype(np.int8).tobytes()
    return (CONSTANT, raw[:1]) if raw and raw == raw[:1] * len(column) else (INT8, raw)


class Columns:
    """Takes columns of `n` values off the front of `packed`; raises ValueError if the bytes are too few."""

    def __init__(self, packed: bytes, n: int) -> None:
        self._packed, self._at, self._n = packed, 0, n

    def floats(self, form: int, priors: Callable[[], Floats]) -> Floats | None:
        """Return the next column, float64 (n,), None if it is absent."""
        if form == ABSENT:
            return None
        if form == CONSTANT:
            return np.full(self._n, np.frombuffer(self._take(8), "<f8")[0])
        if form == PARTLY_PRIOR:
            return self._partly_prior(priors())
        dtype = {FLOAT32: "<f4", FLOAT64: "<f8", UINT16: "<u2"}[form]
        return np.frombuffer(self._take(self._n * int(dtype[2])), dtype).astype(np.float64)

    def levels(self, form: int) -> NDArray[np.int8] | None:
        """Return the next column of small whole numbers, int8 (n,), None if it is absent."""
        if form == ABSENT:
            return None
        raw = self._take({CONSTANT: 1, INT8: self._n}[form])
        return np.frombuffer(raw * self._n if form == CONSTANT else raw, np.int8)

    def bits(self, n: int) -> NDArray[np.bool_]:
        """Return the next `n` bits, bool (n,)."""
        packed = np.frombuffer(self._take((n + 7) // 8), np.uint8)
        return np.unpackbits(packed, count=n).astype(np.bool_)

    def end(self) -> None:
        """Check that everything was taken."""
        if self._at != len(self._packed):
            raise ValueError("the record holds more than it should")

    def _partly_prior(self, priors: Floats) -> Floats:
        scored = self.bits(self._n)
        column = priors.copy()
        column[scored] = np.frombuffer(self._take(4 * int(np.count_nonzero(scored))), "<f4")
        return column

    def _take(self, length: int) -> bytes:
        raw = self._packed[self._at : self._at + length]
        if len(raw) != length:
            raise ValueError("the record is cut off")
        self._at += length
        return raw


def listed(column: Sequence[float] | Floats) -> list[float | None]:
    """Return a column as numbers, None for NaN."""
    return [None if value != value else value for value in np.asarray(column).tolist()]  # noqa: PLR0124 (only NaN differs)
