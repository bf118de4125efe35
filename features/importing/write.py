"""A checked plan -> profile history and ledger; what is there already is not added again."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.files import Catalogue
from decisioning.errors import Refused
from decisioning.facts.schema import Feature, Value
from features.importing.cells import as_time
from features.importing.entries import Entries
from features.importing.inferred import asserted_constants
from features.importing.mapping import NONE
from features.importing.plan import ImportPlan, Progress
from features.ledger import Entry, Ledger

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

ENVIRONMENT_WITHOUT_ASSERTIONS = "prod"
_READ = 500
_TOLD = 5000


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import added: ledger records, of them new; customers, and those left out because they were erased."""

    customers: int
    rows: int
    records: int
    new_records: int
    erased: int


def write(
    plan: ImportPlan,
    catalogue: Catalogue,
    ledger: Ledger,
    history: "History",
    environment: str,
    progress: Progress | None = None,
) -> ImportResult:
    """Brings the plan into profile, online store and ledger, for the release whose catalogue this is.

    Run again after a failure or by mistake, it adds what is missing and nothing twice. Raises Refused, before
    anything is written, where the release does not hold what the plan needs, or the environment takes no assertions.
    """
    _refuse(plan, catalogue, environment)
    streams = {s: ledger.stream_of("person", s) for s in plan.subjects}
    erased = erased_among(ledger, list(streams.values()))
    alive = {s: stream for s, stream in streams.items() if stream not in erased}
    entries = Entries(plan, catalogue, ledger, alive)
    found = entries.by_stream()
    total = sum(map(len, found.values()))
    with ThreadPoolExecutor(1, "import-profiles") as beside:  # two stores, and most of the time both wait for a disk
        profiles = beside.submit(_write_profiles, plan, alive, history, progress)
        new = ledger.append_many(_told(found, total, progress))
        profiles.result()
    return ImportResult(len(alive), plan.rows, total, new, len(erased))


def _refuse(plan: ImportPlan, catalogue: Catalogue, environment: str) -> None:
    mapping = plan.source.mapping
    if environment == ENVIRONMENT_WITHOUT_ASSERTIONS and mapping.assertions:
        authors = ", ".join(a.author for a in mapping.assertions)
        raise Refused(f"prod takes no assertions, and the mapping holds some (by {authors}): replace them by records")
    actions, channels = {a.id for a in catalogue.actions} | {NONE}, {c.id for c in catalogue.channels}
    purposes = {p.id for p in catalogue.purposes}
    for contacts in plan.contacts:
        _known("action", pc.unique(contacts.action).to_pylist(), actions)
        shown = contacts.channel.filter(pc.not_equal(contacts.action, NONE))
        _known("channel", pc.unique(shown).to_pylist(), channels)
    _known("purpose", [c.purpose for c in plan.consents], purposes)
    _known("purpose", [c.purpose for a in mapping.assertions for c in a.consents], purposes)
    features = {f.name: f for f in catalogue.features}
    for table in plan.profiles:
        for name in table.schema.names[2:]:
            _known("feature", [name], features)
            _in_range(table[name], features[name])
    for _, facts in asserted_constants(plan):
        _known("feature", facts, features)


def _known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    if missing := sorted(set(names) - set(known)):
        raise Refused(f"the release has no {kind} {', '.join(missing)}: add it to the catalogue and release first")


def _in_range(cells: pa.ChunkedArray, feature: Feature) -> None:
    if feature.dtype == "enum":
        fits = set(pc.unique(cells).to_pylist()) <= {*feature.values, None}
    elif feature.dtype in ("int", "float", "timestamp"):
        known = [v for v in pc.min_max(cells).as_py().values() if v is not None]
        low, high = feature.min, feature.max
        fits = all((low is None or low <= v) and (high is None or v <= high) for v in known)
    else:
        fits = True
    if not fits:
        raise Refused(
            f"the release's feature {feature.name} does not allow all that the data holds: widen it and release first"
        )


def erased_among(ledger: Ledger, streams: Sequence[str]) -> set[str]:
    """An import must not bring back who asked to be forgotten."""
    parts = (streams[i : i + _READ] for i in range(0, len(streams), _READ))
    return {standing.stream for part in parts for standing in ledger.read(*part) if standing.erased}


def _write_profiles(plan: ImportPlan, alive: dict[str, str], history: "History", progress: Progress | None) -> None:
    for table in _tables(plan):
        _write_profile(table, alive, history, progress)


def _write_profile(table: pa.Table, alive: dict[str, str], history: "History", progress: Progress | None) -> None:
    keys = table["subject"].combine_chunks()
    streams = pa.array([alive.get(s) for s in keys.to_pylist()], pa.string())
    named = table.set_column(0, "subject", streams).filter(streams.is_valid())
    if named.num_rows:
        history.import_profiles(named, (lambda done, total: progress(done, total, "profiles")) if progress else None)


def _tables(plan: ImportPlan) -> Iterator[pa.Table]:
    """The profile rows, with what somebody states of all customers: in the rows that are no older, else in its own.

    A second statement about every customer would double the time of an import.
    """
    stated = list(asserted_constants(plan))
    left: dict[int, set[str]] = {n: set(plan.subjects) for n in range(len(stated))}
    for table in plan.profiles:
        oldest_us = pc.min(table["event_timestamp"].cast(pa.int64())).as_py()
        facts_of_all: dict[str, Value] = {}
        for n, (since_us, facts) in enumerate(stated):
            if since_us <= oldest_us:
                left[n].difference_update(table["subject"].to_pylist())
                facts_of_all |= facts
        yield _with_constants(table, facts_of_all)
    for n, (since_us, facts) in enumerate(stated):
        if left[n]:
            times = as_time(pa.repeat(pa.scalar(since_us, pa.int64()), len(left[n])))
            own = pa.table({"subject": pa.array(sorted(left[n]), pa.string()), "event_timestamp": times})
            yield _with_constants(own, facts)


def _with_constants(table: pa.Table, facts: dict[str, Value]) -> pa.Table:
    for name, value in facts.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value), table.num_rows))
    return table


def _told(found: dict[str, list[Entry]], total: int, progress: Progress | None) -> Iterator[Entry]:
    """The entries of a stream together, as the ledger likes them."""
    done = 0
    for entries in found.values():
        for entry in entries:
            yield entry
            done += 1
            if progress and (done % _TOLD == 0 or done == total):
                progress(done, total, "ledger")
