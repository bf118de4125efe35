"""Packed rows: what one view holds of one subject, in one value of bytes that names the columns it was packed with.

All numbers are little-endian. A row begins with the number of its columns' list (uint16) and its form (uint8):

- form 0, every column was stated at one time: event_us, created_us (int64 each), nulls, cells, contents;
- form 1, any other: n (uint16), n times (event_us, created_us), for each column 1 + the position of its time, or 0 if
  the column was never stated (uint16), nulls, cells, contents.

`nulls` has a bit per column, set if it has no value. A cell is a float64, an int64, a bool, or the length (uint32) of a
text in characters, or of bytes. At the end follow the bytes, then the texts as one UTF-8 text, in the order of columns.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from struct import Struct, unpack_from
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.profile.stores.rows import Kind, OnlineRow
from features.profile.versions import Cell, Stamp, State, Version

Columns = tuple[tuple[str, Kind], ...]
"""Names and kinds, sorted by name."""

_PLAIN, _MIXED = 0, 1
_HEAD, _STAMP, _CODES = Struct("<HBH"), Struct("<qq"), {"d": "d", "q": "q", "?": "?", "s": "I", "b": "I"}
_ARRAYS = {"d": "<f8", "q": "<i8", "?": "?", "s": "<u4", "b": "<u4"}
KIND_OF: Mapping[type, Kind] = {float: "d", int: "q", bool: "?", str: "s", bytes: "b"}


def number_of(body: bytes) -> int:
    """Return the number of the columns that a row was packed with."""
    return body[0] | body[1] << 8


def is_older(one: bytes, other: bytes) -> bool:
    """Tell whether `other` replaces all of `one`: the same columns, each row stated at one time, and `one` earlier."""
    return one[:3] == other[:3] and other[2] == _PLAIN and _STAMP.unpack_from(one, 3) < _STAMP.unpack_from(other, 3)


def columns_for(state: State, kinds: Mapping[str, Kind]) -> Columns:
    """Return columns that hold a state: those of `kinds`, and what else it holds, each of the kind of its value."""
    own = {name: KIND_OF[type(v.value)] for name, v in state.items() if v.value is not None}
    nulls: dict[str, Kind] = dict.fromkeys(state, "?")
    return tuple(sorted({**nulls, **kinds, **own}.items()))


class Times(Mapping[str, int]):
    """When each stated column was true, looked up when it is asked for: few of them are."""

    __slots__ = ("_index", "_places", "_stamps")

    def __init__(self, places: Mapping[str, int], index: Sequence[int], stamps: Sequence[int]) -> None:
        self._places, self._index, self._stamps = places, index, stamps

    def __getitem__(self, name: str) -> int:
        place = self._index[self._places[name]]
        if not place:
            raise KeyError(name)
        return self._stamps[2 * place - 2]

    def __iter__(self) -> Iterator[str]:
        return (name for name, i in self._places.items() if self._index[i])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Packing:
    """Packs and unpacks the rows of one list of columns."""

    def __init__(self, number: int, columns: Columns) -> None:
        self.number, self.columns = number, columns
        self.names = tuple(name for name, _ in columns)
        self.kinds: Mapping[str, Kind] = dict(columns)
        self._bytes, self._texts = ([i for i, (_, own) in enumerate(columns) if own == kind] for kind in ("b", "s"))
        self._lengths = [*self._bytes, *self._texts]
        self._places = {name: i for i, name in enumerate(self.names)}
        self._template: dict[str, Cell] = dict.fromkeys(self.names, 0)
        self._no_nulls = bytes((len(columns) + 7) // 8)
        codes = f"{len(self._no_nulls)}s" + "".join(_CODES[kind] for _, kind in columns)
        self._cells, self._plain = Struct("<" + codes), Struct("<HBqq" + codes)
        self._mixed = Struct(f"<{len(columns)}H{codes}")
        self._index = Struct(f"<{len(columns)}H")

    def read(self, body: bytes) -> OnlineRow:
        """Return the known values and their times; this is on the path of every decision."""
        if body[2] != _PLAIN:
            return self._read_mixed(body)
        _, _, event_us, _, nulls, *cells = self._plain.unpack_from(body)
        if event_us < 0:
            return {}, event_us
        return self._known(body, self._plain.size, nulls, cells), event_us

    def _read_mixed(self, body: bytes) -> OnlineRow:
        count, n = body[3] | body[4] << 8, len(self.names)
        stamps = unpack_from(f"<{2 * count}q", body, _HEAD.size)
        at = _HEAD.size + count * _STAMP.size
        rest = self._mixed.unpack_from(body, at)
        times = Times(self._places, rest, stamps)
        values = self._known(body, at + self._mixed.size, rest[n], list(rest[n + 1 :]))
        if stamps[0] < 0:  # the times are sorted
            for name in [name for name in values if times[name] < 0]:
                del values[name]
        return values, times

    def _known(self, body: bytes, at: int, nulls: bytes, cells: list[Any]) -> dict[str, Cell]:
        if self._lengths:
            self._read_lengths(body, at, cells)
        values = self._template.copy()  # a dictionary of the right size, which is filled faster than a new one
        values.update(zip(self.names, cells))  # noqa: B905  strict takes a third longer
        if nulls != self._no_nulls:
            for i in _bits(nulls):
                del values[self.names[i]]
        return values

    def state(self, body: bytes) -> State:
        """Return every stated version, also of what is known to be unknown."""
        stamps, at = self._stamps(body)
        nulls, *cells = self._cells.unpack_from(body, at)
        self._read_lengths(body, at + self._cells.size, cells)
        for i in _bits(nulls):
            cells[i] = None
        rows = zip(self.names, cells, stamps, strict=True)
        return {name: Version(cell, stamp) for name, cell, stamp in rows if stamp is not None}

    def _stamps(self, body: bytes) -> tuple[list[Stamp | None], int]:
        """Return the time of each column, and where what follows begins."""
        if body[2] == _PLAIN:
            return [Stamp(*_STAMP.unpack_from(body, 3))] * len(self.columns), 3 + _STAMP.size
        _, _, count = _HEAD.unpack_from(body)
        at = _HEAD.size + count * _STAMP.size
        times = [None, *(Stamp(*pair) for pair in _STAMP.iter_unpack(body[_HEAD.size : at]))]
        return [times[i] for i in self._index.unpack_from(body, at)], at + self._index.size

    def _read_lengths(self, body: bytes, at: int, cells: list[Any]) -> None:
        """Replace lengths by what they are the lengths of."""
        for i in self._bytes:
            at, cells[i] = at + cells[i], body[at : at + cells[i]]
        text, at = str(body[at:], "utf-8"), 0
        for i in self._texts:
            end = at + cells[i]
            cells[i] = text[at:end]
            at = end

    def pack(self, state: State) -> bytes:
        """Return a state as bytes; the same state gives the same bytes."""
        values: list[Any] = [state[name].value if name in state else None for name in self.names]
        cells = [0 if value is None else value for value in values]
        blobs, texts = [values[i] or b"" for i in self._bytes], [values[i] or "" for i in self._texts]
        for i, content in zip(self._lengths, (*blobs, *texts), strict=True):
            cells[i] = len(content)
        tail = (*blobs, "".join(texts).encode())
        nulls = sum(1 << i for i, value in enumerate(values) if value is None).to_bytes(len(self._no_nulls), "little")
        stamps = sorted({version.stamp for version in state.values()})
        if len(stamps) == 1 and len(state) == len(self.columns):
            return b"".join((self._plain.pack(self.number, _PLAIN, *stamps[0], nulls, *cells), *tail))
        place = {stamp: i for i, stamp in enumerate(stamps, 1)}
        index = self._index.pack(*(place[state[name].stamp] if name in state else 0 for name in self.names))
        head = _HEAD.pack(self.number, _MIXED, len(stamps)) + b"".join(_STAMP.pack(*stamp) for stamp in stamps)
        return b"".join((head, index, self._cells.pack(nulls, *cells), *tail))

    def pack_all(self, rows: pa.Table) -> pa.Array:
        """Return a body per row of a table (n rows), each stated at one time: `pack`, whole columns at a time.

        `rows` has the columns event_timestamp, created and those of this packing, in their Arrow types.
        """
        fixed = np.zeros(rows.num_rows, self._array)
        fixed["number"] = self.number
        for name, column in (("event", "event_timestamp"), ("created", "created")):
            fixed[name] = rows[column].cast(pa.int64()).to_numpy()
        columns = [rows[name].combine_chunks() for name in self.names]
        nulls = np.stack([column.is_null().to_numpy(zero_copy_only=False) for column in columns], axis=1)
        fixed["nulls"] = np.packbits(nulls, axis=1, bitorder="little")
        for i, (column, (_, kind)) in enumerate(zip(columns, self.columns, strict=True)):
            content = pc.utf8_length(column) if kind == "s" else pc.binary_length(column) if kind == "b" else column
            fixed[f"c{i}"] = pc.fill_null(content, False if kind == "?" else 0).to_numpy(zero_copy_only=False)
        tail = [pc.fill_null(columns[i].cast(pa.large_binary()), b"") for i in self._lengths]
        heads = pa.Array.from_buffers(pa.binary(fixed.itemsize), len(fixed), [None, pa.py_buffer(fixed)])
        return pc.binary_join_element_wise(heads.cast(pa.large_binary()), *tail, pa.scalar(b"", pa.large_binary()))

    @cached_property
    def _array(self) -> np.dtype[np.void]:
        head = [("number", "<u2"), ("form", "u1"), ("event", "<i8"), ("created", "<i8")]
        cells = [(f"c{i}", _ARRAYS[kind]) for i, (_, kind) in enumerate(self.columns)]
        return np.dtype([*head, ("nulls", "u1", (len(self._no_nulls),)), *cells])


def _bits(mask: bytes) -> Iterable[int]:
    """Yield the positions of the bits that are set."""
    bits = int.from_bytes(mask, "little")
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
