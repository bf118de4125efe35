"""How a table was read, in one line; and the forms of its columns, as its first rows show them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from features.importing.opening.stated import Stated
from features.importing.tables.dates import DateOrder, DatesSeen, dates_seen
from features.importing.tables.marks import MarksSeen, marks_seen
from features.importing.tables.sheets import WITH_POINT, ColumnForm

_DATES = 2_000
"""Different texts of a column that are looked at."""


@dataclass(frozen=True)
class ColumnsSeen:
    """What the first rows of a table show of its columns of text, by name."""

    marks: Mapping[str, MarksSeen]
    dates: Mapping[str, DatesSeen]

    def forms(self, stated: Stated, *, points: bool) -> dict[str, ColumnForm]:
        """Return how each column is written.

        :param points: a number of which nothing shows the mark has a decimal point, unless others have commas: it was
            written by a program, or a comma separates the cells
        """
        order = self._usual_order()
        return {name: self._form(name, stated, order, points=points) for name in self.marks}

    def _form(self, name: str, stated: Stated, order: DateOrder | None, *, points: bool) -> ColumnForm:
        dates = _order(self.dates[name], stated.dates, order)
        others = {m.decimal for m in self.marks.values() if m.numeric and m.decimal and not m.both}
        sure = stated.decimal or self.marks[name].decimal or ("," if others == {","} else None)
        if sure is None and points and "," not in others:
            return ColumnForm(".", "." in others, dates)
        return ColumnForm(sure, sure is not None, dates)

    def _usual_order(self) -> DateOrder | None:
        shown = {d.order for d in self.dates.values() if d.order not in (None, "year-month-day")}
        return shown.pop() if len(shown) == 1 else None

    def words(self, stated: Stated) -> list[str]:
        """Return what to tell of the marks and dates, such as `decimal comma` and `dates day-month-year`."""
        names = {".": "point", ",": "comma"}
        marks = {m.decimal: None for m in self.marks.values() if m.numeric and m.decimal}
        decimals = [stated.decimal] if stated.decimal else [m for m in marks if m]
        orders = {d.order: None for d in self.dates.values() if d.order and d.order != "year-month-day"}
        return [
            *(["decimal " + " or ".join(names[m] for m in decimals)] if decimals else []),
            *(["dates " + " or ".join(filter(None, orders))] if orders else []),
        ]


def _order(seen: DatesSeen, stated: DateOrder | None, usual: DateOrder | None) -> DateOrder | None:
    """Return the order of a column's dates; a column of dates that begin with the year is so whatever is stated."""
    if seen.order == "year-month-day":
        return seen.order
    return stated or seen.order or usual


def columns_seen(sample: pa.Table) -> ColumnsSeen:
    """Return what the first rows show."""
    texts = {
        field.name: pc.utf8_trim_whitespace(column.combine_chunks())
        for column, field in zip(sample.columns, sample.schema, strict=True)
        if pa.types.is_string(column.type) and field.metadata != WITH_POINT
    }
    return ColumnsSeen(
        {name: marks_seen(cells) for name, cells in texts.items()},
        {name: dates_seen(pc.unique(cells).to_pylist()[:_DATES]) for name, cells in texts.items()},
    )
