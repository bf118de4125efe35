"""The separator of a CSV file, recognised from its first rows; what is not certain is refused."""

import csv
import io
import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

from decisioning.errors import Refused
from features.importing.opening.stated import state

CANDIDATES: Final = (",", ";", "\t", "|")
NAMES: Final = {"\t": "tab"}
_ROWS: Final = 200
_STATING: Final = re.compile(r'"?sep=([^"\r\n])"?[;,\t]*(?:\r\n|\r|\n|$)', re.IGNORECASE)
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_NOTHING: Final = ' \t",;|'
"""The characters of a line that holds only separators."""
NOT_SHOWN: Final = "(not shown, as the first row holds data, and not only names of columns)"
_LONGEST_SHOWN: Final = 120
_DATA: Final = re.compile(r"@|^[+-]?\d+([.,/: -]\d+)*$")


@dataclass(frozen=True)
class CsvLayout:
    """How a CSV file is laid out: its separator, the text before its header, and the row of the header.

    `header_row` counts as a program of spreadsheets does: without a line `sep=;`, and with empty ones.
    """

    separator: str
    above: str = ""
    header_row: int = 1
    states_separator: bool = False


def layout(name: str, text: str, stated: str | None) -> CsvLayout:
    """Return the layout of a CSV file from the text of its beginning. Raises Refused where it is not certain."""
    match = _STATING.match(text)
    above = _above_header(text, match.end() if match else 0)
    if above == text:
        raise Refused(f"{name} holds no rows")
    if match and stated not in (None, match.group(1)):
        raise Refused(f"{name} begins with `sep={match.group(1)}`, and another separator is stated: leave it out")
    separator = stated or (match.group(1) if match else None)
    if separator is None:
        separator = _recognised(name, text[len(above) :])
    else:
        _refuse_wrong(name, text[len(above) :], separator)
    return CsvLayout(separator, above, len(_LINE_END.findall(above)) + 1 - bool(match), match is not None)


def _refuse_wrong(name: str, text: str, separator: str) -> None:
    """Refuse a separator that stands nowhere in the header, if another one would make columns of it."""
    if _widths(text, separator)[:1] != [1]:
        return
    better = [c for c in CANDIDATES if c != separator and _fits(_widths(text, c))]
    if len(better) == 1:
        columns, other = _widths(text, better[0])[0], called(better[0])
        raise Refused(
            f"{name}: the separator is stated as {called(separator)}, which the header does not hold; {other} makes "
            f"{columns} columns of it: {state('separator', _typed(better[0]))}, or leave it out"
        )


def _recognised(name: str, text: str) -> str:
    widths = {c: _widths(text, c) for c in CANDIDATES}
    in_header = [c for c in CANDIDATES if widths[c][0] > 1]
    plain = [c for c in in_header if not _is_punctuation(text, c)]
    fitting = [c for c in plain or in_header if _fits(widths[c])]
    if len(fitting) == 1:
        return fitting[0]
    if len(in_header) == 1 and _fits_mostly(widths[in_header[0]]):
        return in_header[0]  # rows of another length are told by their numbers
    if not in_header and all(max(w) == 1 for w in widths.values()):
        return ","  # there is one column
    raise Refused(_uncertain(name, text, fitting or in_header))


def _uncertain(name: str, text: str, candidates: list[str]) -> str:
    which = " and ".join(map(called, candidates)) + " would do" if len(candidates) > 1 else "none fits all rows"
    lone = "" if candidates else "; the first line has to name the columns: remove what stands above it"
    return (
        f"{name}: the separator is not certain ({which}{lone}). The first line is: {shown(_first_line(text))}; "
        f"{state('separator')}, such as ; or tab"
    )


def shown(line: str) -> str:
    """Return a first line, or names of columns from it, for a message, unless there is data of a customer in it."""
    if any(_DATA.search(cell.strip(' "')) for cell in re.split(r"[,;\t|]", line)):
        return NOT_SHOWN
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"


def called(separator: str) -> str:
    """Return the name of a separator for a message."""
    return NAMES.get(separator, f"`{separator}`")


def _typed(separator: str) -> str:
    return NAMES.get(separator, f"'{separator}'")


def _widths(text: str, separator: str) -> list[int]:
    """Return the number of cells of each of the first rows that hold something; the header's comes first."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return [len(cells) for cells in islice(rows, _ROWS) if cells] or [1]
    except csv.Error:
        return [1]


def _fits(widths: list[int]) -> bool:
    return widths[0] > 1 and len(set(widths)) == 1


def _fits_mostly(widths: list[int]) -> bool:
    return widths.count(widths[0]) * 2 >= len(widths)


def _is_punctuation(text: str, separator: str) -> bool:
    """Tell whether a character of the header is punctuation within names: a space follows it everywhere."""
    header = _first_line(text)
    return all(part.startswith(" ") for part in header.split(separator)[1:])


def _above_header(text: str, start: int) -> str:
    """Return the text before the first line that holds something; all of it if there is none."""
    for match in _LINE_END.finditer(text, start):
        if text[start : match.start()].strip(_NOTHING):
            return text[:start]
        start = match.end()
    return text[:start] if text[start:].strip(_NOTHING) else text


def _first_line(text: str) -> str:
    return _LINE_END.split(text, 1)[0]
