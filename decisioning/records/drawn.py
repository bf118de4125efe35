"""What was drawn, as bytes: the unit that was drawn for an arm, and what each slot was drawn from.

First come 4 bytes of the length and the last byte of the sum of what follows, as nothing else would show that it was
changed. The unit is its length in one byte and its text. From format 7 on, the results that count past outcomes follow:
how many there are in 2 bytes, and each as float64, NaN for an unknown one. Each pick has one byte, 1 if something was
left to chance: then comes one bit for each scored candidate. Formats 5 and 6 set it where the probability is above 0,
and keep these probabilities after the bits, as float32. From format 7 on it is set for all that the slot was drawn
from, those of probability 0 too, since the others' odds depend on how many there were; the odds are computed from the
rest of the record (`review.drawn_odds`). Numbers are little-endian. Frozen.
"""

from collections.abc import Sequence
from math import isnan
from struct import Struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from decisioning.records.columns import Floats
from decisioning.records.kept import Kept, KeptPick

FIRST_WITHOUT_ODDS: Final = 7
"""The first format that keeps what a slot was drawn from, and not the probabilities."""
_HEADING: Final = Struct("<IB")
_KEPT, _NOT_KEPT = b"\1", b"\0"
_NUMBER: Final = np.dtype("<u2")
_RESULT: Final = np.dtype("<f8")
Bools = NDArray[np.bool_]


def pack_drawn(kept: Kept, number: int) -> bytes:
    """Return the bytes of what was drawn, as format `number` keeps it."""
    unit = (kept.unit or "").encode()
    if number < FIRST_WITHOUT_ODDS:
        parts = [_with_odds(pick.odds) for pick in kept.picks]
    else:
        parts = [_results(kept.counted), *(_without_odds(pick.drawn_from) for pick in kept.picks)]
    body = b"".join((bytes((len(unit),)), unit, *parts))
    return _HEADING.pack(len(body), _last_byte_of_sum(body)) + body


def _last_byte_of_sum(body: bytes) -> int:
    return int(np.frombuffer(body, np.uint8).sum(dtype=np.int64)) & 0xFF


def _with_odds(odds: Floats | None) -> bytes:
    if odds is None:
        return _NOT_KEPT
    drawn = odds > 0.0
    return b"".join((_KEPT, np.packbits(drawn).tobytes(), odds[drawn].astype("<f4").tobytes()))


def _results(counted: Sequence[float | None]) -> bytes:
    return np.array(len(counted), _NUMBER).tobytes() + np.array(counted, _RESULT).tobytes()  # None becomes NaN


def _without_odds(drawn_from: Bools | None) -> bytes:
    return _NOT_KEPT if drawn_from is None else _KEPT + np.packbits(drawn_from).tobytes()


def after_drawn(raw: bytes, at: int) -> int:
    """Return where the bytes of what was drawn end that begin at `at`.

    :raises ValueError: they are cut off
    """
    if len(raw) < at + _HEADING.size:
        raise ValueError("the record is cut off")
    return at + _HEADING.size + int(_HEADING.unpack_from(raw, at)[0])


def unpack_drawn(raw: bytes, at: int, kept: Kept, number: int) -> None:
    """Fill in `kept` what was drawn, from the bytes that begin at `at`, as format `number` keeps it.

    :raises ValueError, LookupError: these are not the bytes of what was drawn
    """
    length, check = _HEADING.unpack_from(raw, at)
    body = raw[at + _HEADING.size :][:length]
    if len(body) != length or _last_byte_of_sum(body) != check:
        raise ValueError("the bytes of what was drawn do not add up")
    reader = _Reader(body, len(kept.rows))
    kept.unit = reader.bytes(reader.bytes(1)[0]).decode() or None
    if number >= FIRST_WITHOUT_ODDS:
        results = reader.numbers(_RESULT, int(reader.numbers(_NUMBER, 1)[0])).tolist()
        kept.counted = [None if isnan(result) else result for result in results]
    for pick in kept.picks:
        if reader.bytes(1) == _KEPT:
            _fill(pick, reader, number)
    reader.end()


def _fill(pick: KeptPick, reader: "_Reader", number: int) -> None:
    drawn = reader.bits()
    if number >= FIRST_WITHOUT_ODDS:
        pick.drawn_from = drawn
    else:
        pick.odds = np.zeros(len(drawn))
        pick.odds[drawn] = reader.numbers(np.dtype("<f4"), int(np.count_nonzero(drawn)))


class _Reader:
    """Reads the bytes of what was drawn in their order; `n`: the number of scored candidates."""

    def __init__(self, body: bytes, n: int) -> None:
        self._body, self._n, self._at = body, n, 0

    def bytes(self, length: int) -> bytes:
        """Return the next bytes; ValueError if there are fewer."""
        part = self._body[self._at : self._at + length]
        if len(part) != length:
            raise ValueError("the record is cut off")
        self._at += length
        return part

    def bits(self) -> Bools:
        """Return one bit for each scored candidate, (n,)."""
        packed = np.frombuffer(self.bytes((self._n + 7) // 8), np.uint8)
        return np.unpackbits(packed, count=self._n).astype(np.bool_)

    def numbers(self, dtype: np.dtype, n: int) -> NDArray[np.generic]:
        """Return the next n numbers."""
        return np.frombuffer(self.bytes(n * dtype.itemsize), dtype)

    def end(self) -> None:
        """Raise ValueError unless everything was read."""
        if self._at != len(self._body):
            raise ValueError("the record holds more of what was drawn than it should")
