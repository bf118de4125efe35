"""Columns of text -> typed columns, whole columns at a time; what does not fit is noted, by row."""

from collections.abc import Mapping
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
class Reader:
    """Reads the columns of one sheet; `missing` are the texts that mean "not known", beside an empty cell."""

    sheet: Sheet
    faults: Faults
    missing: tuple[str, ...]
    decimal: str
    zone: ZoneInfo
    now_us: int

    def text(self, column: str, missing: tuple[str, ...] | None = None) -> pa.Array:
        """Cells as trimmed text, null where missing."""
        cells = self.sheet[column]
        if pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
        if pa.types.is_boolean(cells.type):
            cells = pc.if_else(cells, "true", "false")
        trimmed = pc.utf8_trim_whitespace(cells.cast(pa.string()))
        absent = pa.array([*(self.missing if missing is None else missing), ""], pa.string())
        return pc.if_else(pc.is_in(trimmed, value_set=absent), pa.scalar(None, pa.string()), trimmed)

    def note(self, column: str, bad: pa.Array, message: str) -> None:
        """Remember the rows where `bad` is true."""
        if rows := rows_of(bad):
            self.faults.add(self.sheet.file, column, rows, message)

    def once(self, what: str, *columns: pa.Array) -> None:
        """Note rows that say the same thing as an earlier one about the same `what`."""
        first: dict[tuple[object, ...], int] = {}
        for row, key in enumerate(zip(*(c.to_pylist() for c in columns), strict=True)):
            known = first.setdefault(key, row)
            if known != row and None not in key:
                self.faults.add(self.sheet.file, "(all)", [row], f"the same {what} stands in row {known + 1}")

    def required(self, column: str, missing: tuple[str, ...] | None = None) -> None:
        """Note the rows where the column is empty."""
        self.note(column, self.text(column, missing).is_null(), "is empty")

    def ids(self, column: str) -> pa.Array:
        """Ids of customers, accounts or contacts."""
        self.required(column, ())
        cells = self.text(column, ())
        bad = pc.invert(pc.match_substring_regex(cells, _ID))
        self.note(column, bad, "is not an id of 1 to 128 printable ASCII characters")
        return cells

    def number(self, column: str, *, whole: bool = False, missing: tuple[str, ...] | None = None) -> pa.Array:
        """float64, or int64 if `whole`; null where missing."""
        cells, kind = self.text(column, missing), pa.int64() if whole else pa.float64()
        own = self.sheet[column]
        if pa.types.is_integer(own.type) or (pa.types.is_floating(own.type) and not whole):
            numbers = own.cast(kind)
            shown = pc.if_else(cells.is_null(), pa.scalar(None, kind), numbers)
        else:
            plain = pc.replace_substring(cells, ",", ".") if self.decimal == "," else cells
            bad = pc.invert(pc.match_substring_regex(plain, _INT if whole else _FLOAT))
            self.note(column, bad, "is not a whole number" if whole else "is not a number")
            good = pc.if_else(bad, pa.scalar(None, pa.string()), plain)
            shown = (
                pc.replace_substring_regex(good, r"^\+|\.0*$", "")
                if whole
                else pc.replace_substring_regex(good, r"^\+", "")
            )
            shown = shown.cast(kind)
        if not whole:
            self.note(column, pc.invert(pc.is_finite(shown)), "is not a finite number")
        return shown

    def flag(
        self, column: str, true: tuple[str, ...], false: tuple[str, ...], missing: tuple[str, ...] | None
    ) -> pa.Array:
        """bool; null where missing."""
        cells = pc.utf8_lower(self.text(column, missing))
        yes, no = (pc.is_in(cells, value_set=pa.array([w.lower() for w in words])) for words in (true, false))
        known = pc.or_(yes, no)
        self.note(column, pc.and_(pc.invert(known), cells.is_valid()), "is neither of the texts for true and false")
        return pc.if_else(known, yes, pa.scalar(None, pa.bool_()))

    def translated(
        self, column: str, values: Mapping[str, str], what: str, missing: tuple[str, ...] | None = None
    ) -> pa.Array:
        """Text through a table; what is not in it is noted, and null."""
        cells = self.text(column, missing)
        at = pc.index_in(cells, value_set=pa.array(values, pa.string()))
        self.note(column, pc.and_(at.is_null(), cells.is_valid()), f"the mapping names no {what} for this text")
        return pa.array(list(values.values()), pa.string()).take(at)

    def moment(self, column: str, form: str | None, missing: tuple[str, ...] | None = None) -> pa.Array:
        """int64 microseconds UTC; null where missing. Between 1970 and now, as nothing is known of the future."""
        own = self.sheet[column]
        if pa.types.is_timestamp(own.type) or pa.types.is_date(own.type):
            us = own.cast(pa.timestamp("us", getattr(own.type, "tz", None))).cast(pa.int64())
            if getattr(own.type, "tz", None) is None:
                us = pa.array(
                    [None if v is None else self._local(datetime_at(v)) for v in us.to_pylist()],
                    pa.int64(),
                )
        else:
            cells = self.text(column, missing)
            words = cells.dictionary_encode()
            parsed = [self._parsed(word, form) for word in words.dictionary.to_pylist()]
            us = pa.array(parsed, pa.int64()).take(words.indices)
            self.note(column, pc.and_(us.is_null(), cells.is_valid()), f"is not a time ({form or 'ISO 8601'})")
        self.note(column, pc.or_(pc.less(us, 0), pc.greater(us, self.now_us)), "is not between 1970 and now")
        return us

    def _parsed(self, word: str, form: str | None) -> int | None:
        try:
            found = datetime.strptime(word, form) if form else datetime.fromisoformat(word)  # noqa: DTZ007  zoned below
            return self._local(found) if found.tzinfo is None else microseconds(found)
        except (ValueError, OverflowError):
            return None

    def _local(self, naive: datetime) -> int:
        return microseconds(naive.replace(tzinfo=self.zone).astimezone(UTC))

    def when(self, when: When) -> pa.Array:
        """int64 microseconds of every row."""
        if when.column is None:
            return self.constant(microseconds(when.time) if when.time else 0, pa.int64())
        self.required(when.column)
        return self.moment(when.column, when.format)

    def choice(self, choice: Choice, what: str) -> pa.Array:
        """Names of every row."""
        if choice.column is None:
            return self.constant(choice.name, pa.string())
        self.required(choice.column, ())
        return self.translated(choice.column, choice.values, what, ())

    def chance(self, chance: Chance | None) -> pa.Array:
        """float64 in (0, 1]; null where nobody logged it."""
        if chance is None or chance.column is None:
            return self.constant(chance.value if chance else None, pa.float64())
        self.required(chance.column)
        cells = self.number(chance.column)
        outside = pc.or_(pc.less_equal(cells, 0.0), pc.greater(cells, 1.0))
        self.note(chance.column, outside, "is not a probability above 0")
        return cells

    def happened(self, outcome: OutcomeColumn) -> pa.Array:
        """bool: whether the outcome came."""
        self.required(outcome.column, () if outcome.positive is not None else None)
        if outcome.positive is not None:
            return pc.is_in(self.text(outcome.column, ()), value_set=pa.array(outcome.positive, pa.string()))
        return pc.greater(self.number(outcome.column), outcome.above)

    def feature(self, spec: FeatureColumn) -> pa.Array:
        """A feature's cells, of its Arrow type; stated ranges and values are checked."""
        column, missing = spec.column, spec.missing
        if spec.dtype == "timestamp":
            return self.moment(column, spec.format, missing)
        if spec.dtype == "bool":
            return self.flag(column, spec.true, spec.false, missing)
        if spec.dtype in ("int", "float"):
            cells = self.number(column, whole=spec.dtype == "int", missing=missing)
            if spec.min is not None:
                self.note(column, pc.less(cells, spec.min), f"is below the minimum of {spec.name}")
            if spec.max is not None:
                self.note(column, pc.greater(cells, spec.max), f"is above the maximum of {spec.name}")
            return cells
        cells = (
            self.translated(column, spec.map, f"value of {spec.name}", missing)
            if spec.map
            else self.text(column, missing)
        )
        if spec.values:
            known = pc.is_in(cells, value_set=pa.array(spec.values, pa.string()))
            self.note(column, pc.and_(pc.invert(known), cells.is_valid()), f"is not one of the values of {spec.name}")
        return cells.cast(ARROW_TYPES[spec.dtype])

    def constant(self, value: object, kind: pa.DataType) -> pa.Array:
        """The same in every row."""
        return pa.repeat(pa.scalar(value, kind), len(self.sheet))


def as_time(us: pa.Array) -> pa.Array:
    """int64 microseconds as Arrow timestamps UTC."""
    return us.cast(TIME)
