"""Reads whom to decide for: a row per customer, with what else their request says."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from decisioning.errors import Refused
from decisioning.facts.schema import Feature, FeatureSchema
from decisioning.nearest import nearest
from features.importing.cells import CellReader, lacking
from features.importing.opening import OpenedTable
from features.importing.profile import column_of
from features.importing.tables import Faults, Sheet
from features.importing.tables.row_numbers import RowNumbers

CUSTOMER, ACCOUNT, LOCALE = "customer_id", "account_id", "locale"


@dataclass(frozen=True)
class RequestRows:
    """A row per customer, in the order of the file: (n, columns), with `customer_id` first.

    Further columns are `account_id`, `locale` and context features, as far as the file has them. `unused` are its other
    columns.
    """

    table: pa.Table
    unused: tuple[str, ...]


def read_requests(table: OpenedTable, schema: FeatureSchema, refusal: str) -> RequestRows:
    """Return the requests of a table.

    Raises Refused, which begins with `refusal`, for wrong cells, for two rows of a customer that differ, for a table
    without the column customer_id, and for a column whose name is nearly that of one that would be read.
    """
    faults, parts = Faults(), list[pa.Table]()
    context = {feature.name: feature for feature in schema.of_source("context")}
    unused, numbers = _unused(table, context), RowNumbers(1)
    for sheet, _, _ in table.parts(faults):
        numbers = sheet.numbers
        parts.append(_read(sheet, faults, context))
    faults.raise_any(refusal)
    return RequestRows(_one_each(pa.concat_tables(parts), (table.path.name, numbers), refusal), unused)


def _unused(table: OpenedTable, context: dict[str, Feature]) -> tuple[str, ...]:
    """Return the columns that are not read; raises Refused for a missing or a misspelt one."""
    known = {CUSTOMER, ACCOUNT, LOCALE, *context}
    if CUSTOMER not in table.columns:
        raise Refused(lacking(table, CUSTOMER))
    others = tuple(name for name in table.columns if name not in known)
    for name in others:
        if close := nearest(name, known - set(table.columns)):
            raise Refused(f"{table.path.name}: column `{name}` would not be read: did you mean `{close}`?")
    return others


def _read(sheet: Sheet, faults: Faults, context: dict[str, Feature]) -> pa.Table:
    reader = CellReader(sheet, faults, ("",), ZoneInfo("UTC"), 0)
    columns = {CUSTOMER: reader.ids(CUSTOMER)}
    if ACCOUNT in sheet.columns:
        columns[ACCOUNT] = reader.ids(ACCOUNT, optional=True)
    if LOCALE in sheet.columns:
        columns[LOCALE] = reader.text(LOCALE)
    for name in filter(context.__contains__, sheet.columns):
        is_time = context[name].dtype == "timestamp"  # requests state times as text
        columns[name] = reader.text(name) if is_time else reader.feature(column_of(context[name]))
    return pa.table(columns)


def _one_each(rows: pa.Table, file: tuple[str, RowNumbers], refusal: str) -> pa.Table:
    """Return the first row of each customer; raises Refused if another one says something else."""
    ids = rows[CUSTOMER].combine_chunks().dictionary_encode()
    _, first, which = np.unique(ids.indices.to_numpy(), return_index=True, return_inverse=True)
    faults = Faults()
    for column in rows.column_names[1:]:
        cells = rows[column].combine_chunks()
        for row in _differing(cells, cells.take(pa.array(first[which]))):
            name, numbers = file
            same, other = numbers.of([row, first[which[row]]])
            faults.add(name, column, [same], f"the same customer has another value in row {other}")
    faults.raise_any(refusal)
    return rows.take(pa.array(np.sort(first)))


def _differing(cells: pa.Array, others: pa.Array) -> list[int]:
    """Return the rows where two columns (n,) differ; two unknown values are the same."""
    pairs = zip(cells.to_pylist(), others.to_pylist(), strict=True)
    return [row for row, (cell, other) in enumerate(pairs) if cell != other]
