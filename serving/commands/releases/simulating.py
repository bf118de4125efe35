"""`brain simulate-change`: decide for the same customers under two releases, and write nothing of it."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select

from decisioning.catalogue.release import Release
from decisioning.deciding.record import Decision
from decisioning.errors import Refused
from decisioning.facts.forms import Known
from decisioning.review.catalogue_changes import catalogue_changes
from decisioning.review.simulated.causes import cause_of, gate_for_company, titles_of
from decisioning.review.simulated.outcomes import SimulatedCustomer, compared_for
from decisioning.times import iso, microseconds
from features.ledger import now_us
from features.ledger.tables import RECORDS
from serving.access.looks import looker_here, record_looks
from serving.brain.releases.named import CURRENT, FILES
from serving.brain.runtime import Brain, parsed_time
from serving.brain.snapshot import Snapshot
from serving.commands.releases.naming import release_named
from serving.commands.releases.persona_decisions import DecidedTwice, personas_decided
from serving.commands.releases.policy_changes import plain
from serving.commands.releases.population import (
    SAMPLE,
    ChannelPlace,
    ask_for,
    known_of_streams,
    name_of,
    places_of,
    sample_people,
)
from serving.customers import exported_files
from serving.pages.languages import Language
from serving.pages.simulation.page import page_of
from serving.settings import Workspace

BLOCK = 250
ASSUMED = (
    "Each customer comes once to each place of each channel, at one moment, with an account of no past, and with no "
    "page or reason for contact. Both releases meet the same facts, models, pauses and draws. What customers would do "
    "later, and how caps fill up over weeks, is left out.",
    "No customers are here yet, so the personas of the catalogue stand in for them, decided without chance.",
)
EXAMPLES = 5
Progress = Callable[[int, int, str], None]
Kind = Literal["customers", "customers without a consent", "personas"]
Flow = tuple[str, str | None, str | None]


@dataclass(frozen=True)
class SimulatedExample:
    """One customer whose first offer is another, in words. `streams`: whose it is, to erase it with them."""

    customer: str
    place: str
    before: str
    after: str
    why: str
    streams: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return f"{self.customer}: {self.after} instead of {self.before}, because {self.why}"


@dataclass(frozen=True)
class Simulated:
    """The customers in each place under both releases, of which `kind`, and some of those who move in words.

    `unknown`: features that no release with them has served, so that nobody's value is known.
    """

    before: Release
    after: Release
    at_us: int
    kind: Kind
    rows: tuple[SimulatedCustomer, ...]
    examples: tuple[SimulatedExample, ...]
    unknown: tuple[str, ...] = ()


@dataclass
class _Collected:
    """What is kept while customers are decided for: all in figures, and a few whole decisions of each flow."""

    rows: list[SimulatedCustomer] = field(default_factory=list)
    moved: dict[Flow, list[tuple[SimulatedCustomer, DecidedTwice]]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[Flow, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, twice: DecidedTwice) -> None:
        row = compared_for(*twice)
        self.rows.append(row)
        if row.moved:
            self.counts[row.flow] += 1
            if len(self.moved[row.flow]) < EXAMPLES:
                self.moved[row.flow].append((row, twice))


def named_pair(brain: Brain, before: str, after: str) -> tuple[Release, Release]:
    """Return the releases before and after a change; what the files change is compared with what serves.

    Raises NotFound or ConfigError.
    """
    if before == after == FILES:
        before = CURRENT
    return release_named(brain, before), release_named(brain, after)


def described(simulated: Simulated) -> dict[str, Any]:
    """Return what was simulated, and the examples, as JSON types."""
    same = simulated.before.hash == simulated.after.hash
    changes = [] if same else catalogue_changes(simulated.before, simulated.after, {})
    return {
        "before": simulated.before.hash,
        "after": simulated.after.hash,
        "as_of": iso(simulated.at_us),
        "who": simulated.kind,
        "same_release": same,
        "changes": [{n: plain(v) for n, v in asdict(c).items() if n not in ("gained", "lost")} for c in changes],
        "unknown_features": list(simulated.unknown),
        "examples": [
            {
                "customer": e.customer,
                "place": e.place,
                "from": e.before,
                "to": e.after,
                "why": e.why,
                "text": e.text,
            }
            for e in simulated.examples
        ],
        "assumed": ASSUMED[simulated.kind == "personas"],
    }


def with_gates_in_words(simulated: Simulated, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures with each gate in words, too, as the release says them that has the gate."""

    def words(row: Mapping[str, Any]) -> dict[str, str]:
        release = simulated.after if row["after"] else simulated.before
        return {
            name: gate_for_company(release, row["gate"], lang) for name, lang in (("text", "en"), ("text_nl", "nl"))
        }

    return {**figures, "withheld": [{**row, **words(row)} for row in figures["withheld"]]}


def write_page(
    workspace: Workspace, out: Path, simulated: Simulated, figures: Mapping[str, Any], lang: Language = "en"
) -> None:
    """Write the page of a simulated change, which is removed once one of its examples is erased."""
    streams = tuple(stream for example in simulated.examples for stream in example.streams)
    with exported_files.written(workspace, out, "export", streams) as half:
        half.write_text(page_of(figures, lang), encoding="utf-8")


def simulate(
    brain: Brain, releases: tuple[Release, Release], as_of: str | None, progress: Progress, sample: int = SAMPLE
) -> Simulated:
    """Decide for the same people under both releases: at one moment, with the same facts and the same draws.

    Nothing is decided for good, and no contact is reserved. That the examples were looked at is recorded.

    :param as_of: the moment; None: now
    :param sample: how many customers at most; without customers, the personas of the release after the change
    :raises Refused: there are neither customers nor personas
    :raises RequestError: `as_of` is no time
    """
    before, after = releases
    at_us = now_us() if as_of is None else microseconds(parsed_time(as_of))
    people = sample_people(brain, sample, at_us)
    collected = _Collected()
    decided = _customers(brain, releases, people.streams, at_us, progress)
    for twice in decided if people.streams else personas_decided(brain, releases, at_us):
        collected.add(twice)
    if not collected.rows:
        raise Refused("there is nobody to simulate: import customers, or write personas into the catalogue")
    kind: Kind = (
        "personas" if not people.streams else "customers" if people.consenting else "customers without a consent"
    )
    examples = tuple(_examples(brain, collected, named=bool(people.streams)))
    return Simulated(before, after, at_us, kind, tuple(collected.rows), examples, _unknown(brain, releases))


def _unknown(brain: Brain, releases: tuple[Release, Release]) -> tuple[str, ...]:
    names = {name for release in releases for name in brain.unreleased(release)}
    return tuple(sorted(names))


def _customers(
    brain: Brain, releases: tuple[Release, Release], streams: Sequence[str], at_us: int, progress: Progress
) -> Iterator[DecidedTwice]:
    sides = [brain.snapshot_under(release) for release in releases]
    places = list(dict.fromkeys(place for release in releases for place in places_of(release)))
    blocks = [streams[at : at + BLOCK] for at in range(0, len(streams), BLOCK)]
    for n, block in enumerate(blocks):
        known = [known_of_streams(brain, side, block, at_us) for side in sides]
        for m, place in enumerate(places):
            progress(n * len(places) + m, len(blocks) * len(places), "deciding twice")
            ids = [_decision_id(stream, place) for stream in block]
            twice = [_decided(brain, sides[i], place, known[i], at_us, ids) for i in (0, 1)]
            yield from map(DecidedTwice, block, *twice)


def _decided(
    brain: Brain, side: Snapshot, place: ChannelPlace, every: Sequence[Known], at_us: int, ids: Sequence[str]
) -> Sequence[Decision | None]:
    if place not in places_of(side.release):
        return [None] * len(every)
    ask = ask_for(place.channel, place.placement)
    return brain.decide_block([ask] * len(every), every, side, at_us, ids)


def _decision_id(stream: str, place: ChannelPlace) -> str:
    """Return the id of a simulated decision, which is the same in every run and under every release."""
    return f"d-{hashlib.sha256(f'{stream} {place.channel} {place.placement}'.encode()).hexdigest()[:32]}"


def _examples(brain: Brain, collected: _Collected, *, named: bool) -> Iterator[SimulatedExample]:
    """Yield up to EXAMPLES customers in words, each of another flow as far as there are so many.

    Help that a sale displaces comes first, then other losses of help, then the largest flows. It is recorded that each
    was looked at; who was erased meanwhile is left out.
    """
    looker, seen = looker_here("explanation", None), set[str]()
    for row, twice in _told_first(collected):
        if len(seen) == EXAMPLES:
            return
        if row.customer in seen:
            continue
        ids = _ids(brain, row.customer) if named else {}
        if named and not record_looks(brain.ledger, [looker.at(row.customer, ids)]):
            continue
        seen.add(row.customer)
        name = next(iter(ids.values()), f"customer {name_of(row.customer)}" if named else f"persona {row.customer}")
        titles = titles_of(twice.before, twice.after)
        cause = cause_of(twice.before, twice.after)
        yield SimulatedExample(name, row.place, *titles, cause, (row.customer,) if named else ())


def _told_first(collected: _Collected) -> Iterator[tuple[SimulatedCustomer, DecidedTwice]]:
    """Yield moved customers: the first of each flow, then the second of each."""

    def order(flow: Flow) -> tuple[bool, bool, bool, int, str]:
        row, _ = collected.moved[flow][0]
        displaced = row.loses_help and row.after.sells
        return not displaced, not row.loses_help, row.by_chance, -collected.counts[flow], str(flow)

    flows = sorted(collected.moved, key=order)
    for n in range(EXAMPLES):
        yield from (collected.moved[flow][n] for flow in flows if n < len(collected.moved[flow]))


def _ids(brain: Brain, stream: str) -> dict[str, str]:
    """Return the id by which the newest decision for a customer was requested; streams alone tell none."""
    newest = (
        select(RECORDS)
        .where(RECORDS.c.stream == stream, RECORDS.c.kind == "decision")
        .order_by(RECORDS.c.version.desc())
        .limit(1)
    )
    bodies = [brain.ledger.record_of(row).body for row in brain.ledger.select(newest)]
    ids = [body["request"].get("customer_id") for body in bodies if body is not None]
    return {"customer_id": ids[0]} if ids and ids[0] is not None else {}
