"""Files as people have them: each is read right, or refused with the line that says what to do."""

import csv
import gzip
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from decisioning.errors import Refused
from features.importing.cells import CellReader
from features.importing.mapping import FeatureColumn
from features.importing.opening import Stated, open_table, table
from features.importing.tables import Faults
from tests.examples import examples
from tests.features.odd_files import FILES, NAMES, PEOPLE, OddFile

NOW_US = 1_800_000_000_000_000


def rows_of(path: Path, **stated: Any) -> tuple[list[tuple[Any, ...]], str]:
    """Return the rows of a table as an import reads them, and how; raises Refused as one does."""
    table, faults = open_table(path, Stated(**stated)), Faults()
    rows: list[tuple[Any, ...]] = []
    for sheet, _, _ in table.parts(faults):
        reader = CellReader(sheet, faults, ("",), ZoneInfo("UTC"), NOW_US)
        rows += zip(*(column(reader, name).to_pylist() for name in NAMES if name in sheet.columns), strict=True)
    faults.raise_any()
    return rows, table.how


def column(reader: CellReader, name: str) -> Any:
    if name == "id":
        return reader.ids(name)
    if name == "amount":
        return reader.number(name)
    if name == "day":
        return reader.moment(name, None)
    if name == "flag":
        return reader.feature(FeatureColumn(column=name, name=name, dtype="bool"))
    return reader.text(name)


def as_read(person: tuple[Any, ...]) -> tuple[Any, ...]:
    id_, name, amount, day, flag = person
    at = None if day is None else int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000
    return id_, name, amount, at, flag


@pytest.mark.promise("imports.odd-files")
@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_a_file_is_read_right_or_refused_with_what_to_do(tmp_path: Path, file: OddFile) -> None:
    path = tmp_path / file.name
    file.write(path)
    if file.refused:
        with pytest.raises(Refused) as refused:
            rows_of(path, **file.stated)
        assert file.refused in str(refused.value)
        return
    rows, how = rows_of(path, **file.stated)
    assert file.read in how
    if "amount" in open_table(path, Stated(**file.stated)).columns:
        assert rows == [as_read(person) for person in PEOPLE]
    else:
        assert [row[1] for row in rows] == [1_769_904_000_000_000, 1_770_076_800_000_000]


class Dialect(NamedTuple):
    """How a program writes a table."""

    separator: str
    decimal: str
    thousands: str
    digits: int
    day: str
    yes: str
    encoding: str
    line_end: str
    quoting: int
    stating: bool
    packed: bool

    def amount(self, value: float) -> str:
        marks = str.maketrans({",": self.thousands, ".": self.decimal})
        return f"{value:,.{self.digits}f}".translate(marks)

    def flag(self, value: bool) -> str:
        return self.yes if value else {"ja": "nee", "TRUE": "FALSE", "1": "0", "yes": "no"}[self.yes]

    def write(self, path: Path, rows: list[tuple[Any, ...]]) -> None:
        """Write the rows; raises UnicodeEncodeError if the encoding lacks a letter."""
        lines = io.StringIO(newline="")
        if self.stating:
            lines.write(f"sep={self.separator}{self.line_end}")
        table = csv.writer(lines, delimiter=self.separator, lineterminator=self.line_end, quoting=self.quoting)  # type: ignore[arg-type]
        table.writerow(NAMES)
        for id_, name, amount, day, flag in rows:
            cells = (self.amount(amount), f"{day:{self.day}}" if day else "", self.flag(flag))
            table.writerow((id_, name, *cells))
        content = lines.getvalue().encode(self.encoding)
        path.write_bytes(gzip.compress(content, 1) if self.packed else content)


DIALECTS = st.builds(
    Dialect,
    separator=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    thousands=st.sampled_from(["", "", ".", ",", " ", "'"]),
    digits=st.integers(0, 4),
    day=st.sampled_from(["%Y-%m-%d", "%d-%m-%Y", "%d/%m/%Y", "%d.%m.%Y", "%m/%d/%Y", "%m-%d-%Y", "%d-%m-%Y %H:%M"]),
    yes=st.sampled_from(["ja", "TRUE", "1", "yes"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "iso8859-15", "cp850", "mac_roman"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    stating=st.booleans(),
    packed=st.booleans(),
).filter(lambda dialect: dialect.thousands != dialect.decimal)
WORDS = st.text("abcXYZ 09-.,;|\t\"'/\néëïöüáäçÉÖœ€’…ß", max_size=8).map(str.strip)
PERSONS = st.tuples(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True),
    WORDS,
    st.floats(-2e6, 2e6, allow_nan=False) | st.floats(-2000, 2000),
    st.none() | st.datetimes(datetime(1970, 1, 2), datetime(2026, 12, 28)).map(lambda t: t.replace(hour=0)),  # noqa: DTZ001
    st.booleans(),
)


def _is_utf_8(path: Path) -> bool:
    """Tell whether a file with characters beyond ASCII can be read as UTF-8."""
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return not content.isascii()


@pytest.mark.promise("imports.odd-files")
@settings(max_examples=examples(150), deadline=None)
@given(DIALECTS, st.lists(PERSONS, min_size=1, max_size=6))
def test_a_table_of_any_dialect_says_the_same_or_is_refused(tmp_path_factory, dialect: Dialect, rows) -> None:
    path = tmp_path_factory.mktemp("dialect") / "people.csv"
    try:
        dialect.write(path, rows)
        assume(dialect.encoding.startswith("utf") or not _is_utf_8(path))  # no reader can tell which was meant
        read = rows_of(path)[0]
    except (Refused, UnicodeEncodeError):
        return
    for (id_, name, amount, day, flag), cells in zip(rows, read, strict=True):
        whole_day = None if day is None else datetime.strptime(f"{day:{dialect.day}}", dialect.day).replace(tzinfo=UTC)
        at = None if whole_day is None else round(whole_day.timestamp()) * 1_000_000
        expected = (id_, name.replace("\r\n", "\n") or None, float(f"{amount:.{dialect.digits}f}"), at, flag)
        assert cells == expected


@pytest.fixture
def short_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first two thousand bytes show how a file is written."""
    monkeypatch.setattr(table, "SAMPLE", 2000)


def long_file(path: Path, last: bytes, header: bytes = b"id;name;amount;day") -> int:
    """Write more rows than show how a file is written, and one that is written otherwise; return that one's row."""
    rows = [b"%d;Bo;1,5;13-02-2026" % n for n in range(200)]
    path.write_bytes(b"\n".join([header, *rows, last, b""]))
    return len(rows) + 2


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (
            "x;Zoë;1,5;13-02-2026".encode("cp1252"),
            "line {} is not in utf-8, as the rows before: state --encoding cp1252",
        ),
        (
            b"x;Bo;2.5;13-02-2026",
            "row {}, column amount: has a decimal point, and the column is read with decimal commas",
        ),
        (b"x;Bo;1,5;02/14/2026", "row {}, column day: is not a date day-month-year, as the column is read"),
        (b"x;Bo;1,5", "row {}, column (all): 3 cells, the header has 4, separated by `;`"),
        (b'x;"Bo;1,5;13-02-2026', "row {}, column (all): a quotation mark opens a cell and does not close it"),
    ],
    ids=["encoding", "decimals", "dates", "cells", "quotes"],
)
@pytest.mark.usefixtures("short_sample")
def test_a_later_row_that_contradicts_the_first_ones_is_named(tmp_path: Path, last: bytes, message: str) -> None:
    row = long_file(tmp_path / "long.csv", last)
    with pytest.raises(Refused) as refused:
        rows_of(tmp_path / "long.csv")
    assert message.format(row) in str(refused.value)


@pytest.mark.usefixtures("short_sample")
def test_a_later_letter_that_windows_has_not_is_named(tmp_path: Path) -> None:
    head = "id;name;amount;day\nx;Zoë;1,5;13-02-2026".encode("cp1252")
    row = long_file(tmp_path / "long.csv", b"x;Z\xa4g;1,5;13-02-2026", head)
    with pytest.raises(Refused, match=f"line {row + 1} is not in cp1252, as the rows before"):
        rows_of(tmp_path / "long.csv")
    assert len(rows_of(tmp_path / "long.csv", encoding="cp1252")[0]) == row


@pytest.mark.usefixtures("short_sample")
def test_recognising_reads_only_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "long.csv.gz"
    text = b"id;amount;day\n" + b"1;1,5;13-02-2026\n" * 50_000
    path.write_bytes(gzip.compress(text, 0)[:-100])
    assert open_table(path).how == "read as `;`-separated, gzip, decimal comma, dates day-month-year"
    with pytest.raises(Refused, match="is a damaged gzip file"):
        rows_of(path)


def test_rows_are_numbered_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    """Empty rows count, lines within a cell do not, nor does the line that states the separator."""
    path = tmp_path / "p.csv"
    path.write_text('sep=;\n\nid;name;amount\n1;"a\nb";1,5\n;;\n\n2;c;x\n3;d;2,5;5\n4;e;y\n')
    with pytest.raises(Refused) as refused:
        rows_of(path)
    assert "p.csv: row 7, column (all): 4 cells, the header has 3, separated by `;`" in str(refused.value)
    path.write_text(path.read_text().replace("3;d;2,5;5\n", ""))
    with pytest.raises(Refused, match="rows 6 and 7, column amount: 2 cells: is not a number"):
        rows_of(path)


@pytest.mark.parametrize(("flag", "row"), [(True, ("1", True)), ("x", ("1", None))])
def test_what_json_says_is_not_read_as_text(tmp_path: Path, flag: object, row: tuple[object, ...]) -> None:
    path = tmp_path / "p.json"
    path.write_text(f'[{{"id": "1", "flag": {str(flag).lower() if flag is True else chr(34) + "x" + chr(34)}}}]')
    if row[1] is None:
        with pytest.raises(Refused, match="row 1, column flag: is neither of the texts for true and false"):
            rows_of(path)
    else:
        assert rows_of(path)[0] == [row]


def test_a_column_of_numbers_and_of_texts_that_look_like_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "1", "amount": 1.234}\n{"id": "2", "amount": "1.234,5"}\n')
    with pytest.raises(Refused, match="column amount: some cells are numbers, and others are texts that look so"):
        rows_of(path)
    path.write_text('{"id": "1", "amount": 1.234}\n{"id": "2", "amount": ""}\n')
    assert rows_of(path)[0] == [("1", 1.234), ("2", None)]


def test_the_first_line_is_not_shown_where_it_is_about_somebody(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("jan@example.nl;Jansen,J\nbo@example.nl;Bos,B\n")
    with pytest.raises(Refused, match="the separator is not certain") as refused:
        rows_of(path)
    assert "jan@" not in str(refused.value)
