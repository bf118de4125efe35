"""Imports profile facts from a file whose columns are features; the newest per customer and feature wins."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.check.words import hint
from decisioning.errors import Refused
from decisioning.facts.schema import Feature, FeatureSchema
from features.importing.cells import CellReader, as_time
from features.importing.mapping import FeatureColumn, When
from features.importing.plan import Progress
from features.importing.tables import Faults, Sheet, is_parquet, read_sheet
from features.importing.write import erased_streams, write_profile
from features.ledger import Ledger

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

CUSTOMER, AS_OF = "customer_id", "as_of"


@dataclass(frozen=True, slots=True)
class ProfileImportResult:
    """The number of imported rows, the features set, and the number of customers left out because they were erased."""

    rows: int
    features: tuple[str, ...]
    erased: int


def import_profile(
    path: Path,
    schema: FeatureSchema,
    ledger: Ledger,
    history: "History",
    now_us: int,
    *,
    separator: str = ",",
    progress: Progress | None = None,
) -> ProfileImportResult:
    """Set facts of customers from a CSV or Parquet file.

    The file has a column `customer_id`, a column per feature, and optionally `as_of` (ISO 8601; by default now). An
    empty cell means "not known". Raises Refused, with file, row and column, before anything is written.
    """
    sheet = read_sheet(path, parquet=is_parquet(path), separator=separator)
    table, names = _table(sheet, schema, now_us)
    streams = {s: ledger.stream_of("person", s) for s in pc.unique(table["subject"]).to_pylist()}
    erased = erased_streams(ledger, list(streams.values()))
    remaining = {subject: stream for subject, stream in streams.items() if stream not in erased}
    rows = write_profile(table, remaining, history, progress)
    return ProfileImportResult(rows, names, len(erased))


def _table(sheet: Sheet, schema: FeatureSchema, now_us: int) -> tuple[pa.Table, tuple[str, ...]]:
    """Return subject (the customer's id), event_timestamp and the features of a sheet, and the features' names."""
    features = {f.name: f for f in schema.of_source("profile", "model")}
    if CUSTOMER not in sheet.columns:
        raise Refused(f"{sheet.file} has no column `{CUSTOMER}`: name the column with the customer's id so")
    names = tuple(c for c in sheet.columns if c not in (CUSTOMER, AS_OF))
    for name in names:
        if name not in features:
            near = hint(name, features) or "declare it in the catalogue and release first"
            raise Refused(f"{sheet.file}: column `{name}` is no profile feature of the release ({near})")
    if not names:
        raise Refused(f"{sheet.file} has no column that is a feature")
    faults = Faults()
    reader = CellReader(sheet, faults, ("",), ".", ZoneInfo("UTC"), now_us)
    subject = reader.ids(CUSTOMER)
    at_us = reader.when(When(column=AS_OF)) if AS_OF in sheet.columns else reader.constant(now_us, pa.int64())
    reader.unique("customer", subject, at_us)
    cells = {name: reader.feature(_spec(features[name])) for name in names}
    faults.raise_any()
    return pa.table({"subject": subject, "event_timestamp": as_time(at_us), **cells}), names


def _spec(feature: Feature) -> FeatureColumn:
    """Return the column of a feature, with the feature's name and declaration."""
    return FeatureColumn(
        column=feature.name,
        name=feature.name,
        dtype=feature.dtype,
        min=feature.min,
        max=feature.max,
        values=feature.values,
    )
