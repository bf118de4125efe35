"""What an import will write, computed and checked whole before anything is written."""

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
from features.importing.cells import Reader, as_time
from features.importing.mapping import FileSpec, OutcomeColumn
from features.importing.reading import Source
from features.importing.tables import Faults, Sheet, is_parquet, read_sheet

Progress = Callable[[int, int, str], None]
"""Called with (done, in all, what)."""


@dataclass(frozen=True)
class OutcomeRows:
    """Outcomes that came: `row` int64 (m,) in the file, time, and what they were worth (null: not said)."""

    name: str
    row: pa.Array
    at_us: pa.Array
    value_eur: pa.Array


@dataclass(frozen=True)
class ContactRows:
    """What was done, a column per field, each (n,). `told`: the outcomes of which the file says yes or no."""

    subject: pa.Array
    account: pa.Array | None
    id: pa.Array | None
    action: pa.Array
    channel: pa.Array
    at_us: pa.Array
    probability: pa.Array
    after: Mapping[str, pa.Array]
    outcomes: tuple[OutcomeRows, ...]
    told: tuple[str, ...]


@dataclass(frozen=True)
class LateRows:
    """One outcome of a file of outcomes, for the rows (m,) where it came; `contact` null: by customer and action."""

    name: str
    subject: pa.Array
    contact: pa.Array | None
    action: pa.Array
    at_us: pa.Array
    value_eur: pa.Array


@dataclass(frozen=True)
class ConsentRows:
    """Consents that a file states, (m,); `granted` bool."""

    purpose: str
    channel: str
    notice_version: str
    subject: pa.Array
    granted: pa.Array
    at_us: pa.Array


@dataclass(frozen=True)
class ImportPlan:
    """A whole import. `profiles`: subject (the customer's id), event_timestamp and features, a table per file."""

    source: Source
    subjects: tuple[str, ...]
    profiles: tuple[pa.Table, ...]
    contacts: tuple[ContactRows, ...]
    late: tuple[LateRows, ...]
    consents: tuple[ConsentRows, ...]
    rows: int


def make_plan(source: Source, paths: Mapping[str, Path], now_us: int, progress: Progress | None = None) -> ImportPlan:
    """Reads and checks every file; `paths` by the ids that the mapping gives them.

    Raises ConfigError where the mapping names what the files do not have, Refused for cells that are wrong: all of
    them (the first 20 are listed), by file, row and column.
    """
    files, faults, sheets = source.mapping.files, Faults(), []
    for n, file in enumerate(files):
        if progress:
            progress(n, len(files), "reading files")
        sheets.append(_read(file, paths[file.id]))
    numbered = enumerate(zip(files, sheets, strict=True))
    problems = [p for i, (file, sheet) in numbered for p in _unknown_columns(source, i, sheet)]
    if problems:
        raise ConfigError(problems)
    parts = [_FilePart(source, file, sheet, faults, now_us) for file, sheet in zip(files, sheets, strict=True)]
    faults.raise_any()
    if progress:
        progress(len(files), len(files), "reading files")
    subjects = dict.fromkeys(s for part in parts for s in part.subject.to_pylist())
    return ImportPlan(
        source,
        tuple(subjects),
        tuple(p.profile for p in parts if p.profile is not None),
        tuple(p.contacts for p in parts if p.contacts is not None),
        tuple(late for p in parts for late in p.late),
        tuple(consent for p in parts for consent in p.consents),
        sum(map(len, sheets)),
    )


def assign_paths(source: Source, folder: Path, given: Sequence[str]) -> dict[str, Path]:
    """File id -> path: `id=path` as named, bare paths in the order of the mapping, else the mapping's own `path`.

    Raises Refused, saying which files are wanted.
    """
    specs = {f.id: f for f in source.mapping.files}
    found = {f.id: folder / f.path for f in specs.values() if f.path}
    named = dict(text.split("=", 1) for text in given if text.partition("=")[0] in specs)
    bare = [text for text in given if text.partition("=")[0] not in specs]
    free = [id_ for id_ in specs if id_ not in named]
    found |= {id_: Path(text) for id_, text in (*named.items(), *zip(free, bare, strict=False))}
    missing = [id_ for id_ in specs if id_ not in found]
    if missing or len(bare) > len(free):
        wanted = " ".join(f"{id_}=FILE" for id_ in specs)
        which = f"there is no file for {', '.join(missing)}" if missing else f"{len(given)} files are too many"
        raise Refused(f"{which}: mapping {source.mapping.id} reads {wanted}")
    return found


def _read(file: FileSpec, path: Path) -> Sheet:
    parquet = file.format == "parquet" if file.format else is_parquet(path)
    return read_sheet(path, parquet=parquet, separator=file.separator, encoding=file.encoding)


def _unknown_columns(source: Source, i: int, sheet: Sheet) -> Iterator[Mistake]:
    """Columns that the mapping names and the file does not have, each at its line."""
    for node in _naming_columns(source.node.at(("files", i))):
        if node.value not in sheet.columns:
            has = f"its columns are {', '.join(sheet.columns[:30])}"
            yield node.problem(
                f"{sheet.file} has no column `{node.value}`", hint(str(node.value), sheet.columns) or has
            )


def _naming_columns(file: YamlNode) -> Iterator[YamlNode]:
    """Where a column is named: `column`, and `account`, `contact` and the `id` of a contact where these are texts."""
    todo = [(key, child) for key, child in file.items.items() if key != "id"]
    while todo:
        key, node = todo.pop(0)
        if key in ("column", "id", "account", "contact") and isinstance(node.value, str):
            yield node
        todo.extend((k, child) for k, child in node.items.items() if key not in ("map", "values"))


class _FilePart:
    """Everything of one file."""

    def __init__(self, source: Source, file: FileSpec, sheet: Sheet, faults: Faults, now_us: int) -> None:
        self.file, self.sheet, self.faults = file, sheet, faults
        zone = ZoneInfo(source.mapping.time_zone)
        self.read = Reader(sheet, faults, file.missing, file.decimal, zone, now_us)
        self.subject = self._subject()
        self.account = self.read.ids(file.account) if file.account else None
        self.profile = self._profile()
        self.contacts = self._contacts(source)
        self.late = tuple(self._late())
        self.consents = tuple(self._consents())

    def _subject(self) -> pa.Array:
        who = self.file.subject
        if who.column is not None:
            return self.read.ids(who.column)
        return pa.array([f"{who.row}{n}" for n in range(1, len(self.sheet) + 1)], pa.string())

    def _profile(self) -> pa.Table | None:
        known_then = [f for f in self.file.features if not f.after_outcome]
        if self.file.as_of is None or not known_then:
            return None
        at_us = self.read.when(self.file.as_of)
        self.read.once("subject", self.subject, at_us)
        cells = {f.name: self.read.feature(f) for f in known_then}
        return pa.table({"subject": self.subject, "event_timestamp": as_time(at_us), **cells})

    def _contacts(self, source: Source) -> ContactRows | None:
        spec = self.file.contact
        if spec is None:
            return None
        at_us = self.read.when(spec.at)
        action, channel = self.read.choice(spec.action, "action"), self.read.choice(spec.channel, "channel")
        id_ = self.read.ids(spec.id) if spec.id else None
        self.read.once("contact", *((id_,) if id_ is not None else (self.subject, action, channel, at_us)))
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
            told=tuple(sorted({o.name for o in spec.outcomes} | late)),
        )

    def _outcome(self, spec: OutcomeColumn, contact_us: pa.Array) -> OutcomeRows:
        came = self.read.happened(spec)
        row = pa.array(np.flatnonzero(came.fill_null(False).to_numpy(zero_copy_only=False)))
        at_us = self.read.moment(spec.at.column, spec.at.format) if spec.at and spec.at.column else contact_us
        if spec.at and spec.at.column:
            self.read.note(spec.at.column, pc.and_(came, at_us.is_null()), f"is empty, and {spec.name} came")
            self.read.note(
                spec.at.column, pc.and_(came, pc.less(at_us, contact_us)), f"{spec.name} came before its contact"
            )
        elif spec.at:
            at_us = self.read.when(spec.at)
        value = self.read.number(spec.value.column) if spec.value else self.read.constant(None, pa.float64())
        return OutcomeRows(spec.name, row, at_us.take(row), value.take(row))

    def _late(self) -> Iterator[LateRows]:
        for spec in self.file.outcomes:
            came = self.read.happened(spec).fill_null(False)
            at_us, action = self.read.when(spec.at), self.read.choice(spec.action, "action")
            contact = self.read.ids(spec.contact) if spec.contact else None
            value = self.read.number(spec.value.column) if spec.value else self.read.constant(None, pa.float64())
            columns = (self.subject, action, at_us, value)
            subject, action, at_us, value = (c.filter(came) for c in columns)
            yield LateRows(
                spec.name, subject, contact.filter(came) if contact is not None else None, action, at_us, value
            )

    def _consents(self) -> Iterator[ConsentRows]:
        for spec in self.file.consents:
            cells, at_us = self.read.text(spec.column), self.read.when(spec.at)
            yes, no = (
                pc.is_in(cells, value_set=pa.array(words, pa.string())) for words in (spec.granted, spec.refused)
            )
            said = pc.or_(yes, no)
            yield ConsentRows(
                spec.purpose,
                spec.channel,
                spec.notice_version,
                *(c.filter(said) for c in (self.subject, yes, at_us)),
            )
