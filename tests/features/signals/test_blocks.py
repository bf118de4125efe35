"""Blocks of events come to what the same events come to one by one, whoever writes in between."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.files import pack
from decisioning.facts.standing import Link
from decisioning.facts.stretches import stretch_of
from features.importing.signals import import_signals, parser
from features.ledger import Ledger, now_us
from features.ledger.links import link_entries, visitors_now
from features.signals import Event, decode
from features.signals.blocks import AddBlocks, Block, prepare
from features.signals.intake import Intake
from features.signals.log import AddEvents, events_of, states_of
from features.signals.rules import SignalRules
from tests.examples import examples
from tests.features.processes import child
from tests.features.signals.places import Json, OpenPlace, Place, cloud_event
from tests.features.signals.signal_help import FIELDS, FILES, HOUR_US, S_US, histories, release

SECRET = b"of the tests of blocks, 32 bytes"
WHO = [str(n) for n in range(4)]
RULES = SignalRules(release())


@contextmanager
def ledgers(migrated: Path, count: int) -> Iterator[list[Ledger]]:
    """Yield empty ledgers in which the first subject is erased."""
    with TemporaryDirectory() as folder, ExitStack() as opened:
        places = [shutil.copy(migrated, Path(folder) / f"{n}.db") for n in range(count)]
        both = [opened.enter_context(Ledger.open(place, SECRET)) for place in places]
        for ledger in both:
            ledger.erase(ledger.stream_of("person", WHO[0]))
        yield both


def add_singly(ledger: Ledger, events: Sequence[Event]) -> Counter[str]:
    results = [ledger.transact(AddEvents([event], RULES)).result().results[0] for event in events]
    return Counter(result.status for result in results)


def add(ledger: Ledger, blocks: Sequence[Block]) -> Counter[str]:
    return Counter(ledger.transact(AddBlocks(blocks, RULES)).result()._asdict())


def content(ledger: Ledger) -> tuple[list[Any], list[Any]]:
    """Return the states and the events of all subjects, without versions, which tell how often a state was written."""
    streams = [ledger.stream_of("person", who) for who in WHO]
    stored = states_of(ledger.select_hot, streams)
    states = [(s, stored[s].body and decode(stored[s].body or b"")) for s in streams if s in stored]
    return states, sorted((e[:5], sorted(e.fields.items())) for s in streams for e in events_of(ledger.select_hot, s))


@st.composite
def arrivals(draw: st.DrawFn) -> list[Event]:
    """Events about several subjects, some of them sent twice, at most a day late when the last one is recorded."""
    events = list[Event]()
    for n, event in enumerate(draw(histories(30))):
        who = draw(st.sampled_from(WHO))
        events.append(event._replace(key=f"{n}", stream=who))
        if draw(st.integers(0, 5)) == 0:
            events.append(draw(st.sampled_from(events)))
    newest_us = max((e.recorded_us for e in events), default=0)
    return [e for e in events if e.time_us >= newest_us - 24 * HOUR_US]


def named(ledger: Ledger, events: Sequence[Event]) -> list[Event]:
    return [e._replace(key=ledger.key_of(e.key), stream=ledger.stream_of("person", e.stream)) for e in events]


@pytest.mark.promise("signals.replay-of-a-file")
@given(arrivals(), st.lists(st.integers(0, 40), max_size=4), st.sets(st.integers(0, 25), max_size=4), st.booleans())
@settings(max_examples=examples(60), deadline=None)
def test_blocks_come_to_what_single_events_come_to(
    migrated_sqlite: Path, arriving: list[Event], cuts: list[int], early: set[int], look_up: bool
) -> None:
    """`early`: the events that another process adds once a block has been prepared that holds them, or earlier ones."""
    with ledgers(migrated_sqlite, 2) as (in_blocks, singly):
        events = named(singly, arriving)
        counts = Counter[str]()
        for start, end in pairwise(sorted({0, *(cut for cut in cuts if cut < len(events)), len(events)})):
            block = prepare(in_blocks.select_hot, events[start:end], RULES)
            for_others = add_singly(in_blocks, [events[n] for n in sorted(early) if start <= n < len(events)])
            added = in_blocks.transact(AddBlocks([block], RULES, look_up=look_up)).result()
            counts.update(added._asdict())
            counts["accepted"] += for_others["accepted"]
            counts["duplicate"] -= for_others["accepted"]
        assert +counts == add_singly(singly, events)
        assert content(in_blocks) == content(singly)


@pytest.mark.promise("signals.ids")
@given(arrivals(), st.data())
@settings(max_examples=examples(60), deadline=None)
def test_corrections_come_to_what_the_corrected_events_come_to(
    migrated_sqlite: Path, arriving: list[Event], data: st.DataObject
) -> None:
    """One by one, in blocks, and as if each event had been sent once, with what was sent last under its key."""
    wrong = data.draw(st.lists(st.tuples(st.integers(0, 40), FIELDS), max_size=6))
    first = [e._replace(fields=dict(wrong).get(n, e.fields)) if e.type == "view" else e for n, e in enumerate(arriving)]
    with ledgers(migrated_sqlite, 3) as (singly, in_blocks, once):
        events = named(singly, [*first, *arriving])
        statuses = add_singly(singly, events)
        for start in range(0, len(events), 7):
            add(in_blocks, [prepare(in_blocks.select_hot, events[start : start + 7], RULES)])
        last = {event.key: event for event in events}
        add_singly(once, list(last.values()))
        assert content(singly) == content(in_blocks) == content(once)
        assert statuses["accepted"] == len({e.key for e in events if e.stream != once.stream_of("person", WHO[0])})


def link(ledger: Ledger, person: str, visitor: str, at_us: int, *, linked: bool) -> None:
    (standing,), (now,) = ledger.read(person), visitors_now([visitor], ledger.read)
    ledger.append(link_entries(standing, now, Link(visitor, "cookie", "login", at_us, linked), now_us()))


@pytest.mark.promise("identity.shared-device")
@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_block_goes_to_the_stretch_that_takes_events_when_it_is_written(
    migrated_sqlite: Path, meanwhile: bool
) -> None:
    """`meanwhile`: the visitor is unlinked after the block was prepared."""
    with ledgers(migrated_sqlite, 1) as (ledger,):
        person, visitor = ledger.stream_of("person", WHO[1]), ledger.stream_of("visitor", "cookie:tablet")
        events = [Event(ledger.key_of(f"{n}"), visitor, "login", S_US, S_US + n, {}, visitor=True) for n in range(3)]
        link(ledger, person, visitor, S_US, linked=True)
        assert add(ledger, [prepare(ledger.select_hot, events[:1], RULES)])["accepted"] == 1
        if not meanwhile:
            link(ledger, person, visitor, 10 * S_US, linked=False)
        block = prepare(ledger.select_hot, events[1:], RULES)
        if meanwhile:
            link(ledger, person, visitor, 10 * S_US, linked=False)
        assert add(ledger, [block]) == Counter(accepted=2, duplicate=0, erased=0)
        assert add(ledger, [prepare(ledger.select_hot, events, RULES)])["duplicate"] == 3
        stretches = (visitor, stretch_of(visitor, 1))
        kept = [[event.key for event in events_of(ledger.select_hot, stretch)] for stretch in stretches]
        assert [sorted(keys) for keys in kept] == [[events[0].key], sorted(e.key for e in events[1:])]


def test_blocks_without_events_write_nothing(migrated_sqlite: Path) -> None:
    with ledgers(migrated_sqlite, 1) as (ledger,):
        about_erased = prepare(ledger.select_hot, named(ledger, [Event("k", WHO[0], "login", S_US, S_US, {})]), RULES)
        assert add(ledger, [prepare(ledger.select_hot, [], RULES)]) == Counter(accepted=0, duplicate=0, erased=0)
        assert add(ledger, [about_erased, prepare(ledger.select_hot, [], RULES)])["erased"] == 1


def test_the_parts_of_a_file_share_no_subject_until_they_are_written(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the parts: those that wait to be written have no subject in common, and nothing is left out."""
    for name, size in {"FIRST_ROWS": 40, "_MOST_ROWS": 90, "_EVENTS": 5, "_MOST_EVENTS": 8}.items():
        monkeypatch.setattr(parser, name, size)
    rows = past(500, [*WHO[1:] * 4, *map(str, range(10, 30))])
    path = tmp_path / "past.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *rows[:60]]))
    waiting, counts = list[Block](), Counter[str]()
    with ledgers(migrated_sqlite, 2) as (in_parts, singly):

        def write() -> None:
            for at in range(0, len(waiting), 3):
                counts.update(add(in_parts, waiting[at : at + 3]))
            waiting.clear()

        intake, finished = Intake(release(), in_parts.names, history=True), list[int]()
        for part in parser.parts(parser.sorted_rows(path, intake, 0), RULES, in_parts.select_hot, write):
            assert not any(stream in block.states for stream in part.block.states for block in waiting)
            assert part.block.rows
            waiting.append(part.block)
            finished += [part.finished.rows] if part.finished else []
        write()
        assert finished == [40, 130, 220, 310, 400, 490, 560]
        assert +counts == {"accepted": 500, "duplicate": 60}
        at_us = now_us()
        add_singly(singly, [intake.event(row, at_us) for row in rows])
        states, events = content(in_parts)
        assert [e[0][:4] for e in events] == [e[0][:4] for e in content(singly)[1]]
        assert len(states) == len(WHO)


def past(count: int, whom: Sequence[str], seed: int = 1) -> list[Json]:
    """Return events of the last day, in random order."""
    rng, until_us = random.Random(seed), now_us()
    return [
        cloud_event(f"{seed}-{n}", f"customer:{rng.choice(whom)}", until_us - rng.randrange(20 * HOUR_US), items=n % 5)
        for n in range(count)
    ]


def replay(pipe: Connection, place: Place, path: Path) -> None:
    with place.opened() as opened:
        result = import_signals(path, pack(FILES), opened.ledger, path.parent / f"notes-{path.stem}")
        pipe.send((result.accepted, result.duplicate))


@pytest.mark.promise("signals.replay-of-a-file")
def test_two_imports_at_once_of_files_that_overlap_count_each_event_once(
    place: Place, opened: OpenPlace, tmp_path: Path
) -> None:
    rows, paths = past(3_000, WHO), list[Path]()
    for n, own in enumerate((rows[:2_000], rows[1_000:])):
        paths.append(tmp_path / f"{n}.jsonl")
        paths[n].write_text("".join(json.dumps(row) + "\n" for row in own))
    with child(replay, place, paths[0]) as one, child(replay, place, paths[1]) as other:
        told = [process.pipe.recv() for process in (one, other)]
    assert [sum(counts) for counts in told] == [2_000, 2_000]
    assert sum(accepted for accepted, _ in told) == 3_000
    for who in WHO:
        opened.check([opened.stream(f"customer:{who}")], now_us() + S_US)
