"""The plan of an import: everything that it will write, computed and checked before anything is written."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.errors import ConfigError, Mistake, Refused
from features.importing.cells import CellReader, as_time
from features.importing.counts import FileCounts
from features.importing.mapping import (
    NONE,
    ConsentColumn,
    ContactColumns,
    FileSpec,
    LateOutcome,
    OutcomeColumn,
    When,
)
from features.importing.opening import open_table
from features.importing.reading import MappingSource, unknown_columns
from features.importing.tables import Faults, Sheet
from features.importing.tables.columns import (
    FileColumns,
    are_distinct,
    encode_together,
    first_rows,
    report_repeated,
    return_memory,
)
from features.importing.tables.row_numbers import RowNumbers

Progress = Callable[[int, int, str], None]
"""Called with (number done, number in all, what is counted)."""


@dataclass(frozen=True)
class OutcomeRows:
    """The m outcomes that happened: `row` int64 (m,), the rows of the file; times; and values, null if not stated."""

    name: str
    row: pa.Array
    at_us: pa.Array
    value_eur: pa.Array


@dataclass(frozen=True)
class ContactRows:
    """The n contacts of a file, a column (n,) per field.

    `after` holds the features known only after the outcome. `outcome_names`: the outcomes for which the files state
    whether they happened.
    """

    subject: pa.Array
    account: pa.Array | None
    id: pa.Array | None
    action: pa.Array
    channel: pa.Array
    at_us: pa.Array
    probability: pa.Array
    after: Mapping[str, pa.Array]
    outcomes: tuple[OutcomeRows, ...]
    outcome_names: tuple[str, ...]


@dataclass(frozen=True)
class LateRows:
    """One outcome of a file of outcomes, for the m rows where it happened, each column (m,).

    `contact` None: the contact is found by customer and action.
    """

    name: str
    subject: pa.Array
    contact: pa.Array | None
    action: pa.Array
    at_us: pa.Array
    value_eur: pa.Array


@dataclass(frozen=True)
class ConsentRows:
    """Consents that a file states, each column (m,); `granted` bool."""

    purpose: str
    channel: str
    notice_version: str
    subject: pa.Array
    granted: pa.Array
    at_us: pa.Array


@dataclass(frozen=True)
class ImportPlan:
    """A whole import.

    `subjects`: the ids of the customers, each once; every other column of subjects is encoded by this dictionary.
    `profiles` has a table per file: subject (the customer's id), event_timestamp and features; times and enums are
    encoded, too. `rows` is the number of rows of all files, `counts` has what each says.
    """

    source: MappingSource
    subjects: pa.Array
    profiles: tuple[pa.Table, ...]
    contacts: tuple[ContactRows, ...]
    late: tuple[LateRows, ...]
    consents: tuple[ConsentRows, ...]
    rows: int
    counts: tuple[FileCounts, ...]


def make_plan(
    source: MappingSource,
    paths: Mapping[str, Path],
    now_us: int,
    progress: Progress | None = None,
    *,
    beginning: bool = False,
) -> ImportPlan:
    """Read and check every file; `paths` by the file ids of the mapping.

    Raises ConfigError where the mapping names columns that the files do not have, and Refused with all wrong cells by
    file, row and column, of which the first 20 are listed.
    """
    files, faults = source.mapping.files, Faults()
    problems, collected = list[Mistake](), [_FileRows(source, file, faults, now_us) for file in files]
    for n, (file, rows) in enumerate(zip(files, collected, strict=True)):
        if progress:
            progress(n, len(files), "reading files")
        table = open_table(paths[file.id], file.stated)
        problems += unknown_columns(source.node.at(("files", n)), table)
        if not problems:
            rows.how = table.how
            for sheet in [table.sample] if beginning else (part for part, _, _ in table.parts(faults)):
                rows.add(sheet)
        return_memory()
    if problems:
        raise ConfigError(problems)
    for rows in collected:
        rows.check_whole(beginning=beginning)
    faults.raise_any()
    if progress:
        progress(len(files), len(files), "reading files")
    plan = _joined(source, collected)
    return_memory()
    return plan


def _joined(source: MappingSource, files: Sequence["_FileRows"]) -> ImportPlan:
    counts = tuple(file.counts() for file in files)
    subjects = encode_together([c for file in files for c in file.subjects()])
    profiles, contacts = [file.profile() for file in files], [file.contacts() for file in files]
    ids = [rows.id for rows in contacts if rows is not None and rows.id is not None]
    if len(ids) > 1 and not are_distinct([pa.chunked_array(ids)]):
        raise Refused("nothing was imported: the same contact stands in two files, and only one of them could count")
    return ImportPlan(
        source=source,
        subjects=subjects,
        profiles=tuple(table for table in profiles if table is not None),
        contacts=tuple(rows for rows in contacts if rows is not None),
        late=tuple(late for file in files for late in file.late()),
        consents=tuple(consent for file in files for consent in file.consents()),
        rows=sum(file.rows for file in files),
        counts=counts,
    )


def assign_paths(source: MappingSource, folder: Path, arguments: Sequence[str]) -> dict[str, Path]:
    """Return file id -> path.

    An argument `id=path` names its file; bare paths are for the remaining files in the order of the mapping; other
    files have the mapping's own `path`, relative to `folder`. Raises Refused, naming the files of the mapping.
    """
    specs = {f.id: f for f in source.mapping.files}
    paths = {f.id: folder / f.path for f in specs.values() if f.path}
    by_id = dict(text.split("=", 1) for text in arguments if text.partition("=")[0] in specs)
    bare = [text for text in arguments if text.partition("=")[0] not in specs]
    free = [id_ for id_ in specs if id_ not in by_id]
    paths |= {id_: Path(text) for id_, text in (*by_id.items(), *zip(free, bare, strict=False))}
    named = [text.partition("=")[0] for text in arguments if text.partition("=")[0] in specs]
    if repeated := sorted({id_ for id_ in named if named.count(id_) > 1}):
        raise Refused(f"two files are given for {', '.join(repeated)}: one of them would not be read")
    missing = [id_ for id_ in specs if id_ not in paths]
    if missing or len(bare) > len(free):
        usage = " ".join(f"{id_}=FILE" for id_ in specs)
        which = f"there is no file for {', '.join(missing)}" if missing else f"{len(arguments)} files are too many"
        raise Refused(f"{which}: mapping {source.mapping.id} reads {usage}")
    return paths


class _FileRows:
    """Everything that one file adds to the plan, collected from parts of the file, whose text is not kept.

    `rows` is the number of its rows so far.
    """

    def __init__(self, source: MappingSource, file: FileSpec, faults: Faults, now_us: int) -> None:
        self.file, self.faults, self.now_us, self.rows = file, faults, now_us, 0
        self._zone = ZoneInfo(source.mapping.time_zone)
        self._late_names = {o.name for f in source.mapping.files for o in f.outcomes}
        self._has_profile = file.as_of is not None and any(not f.after_outcome for f in file.features)
        self._columns = FileColumns()
        self._name, self.how = "", ""
        self._numbers = RowNumbers(1)
        self._empty = Counter[str]()
        self._impossible = 0
        self._kept: pa.Array | None = None
        self._unstated: set[tuple[str, str]] | None = None

    def add(self, sheet: Sheet) -> None:
        """Read, check and keep the cells of a part of the file."""
        read = CellReader(sheet, self.faults, self.file.missing, self._zone, self.now_us)
        subject = self._subject(read)
        self._keep(subject=subject)
        if self.file.account:
            self._keep(account=read.ids(self.file.account))
        if self._has_profile and self.file.as_of is not None:
            self._keep(known_us=read.when(self.file.as_of))
        for f in self.file.features:
            if self._has_profile or f.after_outcome:
                self._columns.add(f"feature {f.name}", read.feature(f), encoded=f.dtype == "enum")
        if self.file.contact is not None:
            self._contacts(read, self.file.contact)
        for n, late in enumerate(self.file.outcomes):
            self._late(f"late {n}", late, subject, read)
        for n, consent in enumerate(self.file.consents):
            self._consents(f"consent {n}", consent, subject, read)
        self.rows, self._name, self._numbers = self.rows + len(sheet), sheet.file, sheet.numbers
        self._empty.update(read.empty)
        self._impossible += read.impossible
        self._unstated = read.unstated if self._unstated is None else self._unstated & read.unstated

    def subjects(self) -> Iterator[tuple[FileColumns, str]]:
        """Yield where customers are named: columns and name of one; first those of all rows."""
        yield self._columns, "subject"
        for n in range(len(self.file.outcomes)):
            yield self._columns, f"late {n} subject"
        for n in range(len(self.file.consents)):
            yield self._columns, f"consent {n} subject"

    def _keep(self, prefix: str = "", **cells: pa.Array) -> None:
        for name, column in cells.items():
            self._columns.add(f"{prefix} {name}" if prefix else name, column)

    def _subject(self, read: CellReader) -> pa.Array:
        who = self.file.subject
        if who.column is not None:
            return read.ids(who.column)
        return pa.array([f"{who.row}{self.rows + n}" for n in range(1, len(read.sheet) + 1)], pa.string())

    def _contacts(self, read: CellReader, spec: ContactColumns) -> None:
        at_us = read.when(spec.at or self.file.as_of or When())
        action, channel = read.choice(spec.action, "action"), read.choice(spec.channel, "channel")
        self._keep(action=action, channel=channel, at_us=at_us, probability=read.chance(spec.probability))
        if spec.id:
            self._keep(id=read.ids(spec.id))
        for n, outcome in enumerate(spec.outcomes):
            happened = read.happened(outcome)
            row = np.flatnonzero(happened.fill_null(False).to_numpy(zero_copy_only=False))
            cells = {"at_us": _outcome_times(read, outcome, happened, at_us), "value_eur": _values(read, outcome)}
            self._keep(f"outcome {n}", row=pa.array(self.rows + row), **{k: c.take(row) for k, c in cells.items()})

    def _late(self, name: str, spec: LateOutcome, subject: pa.Array, read: CellReader) -> None:
        happened = read.happened(spec).fill_null(False)
        at_us, action = read.when(spec.at), read.choice(spec.action, "action")
        numbers = pa.array(range(self.rows, self.rows + len(read.sheet)), pa.int64())
        cells = {"row": numbers, "subject": subject, "action": action, "at_us": at_us}
        if spec.contact:
            cells["contact"] = read.ids(spec.contact)
        cells["value_eur"] = _values(read, spec)
        self._keep(name, **{key: column.filter(happened) for key, column in cells.items()})

    def _consents(self, name: str, spec: ConsentColumn, subject: pa.Array, read: CellReader) -> None:
        at_us = read.when(spec.at)
        yes, no = read.answers(spec.column, spec.granted, spec.refused, "`granted` and `refused`", all_stated=False)
        stated = pc.or_(yes, no)
        self._keep(name, subject=subject.filter(stated), granted=yes.filter(stated), at_us=at_us.filter(stated))

    def check_whole(self, *, beginning: bool) -> None:
        """Report rows about the same as an earlier row, and columns that state nothing if all rows were read."""
        column = self._columns.whole
        for name, message in () if beginning else sorted(self._unstated or ()):
            self.faults.add(self._name, name, self._numbers.of([0]), message)
        if self._has_profile:
            facts = {f.column: column(f"feature {f.name}") for f in self.file.features if not f.after_outcome}
            when = [column("subject"), column("known_us")]
            self._kept = first_rows(self.faults, (self._name, self._numbers), "subject", when, facts)
        if self.file.contact is not None:
            by = ("id",) if self.file.contact.id else ("subject", "action", "channel", "at_us")
            report_repeated(self.faults, (self._name, self._numbers), "contact", [column(name) for name in by])
        for n, late in enumerate(self.file.outcomes):
            key = ("contact",) if late.contact else ("subject", "action", "at_us")
            columns = [column(f"late {n} {name}") for name in key]
            report_repeated(self.faults, (self._name, self._numbers), "outcome", columns, column(f"late {n} row"))

    def counts(self) -> FileCounts:
        """Return what the file says, in numbers, before its customers are encoded with those of other files."""
        column, contact = self._columns.whole, self.file.contact
        chosen = column("action") if contact is not None else None
        direct = {o.name: f"outcome {n}" for n, o in enumerate(contact.outcomes if contact is not None else ())}
        late = {o.name: f"late {n}" for n, o in enumerate(self.file.outcomes)}
        return FileCounts(
            self._name,
            self.rows,
            len(column("subject").dictionary),
            0 if chosen is None else self.rows - int(pc.sum(pc.equal(chosen, NONE)).as_py() or 0),
            {name: len(column(f"{where} row")) for name, where in (direct | late).items()},
            {(c.purpose, c.channel): self._stated(f"consent {n}") for n, c in enumerate(self.file.consents)},
            self._empty,
            how=self.how,
            impossible=self._impossible,
        )

    def _stated(self, consent: str) -> tuple[int, int, int]:
        """Return how many rows grant, refuse, and do neither."""
        granted = self._columns.whole(f"{consent} granted")
        yes = int(pc.sum(granted).as_py() or 0)
        return yes, len(granted) - yes, self.rows - len(granted)

    def profile(self) -> pa.Table | None:
        """Return subject, event_timestamp and features; None if the file has no facts."""
        if not self._has_profile:
            return None
        names = [f.name for f in self.file.features if not f.after_outcome]
        cells = {name: self._columns.whole(f"feature {name}") for name in names}
        known = self._columns.whole("known_us")
        times = pa.DictionaryArray.from_arrays(known.indices, as_time(known.dictionary))
        table = pa.table({"subject": self._columns.whole("subject"), "event_timestamp": times, **cells})
        return table if self._kept is None else table.take(self._kept)

    def contacts(self) -> ContactRows | None:
        """Return the contacts of the rows; None if the file has none."""
        spec, column = self.file.contact, self._columns.whole
        if spec is None:
            return None
        return ContactRows(
            subject=column("subject"),
            account=column("account") if self.file.account else None,
            id=column("id") if spec.id else None,
            action=column("action"),
            channel=column("channel"),
            at_us=column("at_us"),
            probability=column("probability"),
            after={f.name: column(f"feature {f.name}") for f in self.file.features if f.after_outcome},
            outcomes=tuple(
                OutcomeRows(o.name, *(column(f"outcome {n} {name}") for name in ("row", "at_us", "value_eur")))
                for n, o in enumerate(spec.outcomes)
            ),
            outcome_names=tuple(sorted({o.name for o in spec.outcomes} | self._late_names)),
        )

    def late(self) -> Iterator[LateRows]:
        """Yield the outcomes of a file of outcomes."""
        for n, spec in enumerate(self.file.outcomes):
            names = ("subject", *(("contact",) if spec.contact else ()), "action", "at_us", "value_eur")
            cells = {name: self._columns.whole(f"late {n} {name}") for name in names}
            yield LateRows(spec.name, **{"contact": None, **cells})

    def consents(self) -> Iterator[ConsentRows]:
        """Yield the consents that the file states."""
        for n, spec in enumerate(self.file.consents):
            cells = {name: self._columns.whole(f"consent {n} {name}") for name in ("subject", "granted", "at_us")}
            yield ConsentRows(spec.purpose, spec.channel, spec.notice_version, **cells)


def _outcome_times(read: CellReader, spec: OutcomeColumn, happened: pa.Array, contact_us: pa.Array) -> pa.Array:
    """Return int64 microseconds (n,): the outcome's own time, else its contact's; report impossible ones."""
    if spec.at is None:
        return contact_us
    if spec.at.column is None:
        return read.when(spec.at)
    at_us = read.happened_at(spec.at.column, spec.at.format)
    early = pc.and_(happened, pc.less(at_us, contact_us))
    read.report(spec.at.column, pc.and_(happened, at_us.is_null()), f"is empty, and {spec.name} came")
    read.report(spec.at.column, early, f"{spec.name} came before its contact")
    return at_us


def _values(read: CellReader, spec: OutcomeColumn) -> pa.Array:
    return read.number(spec.value.column) if spec.value else read.constant(None, pa.float64())
