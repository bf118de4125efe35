"""Profile facts from a file whose columns are features: the newest per customer and feature wins."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.check.words import hint
from decisioning.errors import Refused
from decisioning.facts.schema import Feature, FeatureSchema
from features.importing.cells import Reader, as_time
from features.importing.mapping import FeatureColumn, When
from features.importing.plan import Progress
from features.importing.tables import Faults, Sheet, is_parquet, read_sheet
from features.importing.write import erased_among
from features.ledger import Ledger

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

CUSTOMER, AS_OF = "customer_id", "as_of"


@dataclass(frozen=True, slots=True)
class Upserted:
    """Rows taken, features set, and customers left out because they were erased."""

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
) -> Upserted:
    """Sets facts of customers: column `customer_id`, a column per feature, optionally `as_of` (ISO 8601; else now).

    An empty cell says "not known". Raises Refused, before anything is written, with file, row and column.
    """
    sheet = read_sheet(path, parquet=is_parquet(path), separator=separator)
    table, names = _table(sheet, schema, now_us)
    streams = {s: ledger.stream_of("person", s) for s in pc.unique(table["subject"]).to_pylist()}
    erased = erased_among(ledger, list(streams.values()))
    kept = pa.array(
        [None if (stream := streams[s]) in erased else stream for s in table["subject"].to_pylist()], pa.string()
    )
    table = table.set_column(0, "subject", kept).filter(kept.is_valid())
    if table.num_rows:
        history.import_profiles(table, (lambda done, total: progress(done, total, "profiles")) if progress else None)
    return Upserted(table.num_rows, names, len(erased))


def _table(sheet: Sheet, schema: FeatureSchema, now_us: int) -> tuple[pa.Table, tuple[str, ...]]:
    known = {f.name: f for f in schema.of_source("profile", "model")}
    if CUSTOMER not in sheet.columns:
        raise Refused(f"{sheet.file} has no column `{CUSTOMER}`: name the column with the customer's id so")
    names = tuple(c for c in sheet.columns if c not in (CUSTOMER, AS_OF))
    for name in names:
        if name not in known:
            near = hint(name, known) or "declare it in the catalogue and release first"
            raise Refused(f"{sheet.file}: column `{name}` is no profile feature of the release ({near})")
    if not names:
        raise Refused(f"{sheet.file} has no column that is a feature")
    faults = Faults()
    reader = Reader(sheet, faults, ("",), ".", ZoneInfo("UTC"), now_us)
    subject = reader.ids(CUSTOMER)
    at_us = reader.when(When(column=AS_OF)) if AS_OF in sheet.columns else reader.constant(now_us, pa.int64())
    reader.once("customer", subject, at_us)
    cells = {name: reader.feature(_spec(known[name])) for name in names}
    faults.raise_any()
    return pa.table({"subject": subject, "event_timestamp": as_time(at_us), **cells}), names


def _spec(feature: Feature) -> FeatureColumn:
    """A feature's column of its own name, as it is declared."""
    return FeatureColumn(
        column=feature.name,
        name=feature.name,
        dtype=feature.dtype,
        min=feature.min,
        max=feature.max,
        values=feature.values,
    )
