"""Opens a table: recognises how it is written, tells it in one line, and reads it in parts."""

import gzip
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.check.words import hint
from decisioning.errors import Refused
from features.importing.opening.csv_text import CsvText
from features.importing.opening.encodings import UTF_8, ContradictedError, contradicting_line, decoded_sample
from features.importing.opening.json_rows import JsonRows
from features.importing.opening.packed import container, is_parquet, open_unpacked, refuse_packed_twice
from features.importing.opening.parquet import ParquetRows
from features.importing.opening.reading import ColumnsSeen, columns_seen
from features.importing.opening.separators import NOT_SHOWN, called, layout, shown
from features.importing.opening.stated import Compression, Stated, state
from features.importing.opening.workbooks import Workbook
from features.importing.tables.faults import Faults
from features.importing.tables.row_numbers import Batch, RowNumbers
from features.importing.tables.sheets import Sheet

SAMPLE: Final = 1 << 20
"""How many bytes of a file show how it is written."""
_JSON: Final = re.compile(r"\s*(\[)?\s*(?:\{\s*[\"}]|(?<=\[)\s*\])")
_MARKUP: Final = re.compile(r"\s*<(\?xml|!doctype|html|table|workbook)", re.IGNORECASE)
_TOTALS: Final = frozenset(
    {"total", "totals", "grand total", "subtotal", "sum", "totaal", "totalen", "eindtotaal", "som"}
)
_NAMELESS: Final = "the header has no name for this column, which holds something: name it"


class _Rows(Protocol):
    """A file of any format, of which is known how it is written."""

    @property
    def numbers(self) -> RowNumbers: ...

    def header(self) -> list[str]: ...

    def sample(self) -> pa.RecordBatch: ...

    def batches(self, numbers: RowNumbers) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class OpenedTable:
    """A table of which is known how it is written.

    `columns`: the names, without those of columns that have none. `how`: how it is read, in words. `sample`: its first
    rows. `seen`: what they show of the columns of text.
    """

    path: Path
    how: str
    sample: Sheet
    seen: ColumnsSeen
    _rows: _Rows = field(repr=False)
    _header: "_Header" = field(repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the file."""
        return self.sample.columns

    def instead_of(self, column: str) -> str:
        """Return which columns there are instead of one that is not, unless the first row holds data of a customer."""
        columns = shown(", ".join(self.columns))
        near = "" if columns == NOT_SHOWN else hint(column, self.columns)
        return near or f"its columns are {columns}"

    def parts(self, faults: Faults | None = None) -> Iterator[tuple[Sheet, int, int]]:
        """Yield the table in parts of a few megabytes, each with how much was read, and of how much.

        Raises Refused, also for what only a later part shows. `faults` learns how the file was read.
        """
        if faults is not None:
            faults.how[self.path.name] = f"{self.path.name} was {self.how}"
        with refusing(self.path, self._rows):
            yield from self._parts()

    def _parts(self) -> Iterator[tuple[Sheet, int, int]]:
        numbers, count, nameless = self._rows.numbers, 0, Faults()
        last, blank = None, isinstance(self._rows, CsvText | Workbook)  # other formats have no empty rows
        for batch, done, total in self._rows.batches(numbers):
            table = _without_empty_rows(batch, numbers, count) if blank else batch
            part = Sheet(self.path.name, self._header.named(table), count, numbers, self.sample.forms)
            self._header.report_nameless(table, part, nameless)
            if len(part):
                last = part
                yield part, done, total
            count += len(part)
        nameless.raise_any()
        if last is None:
            raise Refused(f"{self.path.name} holds no rows")
        _refuse_total(last)


def open_table(path: Path, stated: Stated | None = None) -> OpenedTable:
    """Return a table, of which only the beginning was read. Raises Refused where it is not certain how it is written.

    What is not stated is recognised: Parquet, workbooks, JSON and CSV, packed by gzip or zip or not; the encoding, the
    separator, and for each column the mark of decimals and the order of dates.
    """
    stated = stated or Stated()
    with refusing(path):
        rows, words, points = _recognised(path, stated)
        header = _Header.of(path, rows.header())
        sample = rows.sample()
        header.refuse_title(path, sample)
        kept = header.named(sample)
        seen = columns_seen(kept)
        forms = seen.forms(stated, points=points)
        how = "read as " + ", ".join([*words, *seen.words(stated), *header.words])
        first = Sheet(path.name, kept, 0, rows.numbers, forms)
    return OpenedTable(path, how, first, seen, rows, header)


def _recognised(path: Path, stated: Stated) -> tuple[_Rows, list[str], bool]:
    """Return the file, how it is written in words, and whether numbers in texts are surely written with points."""
    kind, compression = container(path, stated)
    if kind == "parquet":
        return ParquetRows(path), ["Parquet"], True
    if kind == "workbook":
        book = Workbook(path, stated.sheet)
        return book, [f"a workbook, sheet {book.name}"], False
    if stated.sheet is not None:
        raise Refused(f"{path.name} is no workbook, and `sheet` is stated: leave it out")
    return _recognised_text(path, stated, compression)


def _recognised_text(path: Path, stated: Stated, compression: Compression) -> tuple[_Rows, list[str], bool]:
    with open_unpacked(path, compression) as (stream, _):
        data = stream.read(SAMPLE)
        whole = not stream.read(1)
    if not data:
        raise Refused(f"{path.name} is empty")
    if compression != "none":
        refuse_packed_twice(path, data)
    text, encoding, marked = decoded_sample(path.name, data, whole=whole, stated=stated.encoding)
    sure = marked or stated.encoding is not None
    words = [encoding] if encoding != UTF_8 else []
    words += [compression] if compression != "none" else []
    if _MARKUP.match(text):
        raise Refused(f"{path.name} is HTML or XML and no table: open it in a spreadsheet program and save it as xlsx")
    common = (path, encoding, compression, sure, text, whole)
    if stated.kind != "csv" and (match := _JSON.match(text)):
        array = match.group(1) is not None
        return JsonRows(*common, array), ["a JSON array" if array else "JSON lines", *words], True
    if _is_called_json(path):
        raise Refused(f"{path.name} is not JSON: write one object on each line, or one array of objects")
    csv_layout = layout(path.name, text, stated.separator)
    words.insert(
        0, f"{called(csv_layout.separator)}-separated" + (" (by `sep=`)" if csv_layout.states_separator else "")
    )
    return CsvText(common[0], csv_layout, *common[1:]), words, csv_layout.separator == ","


def _is_called_json(path: Path) -> bool:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".zip")]
    return bool(suffixes) and suffixes[-1] in (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class _Header:
    """The names of columns: `kept` are the positions of those that have one."""

    names: tuple[str, ...]
    kept: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, cells: Sequence[str]) -> "_Header":
        """Return the header of cells as they stand there. Raises Refused for a name that stands twice, or for none."""
        names = tuple(" ".join(cell.replace("\ufeff", "").split()) for cell in cells)
        kept = tuple(n for n, name in enumerate(names) if name)
        given = [names[n] for n in kept]
        if repeated := sorted({name for name in given if given.count(name) > 1}):
            raise Refused(f"{path.name} has two columns called {shown(', '.join(repeated))}: rename one of them")
        if not given:
            raise Refused(f"{path.name} holds no names of columns")
        if all(len(name) > 1 and name[0] == name[-1] == "'" for name in given):
            raise Refused(f"{path.name} has cells in single quotation marks: write them in double ones")
        return cls(names, kept)

    @property
    def words(self) -> list[str]:
        """What to tell of the header."""
        nameless = len(self.names) - len(self.kept)
        return [f"{nameless} column{'s' * (nameless > 1)} without a name left out"] if nameless else []

    def named(self, batch: pa.RecordBatch) -> pa.Table:
        """Return the columns that have names."""
        fields = [batch.schema.field(n).with_name(self.names[n]) for n in self.kept]
        return pa.Table.from_arrays([batch.column(n) for n in self.kept], schema=pa.schema(fields))

    def report_nameless(self, batch: pa.RecordBatch, part: Sheet, faults: Faults) -> None:
        """Report cells of columns without a name, but not of the first column: there programs write row numbers."""
        for n in set(range(1, len(self.names))) - set(self.kept):
            filled = np.flatnonzero(~_empty(batch.column(n)))
            faults.add(part.file, f"({n + 1}, without a name)", part.row_numbers(filled.tolist()), _NAMELESS)

    def refuse_title(self, path: Path, sample: pa.RecordBatch) -> None:
        """Raise Refused if the first row names few of the columns that are filled: it is a title."""
        filled = [n for n in range(1, len(self.names)) if n not in self.kept and not _empty(sample.column(n)).all()]
        if len(filled) >= len(self.kept):
            first = shown(",".join(self.names))
            raise Refused(
                f"{path.name}: the first row names {len(self.kept)} of {len(self.names)} columns: remove what stands "
                f"above the names. The first row is: {first}"
            )


def _empty(cells: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return where cells, (n,), hold nothing: null, or text of spaces alone."""
    if pa.types.is_string(cells.type):
        filled = pc.binary_length(pc.utf8_trim_whitespace(cells)).cast(pa.bool_())
        return ~np.asarray(pc.and_kleene(filled, cells.is_valid()))
    return np.asarray(cells.is_null())


def _without_empty_rows(batch: pa.RecordBatch, numbers: RowNumbers, before: int) -> pa.RecordBatch:
    """Return the rows that hold something; `before` is the number of such rows before them."""
    if not batch.num_rows or not _empty(batch.column(0)).any():
        return batch
    empty = np.ones(batch.num_rows, np.bool_)
    for column in batch.columns:
        at = np.flatnonzero(empty)
        if not len(at):
            return batch
        empty[at] = _empty(column.take(pa.array(at)))
    numbers.leave_out(
        [n for n, gone in zip(numbers.of(range(before, before + len(empty))), empty, strict=True) if gone]
    )
    return batch.filter(pa.array(~empty))


def _refuse_total(last: Sheet) -> None:
    """Raise Refused if the last row is one of totals, which is about no customer."""
    cells = (last[name][-1].as_py() for name in last.columns)
    first = next((cell for cell in cells if cell not in (None, "")), None)
    if isinstance(first, str) and first.strip(" :").lower() in _TOTALS:
        row = last.row_numbers([len(last) - 1])[0]
        raise Refused(f"{last.file}: row {row}, the last one, holds totals: remove it")


@contextmanager
def refusing(path: Path, rows: _Rows | None = None) -> Iterator[None]:
    """Raise Refused, in words of our own, as others quote the row, for what ends the reading of a file."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise Refused(f"{path.name} is a damaged gzip file: it is cut off, or was changed") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is a folder, or a file of another kind"
        raise Refused(f"{path.name} cannot be read: {reason}") from None
    except zipfile.BadZipFile:
        raise Refused(f"{path.name} is a damaged zip file") from None
    except (ContradictedError, UnicodeDecodeError):
        raise Refused(_contradicted(path, rows)) from None
    except pa.ArrowException as error:
        raise Refused(
            _contradicted(path, rows) if "UTF8" in str(error) else f"{path.name} is damaged{_no_parquet(path)}"
        ) from None


def _no_parquet(path: Path) -> str:
    return ": it is not a Parquet file, or cut off" if is_parquet(path) else ", or no table"


def _contradicted(path: Path, rows: _Rows | None) -> str:
    """Return that a row is not in the encoding that the first rows showed, and what to state."""
    line = None
    if isinstance(rows, CsvText | JsonRows):
        line = contradicting_line(path, rows.encoding, rows.compression, sure=rows.sure)
        if rows.sure:
            return f"{path.name}: {_line(line)} is not text in {rows.encoding}: {state('encoding')} of all rows"
        return (
            f"{path.name}: {_line(line)} is not in {rows.encoding}, as the rows before: {state('encoding', 'cp1252')}"
        )
    return f"{path.name} holds text that is not UTF-8: write it anew"


def _line(number: int | None) -> str:
    return "a later line" if number is None else f"line {number}"
