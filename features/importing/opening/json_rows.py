"""JSON as a table: an object per line, or one array of objects; every object is a row."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa

from decisioning.errors import Refused, RequestError
from decisioning.strict_json import read_json
from features.importing.opening.encodings import UTF_8, open_utf8
from features.importing.opening.stated import Compression
from features.importing.opening.typed import as_batch
from features.importing.tables.faults import Faults
from features.importing.tables.row_numbers import Batch, RowNumbers

_ROWS: Final = 10_000
_LONGEST: Final = 1_000_000
"""Bytes of an object."""
_NO_OBJECT: Final = "is not a JSON object, or has a key twice: write one object on each line, or one array of objects"
_NEW_FIELD: Final = "is a field that the first rows do not have: give the first row all fields, with null for none"
_SPACE: Final = " \t\r\n"


@dataclass(frozen=True)
class JsonRows:
    """A file of JSON objects; `text` is its beginning, `array` whether they stand in an array."""

    path: Path
    encoding: str
    compression: Compression
    sure: bool
    text: str
    whole: bool
    array: bool

    @property
    def numbers(self) -> RowNumbers:
        """The lines of the file, or the objects of its array, counted from 1."""
        return RowNumbers(1)

    def header(self) -> list[str]:
        """Return the names of all fields in the beginning of the file."""
        names = {name: None for row in self._first_rows() for name in row}
        if not names:
            raise Refused(f"{self.path.name} holds no rows, or its first line {_NO_OBJECT}")
        return list(names)

    def sample(self) -> pa.RecordBatch:
        """Return the rows of the beginning."""
        names = self.header()
        return as_batch(self.path.name, names, [[row.get(name) for name in names] for row in self._first_rows()])

    def _first_rows(self) -> list[dict[str, Any]]:
        if self.array:
            rows = list(_elements(self.path.name, iter([self.text]), cut=not self.whole))
        else:
            lines = self.text.encode().split(b"\n")
            rows = [_object(line) for line in (lines if self.whole else lines[:-1]) if line.strip()]
        return [row for row in rows if isinstance(row, dict)]

    def batches(self, numbers: RowNumbers) -> Iterator[Batch]:
        """Yield batches of rows, with the bytes of the file that were read, and its size. Raises Refused for others."""
        names, faults, total = self.header(), Faults(), self.path.stat().st_size
        known = set(names)
        with open_utf8(self.path, self.encoding, self.compression, sure=self.sure) as (text, file):
            part: list[list[Any]] = []
            for number, row in self._rows(text, numbers):
                if row is None:
                    faults.add(self.path.name, "(all)", [number], _NO_OBJECT)
                    continue
                for name in row.keys() - known:
                    faults.add(self.path.name, name, [number], _NEW_FIELD)
                part.append([row.get(name) for name in names])
                if len(part) == _ROWS:
                    yield as_batch(self.path.name, names, part), file.tell(), total
                    part = []
            faults.raise_any()
            yield as_batch(self.path.name, names, part), total, total

    def _rows(self, text: BinaryIO, numbers: RowNumbers) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Yield each row with its number; None for what is no object."""
        if self.array:
            characters = io.TextIOWrapper(text, UTF_8)
            pieces = iter(lambda: characters.read(_LONGEST), "")
            for number, element in enumerate(_elements(self.path.name, pieces), 1):
                yield number, element if isinstance(element, dict) else None
            return
        for number, line in enumerate(iter(lambda: text.readline(_LONGEST), b""), 1):
            if line.strip():
                yield number, _object(line)
            else:
                numbers.leave_out([number])


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = read_json(line)
    except (ValueError, RequestError):
        return None
    return row if isinstance(row, dict) else None


def _elements(name: str, pieces: Iterator[str], *, cut: bool = False) -> Iterator[Any]:
    """Yield the elements of an array that comes in pieces; where it is cut, all that are whole.

    Raises Refused if it is no JSON, or ends before its end.
    """
    decoder, text = json.JSONDecoder(), next(pieces, "").lstrip(_SPACE)[1:]
    while True:
        text = text.lstrip(_SPACE + ",")
        if text.startswith("]"):
            if text[1:].strip() or any(piece.strip() for piece in pieces):
                raise Refused(f"{name}: something follows the array, which has to be all")
            return
        try:
            _, end = decoder.raw_decode(text)
            if end == len(text):  # a number may go on
                raise json.JSONDecodeError("unfinished", text, end)
        except json.JSONDecodeError:
            if (more := next(pieces, None)) is not None and len(text) < 2 * _LONGEST:
                text += more
                continue
            if cut:
                return
            raise Refused(f"{name}: the array is cut off, or is no JSON after its first rows: export it anew") from None
        yield _object(text[:end].encode())
        text = text[end:]
