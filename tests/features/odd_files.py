"""Small files as people have them, each with what an import has to make of it: its rows, or what to do."""

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

PEOPLE: list[tuple[Any, ...]] = [
    ("00101", "Zoë Bos", 1234.56, "2026-02-13", True),
    ("00102", "André Vos", 0.5, "2026-02-01", False),
    ("00103", "Jan Smit", 12500.0, None, None),
]
"""What each file says that can be read: id, name, amount, day and flag."""
NAMES = ("id", "name", "amount", "day", "flag")


class OddFile(NamedTuple):
    """A file by name, how it is written, and the line that it is refused with, or what the line of reading holds."""

    name: str
    write: Callable[[Path], object]
    read: str = ""
    refused: str = ""
    stated: dict[str, str] = {}


def text(content: str, encoding: str = "utf-8", pack: Callable[[bytes], bytes] = bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pack(content.encode(encoding)))


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def dutch(separator: str = ";", day: str = "-", yes: str = "ja", no: str = "nee") -> str:
    """Return the people as Excel saves them in the Netherlands."""
    rows = [
        ("id", "name", "amount", "day", "flag"),
        ("00101", "Zoë Bos", "1.234,56", f"13{day}02{day}2026", yes),
        ("00102", "André Vos", "0,5", f"01{day}02{day}2026", no),
        ("00103", "Jan Smit", "12.500,00", "", ""),
    ]
    return "".join(separator.join(row) + "\r\n" for row in rows)


ENGLISH = (
    "id,name,amount,day,flag\n"
    '00101,Zoë Bos,"1,234.56",2026-02-13,yes\n00102,André Vos,.5,2026-02-01,no\n00103,Jan Smit,"12,500.00",,\n'
)
AMERICAN = ENGLISH.replace("2026-02-13", "02/13/2026").replace("2026-02-01", "2/1/2026").replace("yes", "TRUE")
AMERICAN = AMERICAN.replace(",no\n", ",FALSE\n")
YEARS = ("2025", "2026")
UNSURE = "id;day\n00101;01/02/2026\n00102;03/02/2026\n"


def zipped(content: bytes, names: tuple[str, ...] = ("people.csv",)) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, content)
    return packed.getvalue()


def indexed(content: str) -> str:
    """Return the text with the row numbers that some programs write in a column without a name."""
    header, *rows = content.splitlines()
    return f",{header}\n" + "".join(f"{n},{row}\n" for n, row in enumerate(rows))


def json_people() -> list[dict[str, Any]]:
    return [dict(zip(NAMES, person, strict=True)) for person in PEOPLE]


def workbook(path: Path, *, sheets: tuple[str, ...] = ("Blad1",), above: int = 0, total: bool = False) -> None:
    """Write the people to each of the sheets, ids as text, days as serial numbers that a format shows as dates."""
    with xlsxwriter.Workbook(str(path)) as book:
        day, as_text = book.add_format({"num_format": "dd-mm-yyyy"}), book.add_format({"num_format": "@"})
        for name in sheets:
            sheet = book.add_worksheet(name)
            sheet.write_row(above, 0, NAMES)
            for n, (id_, who, amount, when, flag) in enumerate(PEOPLE, above + 1):
                sheet.write_string(n, 0, id_, as_text)
                sheet.write(n, 1, who)
                sheet.write_number(n, 2, amount)
                if when:
                    sheet.write_datetime(n, 3, datetime.fromisoformat(when), day)
                    sheet.write_boolean(n, 4, flag)
            if total:
                sheet.write_row(above + 4, 0, ["Totaal", "", 13735.06])
        book.add_worksheet("leeg")


def numbers_as_ids(path: Path) -> None:
    """Write a workbook whose ids are numbers, one of them too long to be exact."""
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", "amount"])
        sheet.write_row(1, 0, [101, 1.5])
        sheet.write_row(2, 0, [12345678901234567, 1.5])


def shown_zeros(path: Path) -> None:
    """Write a workbook whose ids are numbers that a format shows with leading zeros, beside a column without."""
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_row(1, 1, ["amount", "id"])
        for n in (2, 3):
            sheet.write_number(n, 1, 1.5)
            sheet.write_number(n, 2, n, book.add_format({"num_format": "00000"}))


def parquet(path: Path) -> None:
    """Write the people with types that hold the same otherwise: decimals, codes, large text, a zone."""
    ids, names, amounts, days, flags = map(list, zip(*PEOPLE, strict=True))
    table = {
        "id": pa.array(ids).dictionary_encode(),
        "name": pa.array(names, pa.large_string()),
        "amount": pa.array([Decimal(str(a)).quantize(Decimal("0.01")) for a in amounts], pa.decimal128(12, 2)),
        "day": pa.array([d and datetime.fromisoformat(d) for d in days], pa.timestamp("ms")).cast(
            pa.timestamp("ms", "UTC")
        ),
        "flag": pa.array(flags).cast(pa.int8()),
    }
    pq.write_table(pa.table(table), path)


def nested(path: Path) -> None:
    pq.write_table(pa.table({"id": ["00101"], "name": [["Zoë"]]}), path)


def cut_parquet(path: Path) -> None:
    parquet(path)
    path.write_bytes(path.read_bytes()[:-100])


RUBBISH = random.Random(1).randbytes(5_000)
LINES = "".join(json.dumps(row) + "\n" for row in json_people())
READ: list[OddFile] = [
    OddFile("excel-nl.csv", text(dutch(), "utf-8-sig"), "`;`-separated, decimal comma, dates day-month-year"),
    OddFile("excel-nl-1252.csv", text(dutch(), "cp1252"), "`;`-separated, cp1252, decimal comma"),
    OddFile("excel-sep.csv", text("sep=;\r\n" + dutch(), "cp1252"), "`;`-separated (by `sep=`)"),
    OddFile("excel-unicode.txt", text(dutch("\t"), "utf-16"), "tab-separated, utf-16-le"),
    OddFile("pipe.csv", text(dutch("|", "/")), "`|`-separated"),
    OddFile("points.csv", text(dutch(day=".", yes="1", no="0")), "dates day-month-year"),
    OddFile("excel-en.csv", text(ENGLISH), "`,`-separated, decimal point"),
    OddFile("american.csv", text(AMERICAN), "dates month-day-year"),
    OddFile("packed.csv.gz", text(dutch(), "cp1252", gzip.compress), "cp1252, gzip"),
    OddFile("packed.zip", text(ENGLISH, pack=zipped), "zip"),
    OddFile("lines.jsonl", text(LINES), "JSON lines"),
    OddFile("array.json", text(json.dumps(json_people(), indent=2)), "a JSON array"),
    OddFile("lines.json.gz", text(LINES, pack=gzip.compress), "JSON lines, gzip"),
    OddFile("people.xlsx", workbook, "a workbook, sheet Blad1"),
    OddFile("people-below.xlsx", lambda path: workbook(path, above=3), "a workbook"),
    OddFile("years.xlsx", lambda path: workbook(path, sheets=YEARS), stated={"sheet": "2026"}),
    OddFile("odd-types.parquet", parquet, "Parquet"),
    OddFile("renamed.csv", parquet, "Parquet"),
    OddFile("spaces.csv", text(dutch().replace("name;", " name \u00a0;").replace("id;", "\ufeffid;", 1))),
    OddFile("empty-columns.csv", text(dutch().replace("\r\n", ";;\r\n")), "2 columns without a name left out"),
    OddFile("empty-rows.csv", text("\n" + dutch().replace("00103", ";;;;\r\n\r\n00103") + ";;;;\r\n;;;;\r\n")),
    OddFile("index.csv", text(indexed(ENGLISH)), "1 column without a name left out"),
    OddFile("quoted.csv", text(ENGLISH.replace("Jan Smit", '"Jan Smit"').replace("id,", '"id",'))),
    OddFile("old-mac.csv", text(dutch().replace("\r\n", "\r"))),
    OddFile("stated.csv", text(UNSURE), stated={"dates": "day-month-year"}),
]
_SINGLE = "id;name\n1;{}\n"
_NO_ENCODING = "in which encoding it is cannot be told: state --encoding cp1252 (in a mapping: `encoding`)"
REFUSED: list[OddFile] = [
    OddFile(name, write, refused=refused)
    for name, write, refused in [
        ("years.xlsx", lambda path: workbook(path, sheets=YEARS), "state --sheet '2025'"),
        ("ambiguous.csv", text(UNSURE), "column day: 2 cells: may be day-month-year or month-day-year"),
        ("mixed.csv", text(dutch().replace("01-02-2026", "2026-02-01")), "write all dates of a column alike"),
        ("thousands.csv", text("id;amount\n1;1.234\n2;2.500\n"), "of thousands or of decimals: state `decimal`"),
        ("total.csv", text(dutch() + "Totaal;;13.735,06;;\r\n"), "row 5, the last one, holds totals: remove it"),
        ("total.xlsx", lambda path: workbook(path, total=True), "row 5, the last one, holds totals"),
        ("twice.csv", text(dutch().replace("name", "amount", 1)), "two columns called amount: rename one"),
        ("title.csv", text("Klanten;;;;\r\n" + dutch()), "names 1 of 5 columns: remove what stands above"),
        ("headline.csv", text("Klanten\r\n" + dutch()), "remove what stands above it"),
        ("doubt.csv", text("a;b,c\n1;2,3\n"), "`,` and `;` would do). The first line is: a;b,c; state --separator"),
        ("cyrillic.csv", text(_SINGLE.format("Привет"), "cp1251"), _NO_ENCODING),
        ("polish.csv", text(_SINGLE.format("Łódź"), "cp1250"), _NO_ENCODING),
        ("dos.csv", text(_SINGLE.format("André"), "cp850"), _NO_ENCODING),
        ("mac.csv", text(_SINGLE.format("Köln"), "mac_roman"), _NO_ENCODING),
        ("no-mark.csv", text(dutch(), "utf-16-le"), "UTF-16 without a byte order mark: state --encoding utf-16-le"),
        ("long-ids.xlsx", numbers_as_ids, "column id: 2 cells: is a number with decimals, which changes ids"),
        ("zeros.xlsx", shown_zeros, "rows 3 and 4, column id: 2 cells: is shown with leading zeros by a format"),
        ("nested.parquet", nested, "column name: holds lists, records or bytes"),
        ("cut.parquet", cut_parquet, "it is not a Parquet file, or cut off"),
        ("cut.csv.gz", text(dutch(), pack=lambda b: gzip.compress(b)[:-20]), "is a damaged gzip file: it is cut off"),
        ("cut.jsonl", text(LINES[:-9]), "row 3, column (all): is not a JSON object"),
        ("cut.json", text(json.dumps(json_people())[:-9]), "the array is cut off, or is no JSON after"),
        ("two.zip", data(zipped(b"id;x\n", ("a.csv", "b.csv"))), "holds 2 files, and one is read"),
        ("rubbish.csv", data(RUBBISH), "is no table: it is neither text"),
        ("rubbish.xlsx", data(b"PK\x03\x04" + RUBBISH), "is a damaged workbook"),
        ("rubbish.xls", data(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + RUBBISH), "is a damaged workbook"),
        ("page.xls", text("<html><table><tr><td>id</td></tr></table></html>"), "save it as xlsx"),
        ("empty.csv", data(b""), "is empty"),
        ("empty.csv.gz", data(gzip.compress(b"")), "is empty"),
        ("header.csv", text(dutch().split("\r\n")[0] + "\r\n"), "holds no rows"),
        ("brackets.json", text("{"), "is not JSON: write one object on each line"),
        ("nothing.json", text("[]"), "holds no rows"),
    ]
]
FILES = [
    *READ,
    *REFUSED,
    OddFile("wrong.csv", text(dutch()), refused="`;` makes 5 columns of it", stated={"separator": "tab"}),
]
