"""Writes a checked plan to the profile history and the ledger; nothing is added twice."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.files import Catalogue
from decisioning.errors import Refused
from decisioning.facts.schema import Feature, Value
from decisioning.facts.standing_rules import NO_PAST
from features.importing.cells import as_time
from features.importing.entries import Entries
from features.importing.inferred import asserted_constants
from features.importing.mapping import NONE
from features.importing.plan import ImportPlan, Progress
from features.ledger import Entry, Ledger
from features.ledger.driver import in_chunks

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

ENVIRONMENT_WITHOUT_ASSERTIONS = "prod"
_ENTRIES_PER_STEP = 5000
"""How many ledger entries are written between two calls of `progress`."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import added.

    `customers` were imported, `erased` were left out because they were erased; `rows` were read from the files;
    `records` were given to the ledger, and `new_records` of them were new to it.
    """

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
    """Write the plan to profile history, online store and ledger, for the release with this catalogue.

    Run again, after a failure or by mistake, it adds what is missing and nothing twice. Raises Refused, before
    anything is written, where the release lacks what the plan needs, or the environment takes no assertions.
    """
    _check_assertions(plan, environment)
    _check_names(plan, catalogue)
    _check_features(plan, catalogue)
    all_streams = {s: ledger.stream_of("person", s) for s in plan.subjects}
    erased = erased_streams(ledger, list(all_streams.values()))
    streams = {s: stream for s, stream in all_streams.items() if stream not in erased}
    entries = Entries(plan, catalogue, ledger, streams).by_stream()
    total = sum(map(len, entries.values()))
    with ThreadPoolExecutor(1, "import-profiles") as pool:  # two stores, which both mostly wait for a disk
        profiles = pool.submit(_write_profiles, plan, streams, history, progress)
        new = ledger.append_many(_with_progress(entries, total, progress))
        profiles.result()
    return ImportResult(len(streams), plan.rows, total, new, len(erased))


def _check_assertions(plan: ImportPlan, environment: str) -> None:
    assertions = plan.source.mapping.assertions
    if environment == ENVIRONMENT_WITHOUT_ASSERTIONS and assertions:
        authors = ", ".join(a.author for a in assertions)
        raise Refused(f"prod takes no assertions, and the mapping holds some (by {authors}): replace them by records")


def _check_names(plan: ImportPlan, catalogue: Catalogue) -> None:
    actions, channels = {a.id for a in catalogue.actions} | {NONE}, {c.id for c in catalogue.channels}
    purposes = {p.id for p in catalogue.purposes}
    for contacts in plan.contacts:
        _check_declared("action", pc.unique(contacts.action).to_pylist(), actions)
        used = contacts.channel.filter(pc.not_equal(contacts.action, NONE))
        _check_declared("channel", pc.unique(used).to_pylist(), channels)
    _check_declared("purpose", [c.purpose for c in plan.consents], purposes)
    asserted = [c.purpose for a in plan.source.mapping.assertions for c in a.consents]
    _check_declared("purpose", asserted, purposes)


def _check_features(plan: ImportPlan, catalogue: Catalogue) -> None:
    features = {f.name: f for f in catalogue.features}
    for table in plan.profiles:
        for name in table.schema.names[2:]:
            _check_declared("feature", [name], features)
            _check_range(table[name], features[name])
    for _, facts in asserted_constants(plan):
        _check_declared("feature", facts, features)


def _check_declared(kind: str, names: Iterable[str], declared: Iterable[str]) -> None:
    if missing := sorted(set(names) - set(declared)):
        raise Refused(f"the release has no {kind} {', '.join(missing)}: add it to the catalogue and release first")


def _check_range(cells: pa.ChunkedArray, feature: Feature) -> None:
    if feature.dtype == "enum":
        fits = set(pc.unique(cells).to_pylist()) <= {*feature.values, None}
    elif feature.dtype in ("int", "float", "timestamp"):
        extremes = [v for v in pc.min_max(cells).as_py().values() if v is not None]
        low, high = feature.min, feature.max
        fits = all((low is None or low <= v) and (high is None or v <= high) for v in extremes)
    else:
        fits = True
    if not fits:
        raise Refused(
            f"the release's feature {feature.name} does not allow all that the data holds: widen it and release first"
        )


def erased_streams(ledger: Ledger, streams: Sequence[str]) -> set[str]:
    """Return those of `streams` that were erased, which an import must not restore."""
    return {
        standing.stream
        for part in in_chunks(streams)
        for standing in ledger.read(*part, rules=NO_PAST)
        if standing.erased
    }


def _write_profiles(plan: ImportPlan, streams: dict[str, str], history: "History", progress: Progress | None) -> None:
    for table in _tables(plan):
        write_profile(table, streams, history, progress)


def write_profile(table: pa.Table, streams: dict[str, str], history: "History", progress: Progress | None) -> int:
    """Import the rows of the customers in `streams` (customer id -> stream) and return their number.

    The first column of `table` is subject, the customer's id.
    """
    subjects = pa.array([streams.get(s) for s in table["subject"].to_pylist()], pa.string())
    rows = table.set_column(0, "subject", subjects).filter(subjects.is_valid())
    if rows.num_rows:
        history.import_profiles(rows, (lambda done, total: progress(done, total, "profiles")) if progress else None)
    return int(rows.num_rows)


def _tables(plan: ImportPlan) -> Iterator[pa.Table]:
    """Yield the profile rows with the asserted facts of all customers.

    Asserted facts are added to rows that are not older, since a second statement about every customer would double the
    time of an import; customers without such rows get rows of their own.
    """
    assertions = list(asserted_constants(plan))
    remaining: dict[int, set[str]] = {n: set(plan.subjects) for n in range(len(assertions))}
    for table in plan.profiles:
        oldest_us = pc.min(table["event_timestamp"].cast(pa.int64())).as_py()
        facts_of_all: dict[str, Value] = {}
        for n, (since_us, facts) in enumerate(assertions):
            if since_us <= oldest_us:
                remaining[n].difference_update(table["subject"].to_pylist())
                facts_of_all |= facts
        yield _with_constants(table, facts_of_all)
    for n, (since_us, facts) in enumerate(assertions):
        if remaining[n]:
            times = as_time(pa.repeat(pa.scalar(since_us, pa.int64()), len(remaining[n])))
            own = pa.table({"subject": pa.array(sorted(remaining[n]), pa.string()), "event_timestamp": times})
            yield _with_constants(own, facts)


def _with_constants(table: pa.Table, facts: dict[str, Value]) -> pa.Table:
    for name, value in facts.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value), table.num_rows))
    return table


def _with_progress(entries: dict[str, list[Entry]], total: int, progress: Progress | None) -> Iterator[Entry]:
    """Yield the entries stream by stream, as the ledger writes them best, and report progress."""
    for n, entry in enumerate((entry for own in entries.values() for entry in own), 1):
        yield entry
        if progress and (n % _ENTRIES_PER_STEP == 0 or n == total):
            progress(n, total, "ledger")
