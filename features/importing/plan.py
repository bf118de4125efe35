"""The plan of an import: everything that it will write, computed and checked before anything is written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.check.words import hint
from decisioning.catalogue.source import YamlNode
from decisioning.errors import ConfigError, Mistake, Refused
from features.importing.cells import CellReader, as_time
from features.importing.counts import FileCounts
from features.importing.mapping import NONE, FileSpec, OutcomeColumn
from features.importing.reading import MappingSource
from features.importing.tables import Faults, Sheet, is_parquet, read_sheet, rows_of

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

    `subjects`: the ids of the customers, each once. `profiles` has a table per file: subject (the customer's id),
    event_timestamp and features. `rows` is the number of rows of all files, `counts` has what each says.
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
    source: MappingSource, paths: Mapping[str, Path], now_us: int, progress: Progress | None = None
) -> ImportPlan:
    """Read and check every file; `paths` by the file ids of the mapping.

    Raises ConfigError where the mapping names columns that the files do not have, and Refused with all wrong cells by
    file, row and column, of which the first 20 are listed.
    """
    files, faults = source.mapping.files, Faults()
    problems, parts = list[Mistake](), list[_FilePart]()
    for n, file in enumerate(files):
        if progress:
            progress(n, len(files), "reading files")
        sheet = _read(file, paths[file.id])
        problems += _unknown_columns(source, n, sheet)
        if not problems:
            parts.append(_FilePart(source, file, sheet, faults, now_us))
    if problems:
        raise ConfigError(problems)
    faults.raise_any()
    if progress:
        progress(len(files), len(files), "reading files")
    return _joined(source, parts)


def _joined(source: MappingSource, parts: Sequence["_FilePart"]) -> ImportPlan:
    ids = [p.contacts.id for p in parts if p.contacts is not None and p.contacts.id is not None]
    if len(ids) > 1 and pc.count_distinct(pa.chunked_array(ids)).as_py() < sum(map(len, ids)):
        raise Refused("nothing was imported: the same contact stands in two files, and only one of them could count")
    return ImportPlan(
        source=source,
        subjects=pc.unique(pa.chunked_array([part.subject for part in parts], pa.string())),
        profiles=tuple(p.profile for p in parts if p.profile is not None),
        contacts=tuple(p.contacts for p in parts if p.contacts is not None),
        late=tuple(late for p in parts for late in p.late),
        consents=tuple(consent for p in parts for consent in p.consents),
        rows=sum(p.counts.rows for p in parts),
        counts=tuple(p.counts for p in parts),
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


def _read(file: FileSpec, path: Path) -> Sheet:
    parquet = file.format == "parquet" if file.format else is_parquet(path)
    return read_sheet(path, parquet=parquet, separator=file.separator, encoding=file.encoding)


def _unknown_columns(source: MappingSource, i: int, sheet: Sheet) -> Iterator[Mistake]:
    """Yield a mistake, at its line, for each column that the mapping names and file `i` does not have."""
    for node in _naming_columns(source.node.at(("files", i))):
        if node.value not in sheet.columns:
            has = f"its columns are {', '.join(sheet.columns[:30])}"
            yield node.problem(
                f"{sheet.file} has no column `{node.value}`", hint(str(node.value), sheet.columns) or has
            )


def _naming_columns(file: YamlNode) -> Iterator[YamlNode]:
    """Yield the nodes that name a column: `column`, and `account`, `contact` and a contact's `id` if they are texts."""
    todo = [(key, child) for key, child in file.items.items() if key != "id"]
    while todo:
        key, node = todo.pop(0)
        if key in ("column", "id", "account", "contact") and isinstance(node.value, str):
            yield node
        todo.extend((k, child) for k, child in node.items.items() if key not in ("map", "values"))


class _FilePart:
    """Everything that one file adds to the plan; its text is not kept."""

    def __init__(self, source: MappingSource, file: FileSpec, sheet: Sheet, faults: Faults, now_us: int) -> None:
        self.file, self.sheet, self.faults = file, sheet, faults
        zone = ZoneInfo(source.mapping.time_zone)
        self.read = CellReader(sheet, faults, file.missing, file.decimal, zone, now_us)
        self.subject = self._subject()
        self.account = self.read.ids(file.account) if file.account else None
        self.profile = self._profile()
        self.contacts = self._contacts(source)
        self.late = tuple(self._late())
        self.consents = tuple(self._consents())
        self.counts = self._counts()
        del self.sheet, self.read

    def _counts(self) -> FileCounts:
        direct = self.contacts.outcomes if self.contacts is not None else ()
        stated = {(c.purpose, c.channel): (int(pc.sum(c.granted).as_py() or 0), len(c.granted)) for c in self.consents}
        rows = len(self.sheet)
        return FileCounts(
            self.sheet.file,
            rows,
            int(pc.count_distinct(self.subject).as_py()),
            0 if self.contacts is None else rows - int(pc.sum(pc.equal(self.contacts.action, NONE)).as_py() or 0),
            {o.name: len(o.row) for o in direct} | {o.name: len(o.subject) for o in self.late},
            {key: (granted, both - granted, rows - both) for key, (granted, both) in stated.items()},
            self.read.empty,
        )

    def _subject(self) -> pa.Array:
        who = self.file.subject
        if who.column is not None:
            return self.read.ids(who.column)
        return pa.array([f"{who.row}{n}" for n in range(1, len(self.sheet) + 1)], pa.string())

    def _profile(self) -> pa.Table | None:
        features = [f for f in self.file.features if not f.after_outcome]
        if self.file.as_of is None or not features:
            return None
        at_us = self.read.when(self.file.as_of)
        self.read.unique("subject", self.subject, at_us)
        cells = {f.name: self.read.feature(f) for f in features}
        return pa.table({"subject": self.subject, "event_timestamp": as_time(at_us), **cells})

    def _contacts(self, source: MappingSource) -> ContactRows | None:
        spec = self.file.contact
        if spec is None:
            return None
        at_us = self.read.when(spec.at)
        action, channel = self.read.choice(spec.action, "action"), self.read.choice(spec.channel, "channel")
        id_ = self.read.ids(spec.id) if spec.id else None
        self.read.unique("contact", *((id_,) if id_ is not None else (self.subject, action, channel, at_us)))
        late = {o.name for f in source.mapping.files for o in f.outcomes}
        return ContactRows(
            subject=self.subject,
            account=self.account,
            id=id_,
            action=action,
            channel=channel,
            at_us=at_us,
            probability=self.read.chance(spec.probability),
            after={f.name: self.read.feature(f) for f in self.file.features if f.after_outcome},
            outcomes=tuple(self._outcome(o, at_us) for o in spec.outcomes),
            outcome_names=tuple(sorted({o.name for o in spec.outcomes} | late)),
        )

    def _outcome(self, spec: OutcomeColumn, contact_us: pa.Array) -> OutcomeRows:
        happened = self.read.happened(spec)
        row = pa.array(np.flatnonzero(happened.fill_null(False).to_numpy(zero_copy_only=False)))
        at_us = self._outcome_times(spec, happened, contact_us)
        value = self._values(spec)
        return OutcomeRows(spec.name, row, at_us.take(row), value.take(row))

    def _outcome_times(self, spec: OutcomeColumn, happened: pa.Array, contact_us: pa.Array) -> pa.Array:
        """Return int64 microseconds (n,): the outcome's own time, else its contact's; report impossible ones."""
        if spec.at is None:
            return contact_us
        if spec.at.column is None:
            return self.read.when(spec.at)
        at_us = self.read.moment(spec.at.column, spec.at.format)
        early = pc.and_(happened, pc.less(at_us, contact_us))
        self.read.report(spec.at.column, pc.and_(happened, at_us.is_null()), f"is empty, and {spec.name} came")
        self.read.report(spec.at.column, early, f"{spec.name} came before its contact")
        return at_us

    def _values(self, spec: OutcomeColumn) -> pa.Array:
        return self.read.number(spec.value.column) if spec.value else self.read.constant(None, pa.float64())

    def _late(self) -> Iterator[LateRows]:
        for spec in self.file.outcomes:
            happened = self.read.happened(spec).fill_null(False)
            at_us, action = self.read.when(spec.at), self.read.choice(spec.action, "action")
            contact = self.read.ids(spec.contact) if spec.contact else None
            columns = (self.subject, action, at_us, self._values(spec))
            subject, action, at_us, value = (c.filter(happened) for c in columns)
            of = contact.filter(happened) if contact is not None else None
            key = (subject, action, at_us) if of is None else (of,)
            self.read.unique("outcome", *key, rows=rows_of(happened))
            yield LateRows(spec.name, subject, of, action, at_us, value)

    def _consents(self) -> Iterator[ConsentRows]:
        for spec in self.file.consents:
            at_us = self.read.when(spec.at)
            yes, no = self.read.answers(
                spec.column, spec.granted, spec.refused, "`granted` and `refused`", all_stated=False
            )
            stated = pc.or_(yes, no)
            yield ConsentRows(
                spec.purpose,
                spec.channel,
                spec.notice_version,
                *(c.filter(stated) for c in (self.subject, yes, at_us)),
            )
