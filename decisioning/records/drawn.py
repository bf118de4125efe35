"""What was drawn, as bytes: the unit that was drawn for an arm, and each slot's probabilities of all its candidates.

First come 4 bytes of the length and the last byte of the sum of what follows, as nothing else would show that it was
changed. The unit is its length in one byte and its text. Each pick has one byte, 1 if its probabilities are kept: then
come one bit for each scored candidate, set where its probability is above 0, and these probabilities as float32.
Frozen with format 5.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

import numpy as np

from decisioning.records.columns import Floats
from decisioning.records.kept import Kept, KeptPick

_HEADING: Final = Struct("<IB")
_KEPT, _NOT_KEPT = b"\1", b"\0"


def pack_drawn(kept: Kept) -> bytes:
    """Return the bytes of what was drawn."""
    unit = (kept.unit or "").encode()
    body = b"".join((bytes((len(unit),)), unit, *(_odds(pick.odds) for pick in kept.picks)))
    return _HEADING.pack(len(body), _last_byte_of_sum(body)) + body


def _last_byte_of_sum(body: bytes) -> int:
    return int(np.frombuffer(body, np.uint8).sum(dtype=np.int64)) & 0xFF


def _odds(odds: Floats | None) -> bytes:
    if odds is None:
        return _NOT_KEPT
    drawn = odds > 0.0
    return b"".join((_KEPT, np.packbits(drawn).tobytes(), odds[drawn].astype("<f4").tobytes()))


def after_drawn(raw: bytes, at: int) -> int:
    """Return where the bytes of what was drawn end that begin at `at`.

    :raises ValueError: they are cut off
    """
    if len(raw) < at + _HEADING.size:
        raise ValueError("the record is cut off")
    return at + _HEADING.size + int(_HEADING.unpack_from(raw, at)[0])


def unpack_drawn(raw: bytes, at: int, kept: Kept) -> None:
    """Fill in `kept` what was drawn, from the bytes that begin at `at`.

    :raises ValueError, LookupError: these are not the bytes of what was drawn
    """
    length, check = _HEADING.unpack_from(raw, at)
    body = raw[at + _HEADING.size :][:length]
    if len(body) != length or _last_byte_of_sum(body) != check:
        raise ValueError("the bytes of what was drawn do not add up")
    begin = 1 + body[0]
    kept.unit = body[1:begin].decode() or None
    _fill(kept.picks, len(kept.rows), body[begin:])


def _fill(picks: Sequence[KeptPick], n: int, body: bytes) -> None:
    at = 0
    for pick in picks:
        is_kept, at = body[at : at + 1] == _KEPT, at + 1
        if is_kept:
            bits = np.frombuffer(body, np.uint8, (n + 7) // 8, at)
            drawn = np.unpackbits(bits, count=n).astype(np.bool_)
            at += len(bits)
            pick.odds = np.zeros(n)
            pick.odds[drawn] = np.frombuffer(body, "<f4", int(np.count_nonzero(drawn)), at)
            at += 4 * int(np.count_nonzero(drawn))
    if at != len(body):
        raise ValueError("the record holds more of what was drawn than it should")
