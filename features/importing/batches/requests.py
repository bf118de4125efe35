"""Reads whom to decide for: a row per customer, with what else their request says."""

from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from decisioning.errors import Refused
from decisioning.facts.schema import Feature, FeatureSchema
from decisioning.nearest import nearest
from features.importing.cells import CellReader
from features.importing.profile import column_of
from features.importing.tables import Faults, Sheet, is_parquet, read_parts

CUSTOMER, ACCOUNT, LOCALE = "customer_id", "account_id", "locale"


@dataclass(frozen=True)
class RequestRows:
    """A row per customer, in the order of the file: (n, columns), with `customer_id` first.

    Further columns are `account_id`, `locale` and context features, as far as the file has them. `unused` are its other
    columns.
    """

    table: pa.Table
    unused: tuple[str, ...]


def read_requests(path: Path, schema: FeatureSchema, refusal: str) -> RequestRows:
    """Return the requests of a CSV or Parquet file.

    Raises Refused, which begins with `refusal`, for wrong cells, for two rows of a customer that differ, for a file
    without the column customer_id, and for a column whose name is nearly that of one that would be read.
    """
    faults, parts = Faults(), list[pa.Table]()
    unused: tuple[str, ...] = ()
    context = {feature.name: feature for feature in schema.of_source("context")}
    for sheet, _, _ in read_parts(path, parquet=is_parquet(path)):
        unused = _unused(sheet, context)
        parts.append(_read(sheet, faults, context))
    faults.raise_any(refusal)
    return RequestRows(_one_each(pa.concat_tables(parts), path.name, refusal), unused)


def _unused(sheet: Sheet, context: dict[str, Feature]) -> tuple[str, ...]:
    """Return the columns that are not read; raises Refused for a missing or a misspelt one."""
    known = {CUSTOMER, ACCOUNT, LOCALE, *context}
    if CUSTOMER not in sheet.columns:
        raise Refused(f"{sheet.file} has no column `{CUSTOMER}`: its columns are {', '.join(sheet.columns[:20])}")
    others = tuple(name for name in sheet.columns if name not in known)
    for name in others:
        if close := nearest(name, known - set(sheet.columns)):
            raise Refused(f"{sheet.file}: column `{name}` would not be read: did you mean `{close}`?")
    return others


def _read(sheet: Sheet, faults: Faults, context: dict[str, Feature]) -> pa.Table:
    reader = CellReader(sheet, faults, ("",), ".", ZoneInfo("UTC"), 0)
    columns = {CUSTOMER: reader.ids(CUSTOMER)}
    if ACCOUNT in sheet.columns:
        columns[ACCOUNT] = reader.ids(ACCOUNT, optional=True)
    if LOCALE in sheet.columns:
        columns[LOCALE] = reader.text(LOCALE)
    for name in filter(context.__contains__, sheet.columns):
        is_time = context[name].dtype == "timestamp"  # requests state times as text
        columns[name] = reader.text(name) if is_time else reader.feature(column_of(context[name]))
    return pa.table(columns)


def _one_each(rows: pa.Table, file: str, refusal: str) -> pa.Table:
    """Return the first row of each customer; raises Refused if another one says something else."""
    ids = rows[CUSTOMER].combine_chunks().dictionary_encode()
    _, first, which = np.unique(ids.indices.to_numpy(), return_index=True, return_inverse=True)
    faults = Faults()
    for column in rows.column_names[1:]:
        cells = rows[column].combine_chunks()
        for row in _differing(cells, cells.take(pa.array(first[which]))):
            faults.add(file, column, [row], f"the same customer has another value in row {first[which[row]] + 1}")
    faults.raise_any(refusal)
    return rows.take(pa.array(np.sort(first)))


def _differing(cells: pa.Array, others: pa.Array) -> list[int]:
    """Return the rows where two columns (n,) differ; two unknown values are the same."""
    pairs = zip(cells.to_pylist(), others.to_pylist(), strict=True)
    return [row for row, (cell, other) in enumerate(pairs) if cell != other]
