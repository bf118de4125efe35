"""Packed rows: what one view holds of one subject, in one value of bytes that names the columns it was packed with.

All numbers are little-endian. A row begins with the number of its columns' list (uint16) and its form (uint8):

- form 0, every column was stated at one time: event_us, created_us (int64 each), nulls, cells, texts;
- form 1, any other: n (uint16), n times (event_us, created_us), for each column 1 + the position of its time, or 0 if
  the column was never stated (uint16), nulls, cells, texts.

`nulls` has a bit per column, set if it has no value. A cell is a float64, an int64, a bool, or the length in bytes
(uint32) of a text or bytes; those follow at the end, in the order of the columns.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from struct import Struct
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


def columns_for(state: State, kinds: Mapping[str, Kind]) -> Columns:
    """Return columns that hold a state: those of `kinds`, and what else it holds, each of the kind of its value."""
    own = {name: KIND_OF[type(v.value)] for name, v in state.items() if v.value is not None}
    nulls: dict[str, Kind] = dict.fromkeys(state, "?")
    return tuple(sorted({**nulls, **kinds, **own}.items()))


class Packing:
    """Packs and unpacks the rows of one list of columns."""

    def __init__(self, number: int, columns: Columns) -> None:
        self.number, self.columns = number, columns
        self.names = tuple(name for name, _ in columns)
        self.kinds: Mapping[str, Kind] = dict(columns)
        self._texts = tuple((i, kind == "s") for i, (_, kind) in enumerate(columns) if kind in "sb")
        self._template: dict[str, Cell] = dict.fromkeys(self.names, 0)
        self._no_nulls = bytes((len(columns) + 7) // 8)
        codes = f"{len(self._no_nulls)}s" + "".join(_CODES[kind] for _, kind in columns)
        self._cells, self._plain = Struct("<" + codes), Struct("<HBqq" + codes)
        self._index = Struct(f"<{len(columns)}H")

    def read(self, body: bytes) -> OnlineRow:
        """Return the known values and their times; this is on the path of every decision."""
        if body[2] != _PLAIN:
            state = self.state(body)
            known: dict[str, Cell] = {name: v.value for name, v in state.items() if v.value is not None}
            return OnlineRow(known, {name: state[name].stamp.event_us for name in known})
        _, _, event_us, _, nulls, *cells = self._plain.unpack_from(body)
        if self._texts:
            self._read_texts(body, self._plain.size, cells)
        values = self._template.copy()  # a dictionary of the right size, which is filled faster than a new one
        values.update(zip(self.names, cells))  # noqa: B905  strict takes a third longer
        if nulls != self._no_nulls:
            for i in _bits(nulls):
                del values[self.names[i]]
        return OnlineRow(values, event_us)

    def state(self, body: bytes) -> State:
        """Return every stated version, also of what is known to be unknown."""
        stamps, at = self._stamps(body)
        nulls, *cells = self._cells.unpack_from(body, at)
        self._read_texts(body, at + self._cells.size, cells)
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

    def _read_texts(self, body: bytes, at: int, cells: list[Any]) -> None:
        """Replace lengths by what they are the lengths of."""
        for i, is_text in self._texts:
            end = at + cells[i]
            cells[i] = str(body[at:end], "utf-8") if is_text else body[at:end]
            at = end

    def pack(self, state: State) -> bytes:
        """Return a state as bytes; the same state gives the same bytes."""
        values = [state[name].value if name in state else None for name in self.names]
        texts = [_bytes(values[i]) for i, _ in self._texts]
        cells = [0 if value is None else value for value in values]
        for (i, _), text in zip(self._texts, texts, strict=True):
            cells[i] = len(text)
        nulls = sum(1 << i for i, value in enumerate(values) if value is None).to_bytes(len(self._no_nulls), "little")
        stamps = sorted({version.stamp for version in state.values()})
        if len(stamps) == 1 and len(state) == len(self.columns):
            return b"".join((self._plain.pack(self.number, _PLAIN, *stamps[0], nulls, *cells), *texts))
        place = {stamp: i for i, stamp in enumerate(stamps, 1)}
        index = self._index.pack(*(place[state[name].stamp] if name in state else 0 for name in self.names))
        head = _HEAD.pack(self.number, _MIXED, len(stamps)) + b"".join(_STAMP.pack(*stamp) for stamp in stamps)
        return b"".join((head, index, self._cells.pack(nulls, *cells), *texts))

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
        texts = []
        for i, (column, (_, kind)) in enumerate(zip(columns, self.columns, strict=True)):
            if kind in "sb":
                texts.append(pc.fill_null(column.cast(pa.large_binary()), b""))
                fixed[f"c{i}"] = pc.binary_length(texts[-1]).to_numpy()
            else:
                fixed[f"c{i}"] = pc.fill_null(column, False if kind == "?" else 0).to_numpy(zero_copy_only=False)
        heads = pa.Array.from_buffers(pa.binary(fixed.itemsize), len(fixed), [None, pa.py_buffer(fixed)])
        return pc.binary_join_element_wise(heads.cast(pa.large_binary()), *texts, pa.scalar(b"", pa.large_binary()))

    @cached_property
    def _array(self) -> np.dtype[np.void]:
        head = [("number", "<u2"), ("form", "u1"), ("event", "<i8"), ("created", "<i8")]
        cells = [(f"c{i}", _ARRAYS[kind]) for i, (_, kind) in enumerate(self.columns)]
        return np.dtype([*head, ("nulls", "u1", (len(self._no_nulls),)), *cells])


def _bytes(value: Any) -> bytes:
    if value is None:
        return b""
    return value.encode() if isinstance(value, str) else value


def _bits(mask: bytes) -> Iterable[int]:
    """Yield the positions of the bits that are set."""
    bits = int.from_bytes(mask, "little")
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
