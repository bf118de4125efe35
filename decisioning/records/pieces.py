"""The three pieces of a packed record: a list as JSON, floats as little-endian float64, and ids as raw bytes.

In the list a name of the release is its number, and an id of hexadecimal digits is the length and the form of its
bytes; any other name and id is the text itself. So whatever is not expected is still written, and costs only room.
"""

import re
from collections.abc import Sequence
from struct import Struct, pack, unpack_from
from typing import Any, Final

from pydantic_core import from_json, to_json

_LENGTHS = Struct("<IH")
"""Of the JSON in bytes, of the floats in numbers."""
_DIGITS = "(?:[0-9a-f]{2})+"
_ID = re.compile(rf"(?P<h>{_DIGITS})|d-(?P<d>{_DIGITS})|(?P<u>[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})")
_FORMS: Final = {"h": 0, "d": 1, "u": 2}
_HEX, _DECISION, _UUID = _FORMS.values()
_SIGNED = re.compile(r"(.*)([+-])([0-9])\.([0-9])")
_LARGEST_TENTHS: Final = 99
Code = int | str | None
"""The number of a name, or the name itself."""


class Numbering:
    """Numbers for a list of names."""

    __slots__ = ("_names", "numbers")

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self.numbers = {name: number for number, name in enumerate(self._names)}

    def code(self, name: str | None) -> Code:
        """Return the number of a name; the name itself if it has none."""
        return self.numbers.get(name, name)  # type: ignore[arg-type]  # None has no number

    def codes(self, names: Sequence[str | None]) -> list[Code]:
        """Return the codes of names."""
        return [self.numbers.get(name, name) for name in names]  # type: ignore[arg-type]

    def name(self, code: Code) -> Any:
        """Return the name of a code."""
        return self._names[code] if isinstance(code, int) else code

    def names(self, codes: Sequence[Code]) -> list[Any]:
        """Return the names of codes."""
        return [self._names[code] if isinstance(code, int) else code for code in codes]


class SignedNumbering(Numbering):
    """Numbers for a list of names, and for each with a figure in tenths behind it, such as `age+0.4` or `age-9.9`."""

    __slots__ = ()

    def code(self, name: str | None) -> Code:
        """Return the number of a name, with or without its figure; the name itself if it has none."""
        if name is None or name in self.numbers:
            return super().code(name)
        match = _SIGNED.fullmatch(name)
        number = self.numbers.get(match[1]) if match else None
        if match is None or number is None:
            return name
        return number + len(self._names) * (1 + _LARGEST_TENTHS + int(match[2] + match[3] + match[4]))

    def codes(self, names: Sequence[str | None]) -> list[Code]:
        """Return the codes of names."""
        return [self.code(name) for name in names]

    def name(self, code: Code) -> Any:
        """Return the name of a code."""
        if not isinstance(code, int) or code < len(self._names):
            return super().name(code)
        step, number = divmod(code, len(self._names))
        sign, tenths = (
            ("+", step - 1 - _LARGEST_TENTHS) if step > _LARGEST_TENTHS else ("-", 1 + _LARGEST_TENTHS - step)
        )
        if tenths > _LARGEST_TENTHS:
            raise ValueError("the record names a figure that there is not")
        return f"{self._names[number]}{sign}{tenths // 10}.{tenths % 10}"

    def names(self, codes: Sequence[Code]) -> list[Any]:
        """Return the names of codes."""
        return [self.name(code) for code in codes]


class Pieces:
    """Collects floats and ids while the list is made."""

    __slots__ = ("floats", "raw")

    def __init__(self) -> None:
        self.floats: list[float] = []
        self.raw: list[bytes] = []

    def id(self, text: str | None) -> Code:
        """Return what stands for an id in the list; None is None."""
        match = None if text is None else _ID.fullmatch(text)
        if match is None:
            return text
        name = match.lastgroup or ""
        raw = bytes.fromhex(match[name].replace("-", ""))
        self.raw.append(raw)
        return len(raw) << 2 | _FORMS[name]

    def to_bytes(self, listed: list[Any]) -> bytes:
        """Return the list, and all that was collected."""
        json, count = to_json(listed, inf_nan_mode="constants"), len(self.floats)
        return b"".join((_LENGTHS.pack(len(json), count), json, pack(f"<{count}d", *self.floats), *self.raw))


class PiecesRead:
    """Gives back what `Pieces` made of a list, floats and ids, in the same order.

    Raises ValueError, IndexError or TypeError if `packed` is something else.
    """

    __slots__ = ("_at", "_floats", "_packed", "figure", "listed")

    def __init__(self, packed: bytes) -> None:
        if len(packed) < _LENGTHS.size:
            raise ValueError("the record is cut off")
        in_json, floats = _LENGTHS.unpack_from(packed)
        begin = _LENGTHS.size + in_json
        self._packed, self._at = packed, begin + 8 * floats
        if len(packed) < self._at:
            raise ValueError("the record is cut off")
        self.listed: list[Any] = from_json(packed[_LENGTHS.size : begin])
        self._floats = list(unpack_from(f"<{floats}d", packed, begin))
        self._floats.reverse()
        self.figure = self._floats.pop
        """Returns the next float."""

    def figures(self, count: int) -> list[float]:
        """Return the next `count` floats."""
        start = len(self._floats) - count
        if start < 0:
            raise IndexError("the record holds fewer floats")
        figures = self._floats[start:]
        del self._floats[start:]
        figures.reverse()
        return figures

    def raw(self, length: int) -> bytes:
        """Return the next bytes of the ids."""
        raw = self._packed[self._at : self._at + length]
        if len(raw) != length or length < 0:
            raise IndexError("the record holds fewer ids")
        self._at += length
        return raw

    def id(self, code: Code) -> Any:
        """Return the id that stands in the list as `code`."""
        if not isinstance(code, int):
            return code
        digits, form = self.raw(code >> 2).hex(), code & 3
        if form == _HEX:
            return digits
        if form == _DECISION:
            return f"d-{digits}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def rest(self) -> bytes:
        """Return the bytes after the floats and ids; all of these must have been given back."""
        if self._floats:
            raise ValueError("the record holds more floats than it should")
        return self._packed[self._at :]
