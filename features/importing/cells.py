"""Converts columns of text to typed columns, whole columns at a time, and reports the rows that do not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from decisioning.times import datetime_at, microseconds
from features.importing.mapping import Chance, Choice, FeatureColumn, OutcomeColumn, When
from features.importing.tables import Faults, Sheet, rows_of
from features.views import ARROW_TYPES, TIME

_FLOAT = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INT = r"^[+-]?[0-9]{1,18}(\.0*)?$"
_ID = r"^[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?$"


@dataclass
class CellReader:
    """Reads the columns of one sheet. Besides empty cells, the texts in `missing` mean "not known".

    Every method returns an array of shape (n,), n the number of rows. Cells that do not fit are reported to `faults`.
    """

    sheet: Sheet
    faults: Faults
    missing: tuple[str, ...]
    decimal: str
    zone: ZoneInfo
    now_us: int

    def text(self, column: str, missing: tuple[str, ...] | None = None) -> pa.Array:
        """Return cells as trimmed text, null where missing. `missing` replaces the sheet's own missing texts."""
        cells = self.sheet[column]
        if pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
        if pa.types.is_boolean(cells.type):
            cells = pc.if_else(cells, "true", "false")
        trimmed = pc.utf8_trim_whitespace(cells.cast(pa.string()))
        absent = pa.array([*(self.missing if missing is None else missing), ""], pa.string())
        return pc.if_else(pc.is_in(trimmed, value_set=absent), pa.scalar(None, pa.string()), trimmed)

    def report(self, column: str, bad: pa.Array, message: str) -> None:
        """Add a fault for each row where `bad` is true."""
        if rows := rows_of(bad):
            self.faults.add(self.sheet.file, column, [row + self.sheet.first_row for row in rows], message)

    def unique(self, what: str, *columns: pa.Array) -> None:
        """Report rows with the same cells in all `columns` as an earlier row; `what` names what they identify."""
        if _are_distinct(columns):
            return  # nearly always: which rows are the same takes a tuple for each
        first_rows: dict[tuple[object, ...], int] = {}
        for row, key in enumerate(zip(*(c.to_pylist() for c in columns), strict=True)):
            first = first_rows.setdefault(key, row)
            if first != row and None not in key:
                self.faults.add(self.sheet.file, "(all)", [row], f"the same {what} stands in row {first + 1}")

    def required(self, column: str, missing: tuple[str, ...] | None = None) -> None:
        """Report the rows where the column is empty."""
        self.report(column, self.text(column, missing).is_null(), "is empty")

    def ids(self, column: str) -> pa.Array:
        """Return ids of customers, accounts or contacts; report those that are empty or malformed."""
        self.required(column, ())
        cells = self.text(column, ())
        bad = pc.invert(pc.match_substring_regex(cells, _ID))
        self.report(column, bad, "is not an id of 1 to 128 printable ASCII characters")
        return cells

    def number(self, column: str, *, whole: bool = False, missing: tuple[str, ...] | None = None) -> pa.Array:
        """Return float64, or int64 if `whole`; null where missing."""
        cells, dtype = self.text(column, missing), pa.int64() if whole else pa.float64()
        original = self.sheet[column]
        if pa.types.is_integer(original.type) or (pa.types.is_floating(original.type) and not whole):
            numbers = pc.if_else(cells.is_null(), pa.scalar(None, dtype), original.cast(dtype))
        else:
            numbers = self._parsed_numbers(column, cells, whole=whole).cast(dtype)
        if not whole:
            self.report(column, pc.invert(pc.is_finite(numbers)), "is not a finite number")
        return numbers

    def _parsed_numbers(self, column: str, cells: pa.Array, *, whole: bool) -> pa.Array:
        """Return texts that Arrow casts to a number, null where missing or malformed."""
        plain = pc.replace_substring(cells, ",", ".") if self.decimal == "," else cells
        bad = pc.invert(pc.match_substring_regex(plain, _INT if whole else _FLOAT))
        self.report(column, bad, "is not a whole number" if whole else "is not a number")
        valid = pc.if_else(bad, pa.scalar(None, pa.string()), plain)
        return pc.replace_substring_regex(valid, r"^\+|\.0*$" if whole else r"^\+", "")

    def flag(
        self, column: str, true: tuple[str, ...], false: tuple[str, ...], missing: tuple[str, ...] | None
    ) -> pa.Array:
        """Return bool, null where missing; `true` and `false` are the texts for each, in any case."""
        cells = pc.utf8_lower(self.text(column, missing))
        yes, no = (pc.is_in(cells, value_set=pa.array([w.lower() for w in words])) for words in (true, false))
        valid = pc.or_(yes, no)
        self.report(column, pc.and_(pc.invert(valid), cells.is_valid()), "is neither of the texts for true and false")
        return pc.if_else(valid, yes, pa.scalar(None, pa.bool_()))

    def translated(
        self, column: str, values: Mapping[str, str], what: str, missing: tuple[str, ...] | None = None
    ) -> pa.Array:
        """Return the cells as `values` translates them; null, and reported, for texts that it does not hold."""
        cells = self.text(column, missing)
        index = pc.index_in(cells, value_set=pa.array(values, pa.string()))
        self.report(column, pc.and_(index.is_null(), cells.is_valid()), f"the mapping names no {what} for this text")
        return pa.array(list(values.values()), pa.string()).take(index)

    def moment(self, column: str, form: str | None, missing: tuple[str, ...] | None = None) -> pa.Array:
        """Return int64 microseconds UTC, null where missing. Times outside 1970 to now are reported.

        `form` is a strptime format, None for ISO 8601.
        """
        type_ = self.sheet[column].type
        if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
            us = self._typed_times(column)
        else:
            cells = self.text(column, missing)
            texts = cells.dictionary_encode()
            parsed = [self._parsed_time(text, form) for text in texts.dictionary.to_pylist()]
            us = pa.array(parsed, pa.int64()).take(texts.indices)
            self.report(column, pc.and_(us.is_null(), cells.is_valid()), f"is not a time ({form or 'ISO 8601'})")
        self.report(column, pc.or_(pc.less(us, 0), pc.greater(us, self.now_us)), "is not between 1970 and now")
        return us

    def _typed_times(self, column: str) -> pa.Array:
        """Return a column of Arrow times as int64 microseconds UTC; times without a zone are in the mapping's."""
        cells = self.sheet[column]
        zone = getattr(cells.type, "tz", None)
        us = cells.cast(pa.timestamp("us", zone)).cast(pa.int64())
        if zone is not None:
            return us
        return pa.array([None if v is None else self._in_zone(datetime_at(v)) for v in us.to_pylist()], pa.int64())

    def _parsed_time(self, text: str, form: str | None) -> int | None:
        try:
            time = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007  zoned below
            return self._in_zone(time) if time.tzinfo is None else microseconds(time)
        except (ValueError, OverflowError):
            return None

    def _in_zone(self, naive: datetime) -> int:
        return microseconds(naive.replace(tzinfo=self.zone).astimezone(UTC))

    def when(self, when: When) -> pa.Array:
        """Return int64 microseconds UTC of every row."""
        if when.column is None:
            return self.constant(microseconds(when.time) if when.time else 0, pa.int64())
        self.required(when.column)
        return self.moment(when.column, when.format)

    def choice(self, choice: Choice, what: str) -> pa.Array:
        """Return the chosen name of every row; `what` names the kind of choice in faults."""
        if choice.column is None:
            return self.constant(choice.name, pa.string())
        self.required(choice.column, ())
        return self.translated(choice.column, choice.values, what, ())

    def chance(self, chance: Chance | None) -> pa.Array:
        """Return float64 in (0, 1], null where no probability was logged."""
        if chance is None or chance.column is None:
            return self.constant(chance.value if chance else None, pa.float64())
        self.required(chance.column)
        cells = self.number(chance.column)
        outside = pc.or_(pc.less_equal(cells, 0.0), pc.greater(cells, 1.0))
        self.report(chance.column, outside, "is not a probability above 0")
        return cells

    def happened(self, outcome: OutcomeColumn) -> pa.Array:
        """Return bool: whether the outcome happened."""
        self.required(outcome.column, () if outcome.positive is not None else None)
        if outcome.positive is not None:
            return pc.is_in(self.text(outcome.column, ()), value_set=pa.array(outcome.positive, pa.string()))
        return pc.greater(self.number(outcome.column), outcome.above)

    def feature(self, spec: FeatureColumn) -> pa.Array:
        """Return a feature's cells in its Arrow type; report cells outside the stated range or values."""
        if spec.dtype == "timestamp":
            return self.moment(spec.column, spec.format, spec.missing)
        if spec.dtype == "bool":
            return self.flag(spec.column, spec.true, spec.false, spec.missing)
        if spec.dtype in ("int", "float"):
            return self._number_in_range(spec)
        return self._text_among_values(spec).cast(ARROW_TYPES[spec.dtype])

    def _number_in_range(self, spec: FeatureColumn) -> pa.Array:
        cells = self.number(spec.column, whole=spec.dtype == "int", missing=spec.missing)
        if spec.min is not None:
            self.report(spec.column, pc.less(cells, spec.min), f"is below the minimum of {spec.name}")
        if spec.max is not None:
            self.report(spec.column, pc.greater(cells, spec.max), f"is above the maximum of {spec.name}")
        return cells

    def _text_among_values(self, spec: FeatureColumn) -> pa.Array:
        if spec.map:
            cells = self.translated(spec.column, spec.map, f"value of {spec.name}", spec.missing)
        else:
            cells = self.text(spec.column, spec.missing)
        if spec.values:
            other = pc.invert(pc.is_in(cells, value_set=pa.array(spec.values, pa.string())))
            self.report(spec.column, pc.and_(other, cells.is_valid()), f"is not one of the values of {spec.name}")
        return cells

    def constant(self, value: object, dtype: pa.DataType) -> pa.Array:
        """Return `value` in every row."""
        return pa.repeat(pa.scalar(value, dtype), len(self.sheet))


def as_time(us: pa.Array) -> pa.Array:
    """Return int64 microseconds as Arrow timestamps UTC."""
    return us.cast(TIME)


def _are_distinct(columns: Sequence[pa.Array]) -> bool:
    """Tell whether no two rows have the same cells in all columns."""
    table = pa.table({str(n): column for n, column in enumerate(columns)})
    groups = table.group_by(table.column_names, use_threads=False).aggregate([])
    return bool(groups.num_rows == table.num_rows)
