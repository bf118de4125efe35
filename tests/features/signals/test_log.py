"""The log of signals and its states: purges, erasures, kills, and reads under another release."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection

import pytest

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from features.signals.blocks import AddBlocks, prepare
from features.signals.log import states_of
from features.signals.state import decode
from tests.features.processes import child, warm_up
from tests.features.signals.places import Json, OpenPlace, Place, StillPlace, cloud_event, written
from tests.features.signals.recomputed import recompute
from tests.features.signals.signal_help import CATALOGUE, HOUR_US, NOW_US, S_US, assert_same, release

WHO = "customer:1"
DAY_US = 24 * HOUR_US
MORE = """
features:
  - {name: tv_7d, dtype: int, source: signal,
     signal: {of: view, where: {page: tv}, compute: count, window: 7d}}
  - {name: last_item, dtype: int, source: signal, signal: {of: view, compute: last, field: items}}
"""


@pytest.fixture(autouse=True, scope="module")
def _warm() -> None:
    warm_up()


def views(opened: OpenPlace, count: int, first: int = 0, subject: str = WHO) -> list[Json]:
    at_us, pages = opened.place.now_us(), ("home", "tv", "film")
    return [
        cloud_event(f"{subject} {n}", subject, at_us - n * S_US, page=pages[n % 3], seconds=1.5 * n, items=n % 5)
        for n in range(first, first + count)
    ]


def later_release() -> Release:
    files = {"all.yaml": CATALOGUE, "more.yaml": MORE}
    return Release.of(load(files), pack(files))


@pytest.mark.promise("signals.purged-still-count")
def test_what_was_purged_still_counts(opened: OpenPlace) -> None:
    """Retention deletes events but not what they count for; new events are added to that."""
    stream = opened.stream(WHO)
    assert {r.status for r in opened.record(views(opened, 40))} == {"accepted"}
    known = opened.log(WHO)
    long_ago = opened.events(views(opened, 10, 100, "customer:2"))
    opened.signals.record(long_ago)
    at_us = opened.place.now_us()
    before = opened.signals.read([stream], at_us)
    assert opened.signals.purge(at_us + 29 * DAY_US) == 0
    assert opened.signals.purge(at_us + 31 * DAY_US) == 50
    assert opened.log(WHO) == []
    assert opened.signals.read([stream], at_us) == before
    assert_same(before.facts, recompute(known, release().schema.of_source("signal"), at_us))
    (again,) = opened.record([cloud_event("new", WHO, at_us, page="tv", seconds=4, items=1)])
    assert again.version == before.versions[0] + 1
    both = [*known, *opened.log(WHO)]
    at_us = opened.place.now_us()
    after = opened.signals.read([stream], at_us).facts
    assert_same(after, recompute(both, release().schema.of_source("signal"), at_us))
    assert after["count_24h"] == 41


@pytest.mark.promise("signals.new-definition")
def test_a_release_that_adds_a_definition_makes_it_of_the_log(place: Place, opened: OpenPlace) -> None:
    """At the next read (which a preview does not save) or the next write; copies in SQL and in the store are equal."""
    opened.record(views(opened, 30))
    stream, at_us = opened.stream(WHO), place.now_us()
    with place.opened(later_release()) as later:
        for keep in (False, True):
            result = later.signals.read([stream], at_us, keep=keep)
            assert (result.facts["tv_7d"], result.facts["last_item"], result.facts["count_24h"]) == (10, 0, 30)
            assert result.versions == (1,)
        copy = _renewed(later, stream)
        later.check([stream], at_us)
        later.record(views(later, 10, 30))
        later.check([stream], place.now_us())
        assert later.signals.read([stream], place.now_us()).facts["tv_7d"] == 13
        assert copy is not None
    opened.check([stream], place.now_us())
    with place.opened(later_release()) as later:
        later.record(views(later, 3, subject="customer:2"))
        opened.record(views(opened, 3, 3, subject="customer:2"))  # a replica that has not yet taken it up
        later.check([later.stream("customer:2")], place.now_us())
        later.record(views(later, 3, 6, subject="customer:2"))
        later.check([later.stream("customer:2")], place.now_us())


def sixty_days() -> Release:
    """A release with a count over twice the time that its signals are kept."""
    count = "{name: views_60d, dtype: int, source: signal, signal: {of: view, compute: count, window: 60d}}"
    files = {"all.yaml": CATALOGUE, "more.yaml": f"features:\n  - {count}\n"}
    return Release.of(load(files), pack(files))


def views_60d(opened: OpenPlace) -> object:
    return opened.signals.read([opened.stream(WHO)], opened.place.now_us()).facts["views_60d"]


@pytest.mark.promise("signals.rollback-keeps-counts")
@pytest.mark.parametrize("corrected", [False, True])
def test_a_rollback_finds_the_count_that_a_release_did_not_define(place: Place, corrected: bool) -> None:
    """Events that were purged meanwhile still count, and so does what came under the release without the count."""
    first = StillPlace(place.url, place.secret, place.data)
    later = replace(first, at_us=NOW_US + 31 * DAY_US)
    with first.opened(sixty_days()) as with_count:
        with_count.record(views(with_count, 20))
        assert with_count.signals.purge(later.at_us) == 20
    with later.opened() as without_count:
        new = views(without_count, 1, 100)
        without_count.record(new)
        if corrected:
            without_count.record([{**new[0], "data": {"page": "help"}}])
    with later.opened(sixty_days()) as back:
        assert views_60d(back) == 21
        back.record(views(back, 1, 200))
        assert views_60d(back) == 22


@pytest.mark.promise("signals.clock-ahead")
def test_an_event_of_a_clock_an_hour_ahead_blinds_no_window(place: Place) -> None:
    now = StillPlace(place.url, place.secret, place.data)
    with now.opened() as opened:
        opened.record(views(opened, 6))
        stream = opened.stream(WHO)
    with replace(now, at_us=NOW_US + HOUR_US).opened() as ahead:
        ahead.record([cloud_event("ahead", WHO, NOW_US + HOUR_US, page="help")])
    with replace(now, at_us=NOW_US + S_US).opened() as opened:
        for keep in (False, True):
            values = opened.signals.read([stream], NOW_US + S_US, keep=keep).facts
            assert (values["count_30s"], values["session_events"], values["last_page"]) == (7, 7, "help")
        opened.record([cloud_event("next", WHO, NOW_US + S_US, page="film")])
        values = opened.signals.read([stream], NOW_US + S_US).facts
        assert (values["count_30s"], values["session_events"], values["pages_1h"]) == (8, 8, 3)

        def is_stored_as_of_now() -> bool:
            assert opened.signals.read([stream], NOW_US + S_US).facts == values
            return decode(states_of(opened.ledger.select_hot, [stream])[stream].body or b"").at_us <= NOW_US + S_US

        _until(is_stored_as_of_now)


@pytest.mark.promise("signals.clock-ahead")
def test_an_event_recorded_ahead_comes_before_the_next_one(place: Place) -> None:
    """Nobody read in between: the log says in which order they came."""
    now = StillPlace(place.url, place.secret, place.data)
    with replace(now, at_us=NOW_US + HOUR_US).opened() as ahead:
        ahead.record([cloud_event("ahead", WHO, NOW_US + HOUR_US, page="help")])
    with now.opened() as opened:
        opened.record([cloud_event("next", WHO, NOW_US, page="film")])
        assert opened.signals.read([opened.stream(WHO)], NOW_US).facts["last_page"] == "film"


def _renewed(opened: OpenPlace, stream: str, within_s: float = 10) -> bytes:
    """Return the store's copy once it has the new trackers."""
    give_up_s = time.monotonic() + within_s
    while time.monotonic() < give_up_s:
        (copy,) = opened.store.read_signals([stream])
        if copy and all(key.encode() in copy.body for key in opened.signals.rules.definitions.trackers):
            return copy.body
        time.sleep(0.01)
    raise AssertionError("the state was not made anew")


@pytest.mark.promise("signals.erased-stay-erased")
def test_nothing_comes_back_that_was_erased_while_events_arrived(opened: OpenPlace) -> None:
    """The erasure comes between two transactions: it deletes earlier events, and later ones are refused."""
    stream, stop = opened.stream(WHO), threading.Event()
    arrived: list[list[str]] = [[], [], []]

    def arrive(number: int) -> None:
        while not stop.is_set():
            raw = cloud_event(f"{number}-{len(arrived[number])}", WHO, opened.place.now_us(), page="tv")
            arrived[number].append(opened.record([raw])[0].status)

    with ThreadPoolExecutor(3) as pool:
        senders = pool.map(arrive, range(3))
        _until(lambda: min(map(len, arrived)) > 5)
        opened.ledger.erase(stream)
        since = max(map(len, arrived))
        _until(lambda: min(map(len, arrived)) > since + 5)
        stop.set()
        list(senders)
    for statuses in arrived:
        assert set(statuses) == {"accepted", "erased"}
        assert statuses == sorted(statuses), "accepted after it was erased"
    assert opened.log(WHO) == []
    opened.signals.purge(int(time.time() * 1e6))
    assert opened.store.read_signals([stream]) == [None]
    result = opened.signals.read([stream], opened.place.now_us())
    assert (result.versions, result.facts["count_24h"], "last_page" in result.facts) == ((0,), 0, False)


def _until(happened: Callable[[], bool], within_s: float = 20) -> None:
    give_up_s = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < give_up_s
        time.sleep(0.005)


def die_before_the_copy(pipe: Connection, place: Place, raws: list[Json]) -> None:
    """Commit, then hang instead of copying to the store."""
    with place.opened() as opened:

        def hang(_: object) -> None:
            pipe.send("committed")
            time.sleep(600)

        opened.store.write_signals = hang  # type: ignore[method-assign]
        opened.record(raws)


@pytest.mark.promise("signals.kill")
def test_a_kill_between_commit_and_copy_loses_nothing(place: Place, opened: OpenPlace) -> None:
    """The version in SQL shows that the store's copy is out of date; a read repairs it."""
    stream, known, raws = opened.stream(WHO), views(opened, 5), views(opened, 20, 5)
    opened.record(known)
    with child(die_before_the_copy, place, raws) as dying:
        assert dying.pipe.recv() == "committed"
        dying.process.kill()
        dying.process.join()
    (copy,) = opened.store.read_signals([stream])
    assert copy is not None
    assert copy.version == 1
    opened.check([stream], place.now_us())
    result = opened.signals.read([stream], place.now_us())
    assert (result.versions, result.facts["count_24h"]) == ((2,), 25)
    assert {r.status for r in opened.record(raws)} == {"duplicate"}
    opened.signals.copier.close()
    assert [c.version for c in opened.store.read_signals([stream]) if c] == [2]


def send_until_killed(pipe: Connection, place: Place, seed: int) -> None:
    """Record arrays of events, and put each into the pipe once it is acknowledged."""
    rng = random.Random(seed)
    with place.opened() as opened:
        for n in range(100_000):
            raws = views(opened, rng.randrange(1, 5), n * 10, f"customer:{rng.randrange(3)}")
            raws = [{**raw, "id": f"{seed} {raw['id']}"} for raw in raws]
            opened.record(raws)
            pipe.send(raws)


def killed(place: Place, opened: OpenPlace, kills: int) -> None:
    """Check after each kill, at a random moment, that every acknowledged event is stored and counted once."""
    acknowledged = list[Json]()
    for seed in range(kills):
        with child(send_until_killed, place, seed) as dying:
            acknowledged += dying.pipe.recv()
            dying.process.join(random.Random(seed).random() * 0.1)
            dying.process.kill()
            dying.process.join()
            while dying.pipe.poll():
                try:
                    acknowledged += dying.pipe.recv()
                except EOFError:
                    break
        streams = [opened.stream(f"customer:{n}") for n in range(3)]
        opened.check(streams, place.now_us())
        assert {r.status for r in opened.record(acknowledged)} == {"duplicate"}
    logged = [event for n in range(3) for event in opened.log(f"customer:{n}")]
    assert len({e.key for e in logged}) == len(logged) >= len({raw["id"] for raw in acknowledged})


@pytest.mark.promise("signals.kill")
def test_what_was_acknowledged_before_a_kill_is_there_and_counts_once(place: Place, opened: OpenPlace) -> None:
    killed(place, opened, 1)


@pytest.mark.promise("signals.kill")
@pytest.mark.long
def test_fifty_kills(place: Place, opened: OpenPlace) -> None:
    killed(place, opened, 50)


@pytest.mark.promise("signals.kill")
def test_a_store_that_was_wiped_costs_no_fact(place: Place, opened: OpenPlace) -> None:
    opened.record(views(opened, 12))
    stream = opened.stream(WHO)
    opened.store.online.forget([opened.store.signals], [stream])
    assert opened.store.read_signals([stream]) == [None]
    opened.check([stream], place.now_us())
    assert opened.signals.read([stream], place.now_us()).facts["count_24h"] == 12
    opened.signals.copier.close()
    assert opened.store.read_signals([stream]) != [None]


def test_threads_that_send_the_same_event_at_once_count_it_once(opened: OpenPlace) -> None:
    raw = cloud_event("same", WHO, NOW_US, page="tv")
    with ThreadPoolExecutor(8) as pool:
        statuses = [r.status for results in pool.map(opened.record, [[raw, raw]] * 8) for r in results]
    assert sorted(statuses) == ["accepted"] + ["duplicate"] * 15
    assert opened.signals.read([opened.stream(WHO)], opened.place.now_us()).facts["count_24h"] == 1


@pytest.mark.parametrize("began", [True, False])
@pytest.mark.parametrize("between", ["nobody", "another event", "the same events", "an erasure", "a repetition"])
def test_a_block_made_before_its_transaction_is_written_as_it_is_only_where_it_holds(
    opened: OpenPlace, between: str, began: bool
) -> None:
    opened.record(views(opened, 3 * began))
    events, stream = opened.events(views(opened, 10, 3)), opened.stream(WHO)
    block = prepare(opened.ledger.select_hot, [*events, events[0]], opened.signals.rules)
    assert (len(block.rows), block.duplicate, block.erased) == (10, 1, 0)
    if between == "another event":
        opened.record(views(opened, 1, 50))
    elif between == "the same events":
        opened.signals.record(events[:4])
    elif between == "an erasure":
        opened.ledger.erase(stream)
    elif between == "a repetition":
        opened.ledger.transact(AddBlocks([block], opened.signals.rules)).result()
    added = opened.ledger.transact(AddBlocks([block], opened.signals.rules)).result()
    new = {"the same events": 6, "an erasure": 0, "a repetition": 0}.get(between, 10)
    assert added == (new, 1 if between == "an erasure" else 11 - new, 10 if between == "an erasure" else 0)
    if between == "an erasure":
        assert opened.log(WHO) == []
        assert prepare(opened.ledger.select_hot, events, opened.signals.rules).erased == 10
        return
    stored = states_of(opened.ledger.select_hot, [stream])[stream].body
    assert (stored == block.states[stream].body) is (between != "another event")
    opened.check([stream], opened.place.now_us())
    assert len(opened.log(WHO)) == 10 + 3 * began + (between == "another event")


def test_an_event_later_than_stated_is_refused_and_one_at_the_edge_counts(opened: OpenPlace) -> None:
    from decisioning.errors import RequestError

    now_us = opened.place.now_us()
    edge = opened.intake.event(cloud_event("edge", WHO, now_us - 24 * HOUR_US, page="tv"), now_us)
    opened.signals.record([edge])
    assert opened.signals.read([opened.stream(WHO)], now_us).facts["last_page"] == "tv"
    for at_us in (now_us - 24 * HOUR_US - 1, now_us + 60 * S_US + 1):
        with pytest.raises(RequestError, match="time"):
            opened.intake.event({**cloud_event("x", WHO, 0), "time": written(at_us)}, now_us)
