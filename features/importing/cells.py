"""Converts columns of text to typed columns, whole columns at a time, and reports the rows that do not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from decisioning.times import FUTURE_TIME, TOLERANCE_US, microseconds
from features.importing.mapping import Chance, Choice, FeatureColumn, OutcomeColumn, When
from features.importing.opening import OpenedTable
from features.importing.tables import Faults, Sheet, rows_of
from features.importing.tables.answers import among, doubtful
from features.importing.tables.dates import Parsed, parse_moment
from features.importing.tables.ids import ZEROS, changes_ids, misfit_ids
from features.importing.tables.marks import Decimal
from features.importing.tables.numbers import parsed_numbers, typed_numbers
from features.importing.tables.times import local_time, whole_microseconds
from features.views import ARROW_TYPES, TIME


@dataclass
class CellReader:
    """Reads the columns of one sheet. Besides empty cells, the texts in `missing` mean "not known".

    Every method returns an array of shape (n,), n the number of rows. Cells that do not fit are reported to `faults`.
    `empty`: column -> missing cells, of the columns that were read. `unstated`: columns without any of the texts that
    mean something, and what is wrong if no part of the file has one: it was probably meant otherwise.
    """

    sheet: Sheet
    faults: Faults
    missing: tuple[str, ...]
    zone: ZoneInfo
    now_us: int
    empty: dict[str, int] = field(default_factory=dict)
    impossible: int = 0
    unstated: set[tuple[str, str]] = field(default_factory=set)

    def text(self, column: str, missing: tuple[str, ...] | None = None) -> pa.Array:
        """Return cells as trimmed text, null where missing. `missing` replaces the sheet's own missing texts."""
        trimmed = pc.utf8_trim_whitespace(self._texts(column))
        absent = pa.array([*(self.missing if missing is None else missing), ""], pa.string())
        cells = pc.if_else(pc.is_in(trimmed, value_set=absent), pa.scalar(None, pa.string()), trimmed)
        self.empty[column] = cells.null_count
        return cells

    def _texts(self, column: str) -> pa.Array:
        cells = self.sheet[column]
        if pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
        if pa.types.is_boolean(cells.type):
            return pc.if_else(cells, "true", "false")
        if pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type) or pa.types.is_large_binary(cells.type):
            self.report(column, cells.is_valid(), "holds lists, records or bytes, and not a value for each row")
            return pa.nulls(len(cells), pa.string())
        return cells.cast(pa.string())

    def report(self, column: str, bad: pa.Array, message: str) -> None:
        """Add a fault for each row where `bad` is true."""
        if rows := rows_of(bad):
            self.faults.add(self.sheet.file, column, self.sheet.row_numbers(rows), message)

    def required(self, column: str, missing: tuple[str, ...] | None = None) -> None:
        """Report the rows where the column is empty."""
        self.report(column, self.text(column, missing).is_null(), "is empty")

    def ids(self, column: str, *, optional: bool = False) -> pa.Array:
        """Return ids of customers, accounts or contacts; report those that are malformed or changed.

        Empty ones are reported, too, unless they are `optional`.
        """
        message = ZEROS if self.sheet.is_zero_padded(column) else changes_ids(self.sheet[column].type)
        if message:
            self.report(column, self.sheet[column].is_valid(), message)
            return pa.nulls(len(self.sheet), pa.string())
        cells = self.text(column)
        if not optional:
            self.report(column, cells.is_null(), "is empty")
        for bad, message in misfit_ids(cells):
            self.report(column, bad, message)
        return cells

    def number(self, column: str, *, whole: bool = False, missing: tuple[str, ...] | None = None) -> pa.Array:
        """Return float64, or int64 if `whole`; null where missing."""
        original = self.sheet[column]
        if pa.types.is_integer(original.type) or pa.types.is_floating(original.type):
            present = pc.if_else(self.text(column, missing).is_null(), pa.scalar(None, original.type), original)
            numbers, faults = typed_numbers(present, whole=whole)
        else:
            mark, shown = self._decimal_of(column)
            numbers, faults = parsed_numbers(self.text(column, missing), mark, whole=whole, shown=shown)
        for bad, message in faults:
            self.report(column, bad, message)
        return numbers

    def _decimal_of(self, column: str) -> tuple[Decimal | None, bool]:
        """Return the mark of decimals in texts of a column, and whether rows show it; Arrow's types have a point."""
        form = self.sheet.form(column)
        return (".", True) if pa.types.is_decimal(self.sheet[column].type) else (form.decimal, form.shown)

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

    def happened_at(self, column: str, form: str | None) -> pa.Array:
        """Return when something happened, as `moment` does. Times outside 1970 to now are reported.

        What lies ahead by no more than clocks may differ counts as of now.
        """
        us = self.moment(column, form)
        self.report(column, pc.less(us, 0), "lies before 1970")
        self.report(column, pc.greater(us, self.now_us + TOLERANCE_US), FUTURE_TIME)
        return pc.min_element_wise(us, pa.scalar(self.now_us), skip_nulls=False)

    def moment(self, column: str, form: str | None, missing: tuple[str, ...] | None = None) -> pa.Array:
        """Return int64 microseconds UTC, null where missing. `form` is a strptime format, None for ISO 8601."""
        type_ = self.sheet[column].type
        if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
            self.empty[column] = self.sheet[column].null_count
            us, sure = self._typed_times(column)
        else:
            cells = self.text(column, missing)
            texts = cells.dictionary_encode()
            order = self.sheet.form(column).dates
            parsed = [parse_moment(text, form, order, self.zone) for text in texts.dictionary.to_pylist()]
            us, sure = _at_rows([(us, sure) for us, sure, _ in parsed], texts.indices)
            self._report_no_times(column, parsed, texts.indices)
        self.report(
            column, pc.invert(sure), f"is skipped or shown twice by the clocks of {self.zone}: state its offset"
        )
        return us

    def _report_no_times(self, column: str, parsed: Sequence[Parsed], indices: pa.Array) -> None:
        """Report the rows of texts that are no times, by what is wrong with them."""
        reasons = pa.array([reason for _, _, reason in parsed], pa.string())
        for reason in dict.fromkeys(r for _, _, r in parsed if r):
            self.report(column, pc.equal(reasons, reason).take(indices), reason)

    def _typed_times(self, column: str) -> tuple[pa.Array, pa.Array]:
        """Return a column of Arrow times as int64 microseconds UTC, and whether each is sure; see `in_zone`.

        Times outside the years 1 to 9999 are reported, and null.
        """
        cells = self.sheet[column]
        us, sure = whole_microseconds(cells), self.constant(True, pa.bool_())
        if getattr(cells.type, "tz", None) is None:
            local = us.dictionary_encode()
            us, sure = _at_rows([local_time(v, self.zone) for v in local.dictionary.to_pylist()], local.indices)
        self.report(column, pc.and_(us.is_null(), cells.is_valid()), "is not a time between the years 1 and 9999")
        return us, sure

    def when(self, when: When) -> pa.Array:
        """Return int64 microseconds UTC of every row."""
        if when.column is None:
            return self.constant(microseconds(when.time) if when.time else 0, pa.int64())
        self.required(when.column)
        return self.happened_at(when.column, when.format)

    def choice(self, choice: Choice, what: str) -> pa.Array:
        """Return the chosen name of every row; `what` names the kind of choice in faults."""
        if choice.column is None:
            return self.constant(choice.name, pa.string())
        self.required(choice.column, ())
        return self.translated(choice.column, choice.values, what, ())

    def chance(self, chance: Chance | None) -> pa.Array:
        """Return float64 in (0, 1], null where no probability was logged, and where it is 0: what happened had one.

        `impossible` counts the latter.
        """
        if chance is None or chance.column is None:
            return self.constant(chance.value if chance else None, pa.float64())
        self.required(chance.column)
        cells = self.number(chance.column)
        outside = pc.or_(pc.less(cells, 0.0), pc.greater(cells, 1.0))
        self.report(chance.column, outside, "is not a probability from 0 to 1")
        zero = pc.fill_null(pc.equal(cells, 0.0), False)
        self.impossible += int(pc.sum(zero).as_py() or 0)
        return pc.if_else(zero, pa.scalar(None, pa.float64()), cells)

    def happened(self, outcome: OutcomeColumn) -> pa.Array:
        """Return bool: whether the outcome happened; report cells that do not say so for sure."""
        self.required(outcome.column)
        if outcome.positive is None:
            return pc.greater(self.number(outcome.column), outcome.above)
        return self.answers(outcome.column, outcome.positive, outcome.negative, "`positive` and `negative`")[0]

    def answers(
        self, column: str, yes: tuple[str, ...], no: tuple[str, ...] | None, names: str, *, all_stated: bool = True
    ) -> tuple[pa.Array, pa.Array]:
        """Return bool twice: whether each cell is a text of `yes`, and of `no`; false where missing.

        :param all_stated: with `no`, a cell has to be one or the other
        """
        cells = self.text(column)
        stated, others = (yes, no) if all_stated else ((*yes, *(no or ())), None)
        near = False
        for bad, message in doubtful(cells, stated, others, names):
            self.report(column, bad, message)
            near = near or bool(pc.any(bad).as_py())
        if others is None and not near and not pc.any(among(cells, stated)).as_py():
            self.unstated.add((column, f"no cell of the column is one of the texts of {names}"))
        return among(cells, yes), among(cells, no or ())

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


def lacking(table: OpenedTable, column: str) -> str:
    """Return that a table has no such column, which it has, and how it was read."""
    return f"{table.path.name} has no column `{column}`: {table.instead_of(column)} ({table.how})"


def _at_rows(times: Sequence[tuple[int | None, bool]], indices: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the times of different texts as int64 (n,), and whether each is sure as bool (n,)."""
    us = pa.array([us for us, _ in times], pa.int64())
    return us.take(indices), pa.array([sure for _, sure in times], pa.bool_()).take(indices)


def as_time(us: pa.Array) -> pa.Array:
    """Return int64 microseconds as Arrow timestamps UTC."""
    return us.cast(TIME)
