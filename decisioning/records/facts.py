"""Facts as served, by the release's schema: names are left out, and every value has the bytes that its type needs."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate, compress
from operator import is_
from typing import Any, Final

from decisioning.facts.schema import Facts, Feature, Value
from decisioning.records.pieces import Numbering, Pieces, PiecesRead

_TYPES: Final[dict[str, type]] = {
    "float": float,
    "bool": bool,
    "timestamp": int,
    "int": int,
    "enum": str,
    "string": str,
}
"""The type that a value has in Python, in the order in which values are packed."""
_ORDER: Final = tuple(_TYPES)
_ENUM: Final = _ORDER.index("enum")
_DIGITS, _BITS = bytes.maketrans(b"\0\1", b"01"), bytes.maketrans(b"01", b"\0\1")


class FactTable:
    """The features of one release, in the order in which their values are packed: by dtype, then by name."""

    def __init__(self, features: Iterable[Feature]) -> None:
        ordered = sorted(features, key=lambda f: (_ORDER.index(f.dtype), f.name))
        self._names = [f.name for f in ordered]
        self._index = {name: at for at, name in enumerate(self._names)}
        self._types = [_TYPES[f.dtype] for f in ordered]
        self._in_bytes = (len(ordered) + 7) // 8
        kinds = [_ORDER.index(f.dtype) for f in ordered]
        self._spans = [slice(bisect_left(kinds, n), bisect_left(kinds, n + 1)) for n in range(len(_ORDER))]
        self._choices = [Numbering(f.values) for f in ordered[self._spans[_ENUM]]]

    def pack(self, facts: Facts, at_us: int, pieces: Pieces) -> list[Any]:
        """Return what the list holds of the facts, and add the rest to the pieces.

        Flags are 0 or 1, times are distances from `at_us`, choices are numbers. Facts that are not declared, or not of
        their declared type, come last, by name.
        """
        values = list(map(facts.get, self._names))
        here = list(map(is_, map(type, values), self._types))
        pieces.raw.append(int(bytes(here).translate(_DIGITS), 2).to_bytes(self._in_bytes, "little"))
        floats, flags, times, ints, choices, texts = (compress(values[span], here[span]) for span in self._spans)
        pieces.floats += floats  # type: ignore[arg-type]  # those that are here have their type
        listed: list[Any] = list(map(int, flags))  # type: ignore[arg-type]
        listed += [time - at_us for time in times]  # type: ignore[operator]
        listed += ints
        numberings = compress(self._choices, here[self._spans[_ENUM]])
        listed += [numbering.code(choice) for numbering, choice in zip(numberings, choices, strict=True)]  # type: ignore[arg-type]
        listed += texts
        if len(facts) > sum(here):
            listed.append({name: facts[name] for name in sorted(facts) if self._is_odd(name, here)})
        return listed

    def _is_odd(self, name: str, here: list[bool]) -> bool:
        at = self._index.get(name)
        return at is None or not here[at]

    def unpack(self, listed: list[Any], at_us: int, pieces: PiecesRead) -> dict[str, Value | None]:
        """Return the facts; the arguments are what `pack` made."""
        every = len(self._names)
        here = f"{int.from_bytes(pieces.raw(self._in_bytes), 'little'):0{every}b}".encode().translate(_BITS)
        counts = [sum(here[span]) for span in self._spans]
        ends = list(accumulate(counts[1:]))
        odd = listed[ends[-1] :]
        if len(here) != every or len(listed) != ends[-1] + len(odd) or len(odd) > 1:
            raise ValueError("the record has other facts than it says")
        values: list[Any] = pieces.figures(counts[0])
        values += [(False, True)[flag] for flag in listed[: ends[0]]]
        values += [time + at_us for time in listed[ends[0] : ends[1]]]
        values += listed[ends[1] : ends[2]]
        numberings = compress(self._choices, here[self._spans[_ENUM]])
        values += [numbering.name(code) for numbering, code in zip(numberings, listed[ends[2] : ends[3]], strict=True)]
        values += listed[ends[3] : ends[4]]
        facts = dict(zip(compress(self._names, here), values, strict=True))
        return facts | odd[0] if odd else facts
