"""Imports profile facts from a file whose columns are features; the newest per customer and feature wins."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.check.words import hint
from decisioning.errors import Refused
from decisioning.facts.schema import Feature, FeatureSchema
from features.importing.cells import CellReader, as_time, lacking
from features.importing.mapping import FeatureColumn, When
from features.importing.opening import OpenedTable, Stated, open_table
from features.importing.plan import Progress
from features.importing.tables import Faults, Sheet
from features.importing.tables.row_numbers import RowNumbers
from features.ledger import Ledger
from features.ledger.records import Names
from features.profile.offline import HISTORY, ONLINE, History
from features.profile.staging import Staged
from features.signals.purging import erased_since

CUSTOMER, AS_OF = "customer_id", "as_of"
_ROW = "_row"
_KEY = ("subject", "event_timestamp", _ROW)


@dataclass(frozen=True, slots=True)
class ProfileImportResult:
    """What an import of facts understood and did.

    `rows` were imported, about `customers`, and set `features`; `erased` customers were left out because they were
    erased. `empty`: column -> empty cells, which say nothing. `read`: how the file was read.
    """

    rows: int
    features: tuple[str, ...]
    erased: int
    customers: int
    empty: dict[str, int]
    read: str


def import_profile(
    path: Path,
    schema: FeatureSchema,
    ledger: Ledger,
    history: History,
    now_us: int,
    *,
    stated: Stated | None = None,
    progress: Progress | None = None,
) -> ProfileImportResult:
    """Set facts of customers from a table.

    The file has a column `customer_id`, a column per feature, and optionally `as_of` (ISO 8601; by default now). An
    empty cell means "not known". Raises Refused, with file, row and column, before anything is written. The file is
    read in parts, so that memory does not grow with it.
    """
    table = open_table(path, stated)
    reading = _Reading(schema, ledger.names, now_us, table)
    with history.staged() as staged:
        for sheet, done, total in table.parts(reading.faults):
            rows = reading.table(sheet)
            if rows is not None:
                staged.add(history.checked(rows.drop_columns(_ROW)).append_column(_ROW, rows[_ROW]))
            if progress:
                progress(done, total, "reading")
        reading.faults.raise_any()
        customers = _count_customers(staged, path.name, sheet.numbers)
        phases = {what: partial(_report, progress, what) for what in (HISTORY, ONLINE)} if progress else {}
        imported = history.import_staged(staged, phases, lambda: erased_since(ledger.select, 0))
    erased = len(staged.left_out)
    return ProfileImportResult(imported, reading.names, erased, customers, dict(reading.empty), table.how)


def _report(progress: Progress, what: str, done: int, total: int) -> None:
    progress(done, total, what)


class _Reading:
    """Reads the parts of a file; `faults` collects the wrong cells of all of them."""

    def __init__(self, schema: FeatureSchema, streams: Names, now_us: int, table: OpenedTable) -> None:
        self._features = {f.name: f for f in schema.of_source("profile", "model")}
        self._streams = streams
        self._now_us = now_us
        self.faults = Faults()
        self.names = self._named(table)
        self.empty: Counter[str] = Counter()

    def table(self, sheet: Sheet) -> pa.Table | None:
        """Return subject (the customer's stream), event_timestamp, row and the features; None if a cell is wrong."""
        reader = CellReader(sheet, self.faults, ("",), ZoneInfo("UTC"), self._now_us)
        ids = reader.ids(CUSTOMER)
        timed = AS_OF in sheet.columns
        at_us = reader.when(When(column=AS_OF)) if timed else reader.constant(self._now_us, pa.int64())
        cells = {name: reader.feature(column_of(self._features[name])) for name in self.names}
        self.empty.update(reader.empty)
        if self.faults.count:
            return None
        subject = pa.array([self._streams.stream_of("person", id_) for id_ in ids.to_pylist()], pa.string())
        row = pa.array(range(sheet.first_row, sheet.first_row + len(sheet)), pa.int64())
        return pa.table({"subject": subject, "event_timestamp": as_time(at_us), _ROW: row, **cells})

    def _named(self, table: OpenedTable) -> tuple[str, ...]:
        """Return the names of the columns that are features. Raises Refused if there is none, or another one."""
        if CUSTOMER not in table.columns:
            raise Refused(lacking(table, CUSTOMER))
        names = tuple(c for c in table.columns if c not in (CUSTOMER, AS_OF))
        for name in names:
            if name not in self._features:
                near = hint(name, self._features) or "declare it in the catalogue and release first"
                raise Refused(f"{table.path.name}: column `{name}` is no profile feature of the release ({near})")
        if not names:
            raise Refused(f"{table.path.name} has no column that is a feature")
        return names


def _count_customers(staged: Staged, file: str, numbers: RowNumbers) -> int:
    """Return the number of different customers. Raises Refused, with the rows, if one has two rows of the same time."""
    pairs: list[tuple[int, int]] = []
    customers = 0
    for _, rows in staged.ranges():
        customers += pc.count_distinct(rows["subject"]).as_py()  # all rows of a customer are in one range
        ordered = rows.select(["subject", "event_timestamp", _ROW]).sort_by([(c, "ascending") for c in _KEY])
        same = np.zeros(len(ordered), np.bool_)
        equal = [pc.equal(ordered[c][1:], ordered[c][:-1]) for c in _KEY[:2]]
        same[1:] = pc.and_(*equal).to_numpy()
        if same.any():
            row, starts = ordered[_ROW].to_numpy(), np.flatnonzero(~same)
            first = row[starts[np.cumsum(~same) - 1]]
            pairs += zip(row[same].tolist(), first[same].tolist(), strict=True)
    faults = Faults()
    for n, first_n in sorted(pairs):
        faults.add(file, "(all)", numbers.of([n]), f"the same customer stands in row {numbers.of([first_n])[0]}")
    faults.raise_any()
    return customers


def column_of(feature: Feature) -> FeatureColumn:
    """Return the column of a feature, with the feature's name and declaration."""
    return FeatureColumn(
        column=feature.name,
        name=feature.name,
        dtype=feature.dtype,
        min=feature.min,
        max=feature.max,
        values=feature.values,
    )
