"""Writes a checked plan to the profile history and the ledger; nothing is added twice."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.files import Catalogue
from decisioning.errors import Refused
from decisioning.facts.schema import Feature, Value
from features.importing.blocks import by_customers
from features.importing.cells import as_time
from features.importing.inferred import asserted_constants
from features.importing.mapping import NONE
from features.importing.plan import ImportPlan, Progress
from features.importing.records import Entries, corrections
from features.importing.tables.columns import decoded, return_memory
from features.ledger import Entry, Ledger
from features.signals.purging import erased_since

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

ENVIRONMENT_WITHOUT_ASSERTIONS = "prod"
_PROFILES = "profiles"
"""The phase of a profile import that is reported, `features.profile.offline.ONLINE`: importing that takes seconds."""
_CUSTOMERS = 5_000
"""Customers whose records are built at a time."""
_ROWS = 10_000
"""Rows of profiles that are staged at a time."""
_ENTRIES_PER_STEP = 5000
"""How many ledger entries are written between two calls of `progress`."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import added.

    `customers` were imported, `erased` were left out because they were erased; `rows` were read from the files;
    `records` were given to the ledger, and `new_records` of them were new to it. `corrected`: outcomes that an earlier
    import recorded otherwise than these files say.
    """

    customers: int
    rows: int
    records: int
    new_records: int
    erased: int
    corrected: int


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
    with ThreadPoolExecutor(1, "import-profiles") as pool:  # two stores, which both mostly wait for a disk
        profiles = pool.submit(_write_profiles, plan, ledger, history, progress)
        result = _write_records(plan, catalogue, ledger, progress)
        profiles.result()
    return result


def _write_records(plan: ImportPlan, catalogue: Catalogue, ledger: Ledger, progress: Progress | None) -> ImportResult:
    """Append the records of some customers after the other, with each stream's records together."""
    erased = frozenset(erased_since(ledger.select, 0))
    customers = records = new = seen = corrected = 0
    for part in by_customers(plan, _CUSTOMERS):
        seen += len(part.subjects)
        streams = {s: ledger.stream_of("person", s) for s in part.subjects.to_pylist()}
        streams = {s: stream for s, stream in streams.items() if stream not in erased}
        customers += len(streams)
        built = Entries(part, catalogue, ledger, streams)
        entries = [entry for own in built.by_stream().values() for entry in own]
        corrected += ledger.append_many(corrections(ledger, entries, built.denied))
        new += ledger.append_many(_with_progress(entries, records, seen / len(plan.subjects), progress))
        records += len(entries)
    return ImportResult(customers, plan.rows, records, new, seen - customers, corrected)


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


def _write_profiles(plan: ImportPlan, ledger: Ledger, history: "History", progress: Progress | None) -> None:
    online = partial(_report, progress, _PROFILES) if progress else None
    for table in _tables(plan):
        with history.staged() as staged:
            for start in range(0, table.num_rows, _ROWS):
                rows = table.slice(start, _ROWS)
                streams = [ledger.stream_of("person", subject) for subject in rows["subject"].to_pylist()]
                plain = {name: decoded(rows[name].combine_chunks()) for name in rows.schema.names[1:]}
                staged.add(history.checked(pa.table({"subject": pa.array(streams, pa.string()), **plain})))
            return_memory()
            history.import_staged(staged, {_PROFILES: online} if online else {}, lambda: erased_since(ledger.select, 0))
        return_memory()


def _report(progress: Progress, what: str, done: int, total: int) -> None:
    progress(done, total, what)


def _tables(plan: ImportPlan) -> Iterator[pa.Table]:
    """Yield the profile rows with the asserted facts of all customers.

    Asserted facts are added to rows that are not older, since a second statement about every customer would double the
    time of an import; customers without such rows get rows of their own.
    """
    assertions = list(asserted_constants(plan))
    without = [np.ones(len(plan.subjects), np.bool_) for _ in assertions]  # who has no row with the facts
    for table in plan.profiles:
        times = table["event_timestamp"].combine_chunks().dictionary
        oldest_us = pc.min(times.cast(pa.int64())).as_py()
        facts_of_all: dict[str, Value] = {}
        for n, (since_us, facts) in enumerate(assertions):
            if since_us <= oldest_us:
                without[n][table["subject"].combine_chunks().indices] = False
                facts_of_all |= facts
        yield _with_constants(table, facts_of_all)
    for n, (since_us, facts) in enumerate(assertions):
        if without[n].any():
            subjects = plan.subjects.filter(pa.array(without[n]))
            times = as_time(pa.repeat(pa.scalar(since_us, pa.int64()), len(subjects)))
            own = pa.table({"subject": subjects, "event_timestamp": times})
            yield _with_constants(own, facts)


def _with_constants(table: pa.Table, facts: dict[str, Value]) -> pa.Table:
    for name, value in facts.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value), table.num_rows))
    return table


def _with_progress(entries: Sequence[Entry], before: int, share: float, progress: Progress | None) -> Iterator[Entry]:
    """Yield the entries, of which `before` came before, and report progress.

    :param share: the share of all customers that these entries and those before are about
    """
    total = round((before + len(entries)) / share)
    for n, entry in enumerate(entries, before + 1):
        yield entry
        if progress and (n % _ENTRIES_PER_STEP == 0 or n == before + len(entries)):
            progress(n, total, "ledger")
