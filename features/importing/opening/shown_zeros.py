"""Columns of a workbook whose numbers are shown with leading zeros that are not in the cells, as a format adds them."""

import re
import zipfile
from pathlib import Path
from typing import Final

_FORMATS: Final = re.compile(rb'<numFmt numFmtId="(\d+)" formatCode="0{2,}"')
_STYLES: Final = re.compile(rb"<cellXfs.*?</cellXfs>", re.DOTALL)
_STYLE: Final = re.compile(rb'<xf numFmtId="(\d+)"')
_CELL: Final = re.compile(rb'<c r="([A-Z]+)\d+" s="(\d+)"(?: t="n")?>')
_LETTERS: Final = 26


def zero_padded(path: Path) -> set[int]:
    """Return the positions of such columns, counted from 0, in any sheet; none for workbooks other than xlsx."""
    try:
        with zipfile.ZipFile(path) as book:
            padding = _padding_styles(book.read("xl/styles.xml"))
            sheets = [n for n in book.namelist() if n.startswith("xl/worksheets/sheet")] if padding else []
            cells = (match for name in sheets for match in _CELL.finditer(book.read(name)))
            return {_position(match.group(1)) for match in cells if int(match.group(2)) in padding}
    except (zipfile.BadZipFile, KeyError):
        return set()


def _padding_styles(styles: bytes) -> set[int]:
    formats = set(_FORMATS.findall(styles))
    used = _STYLES.search(styles)
    numbers = _STYLE.findall(used.group()) if used and formats else []
    return {n for n, format_ in enumerate(numbers) if format_ in formats}


def _position(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * _LETTERS + letter - ord("A") + 1
    return number - 1
