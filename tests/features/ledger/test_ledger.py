"""Appending to and reading from the ledger, on both databases."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from decisioning.errors import Conflict, NotFound, Refused, RequestError, Unavailable
from features.ledger import Duplicate, Entry, Ledger, driver, now_us, plan, writer
from features.ledger import ledger as ledger_module
from features.ledger.past import planned
from tests.features.ledger.builders import (
    DAY_US,
    NOW_US,
    consent,
    contact,
    database_url,
    decision,
    outcome,
    past_the_ledger,
)
from tests.permits import activate, set_paused

_OTHER_BYTES = "UPDATE releases SET bytes = CAST('other' AS BLOB)"


@pytest.fixture
def person(ledger: Ledger) -> str:
    return ledger.stream_of("person", "c-1042")


@pytest.fixture
def account(ledger: Ledger) -> str:
    return ledger.stream_of("account", "a-7")


@pytest.mark.promise("ledger.streams-hide-ids")
def test_streams_differ_by_kind_id_and_secret_and_hide_the_id(ledger: Ledger, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "other.db", b"another secret") as other:
        names = {x.stream_of(kind, i) for x in (ledger, other) for kind in ("person", "account") for i in ("a", "b")}
    assert len(names) == 8
    assert all(len(name) == 40 and int(name, 16) for name in names)


def test_a_subject_never_heard_of_stands_at_version_0(ledger: Ledger, person: str, account: str) -> None:
    one, other = ledger.read(person, account)
    assert (one.stream, one.version, other.stream, other.version) == (person, 0, account, 0)
    assert ledger.read() == ()


def test_the_standing_is_the_fold_of_what_was_appended(ledger: Ledger, person: str, account: str) -> None:
    assert ledger.append([consent(person), decision(person, "o1")]) == (1, 2)
    assert ledger.append([contact(person, "o1", "seen"), decision(account, "o1")]) == (3, 1)
    one, other, none = ledger.read(person, account, "f" * 40)
    assert (one.version, one.consents[0].record, one.contacts[0].state) == (3, 1, "seen")
    assert (other.version, other.contacts[0].state, none.version) == (1, "reserved", 0)
    assert list(ledger.verify()) == []
    for streams in ((person,), (person, account), (person, account, "f" * 40)):
        assert ledger.read_with_signals(*streams) == (ledger.read(*streams), (0,) * len(streams))


def test_postgresql_gives_up_on_locks_and_statements_in_time(migrated_postgres: str) -> None:
    past_the_ledger(migrated_postgres, "DELETE FROM claims")  # other tests have left their secrets there
    with Ledger.open(migrated_postgres, b"secret") as ledger:
        ledger.erase(ledger.stream_of("person", "never heard of"))  # a vacuum may take as long as it needs, alone
        for setting, wanted in (("lock_timeout", "2s"), ("statement_timeout", "1min")):
            assert ledger.select(sa.text(f"SHOW {setting}"))[0][0] == wanted


def test_a_stale_version_conflicts_and_nothing_is_written(ledger: Ledger, person: str, account: str) -> None:
    ledger.append([consent(person)])
    with pytest.raises(Conflict):
        ledger.append([decision(account, "o1"), decision(person, "o1", expected=0)])
    assert [s.version for s in ledger.read(person, account)] == [1, 0]
    assert ledger.append([decision(account, "o1", expected=0), decision(person, "o1", expected=1)]) == (1, 2)


def test_a_guarded_stream_must_not_have_moved(ledger: Ledger, person: str, account: str) -> None:
    assert ledger.append([decision(person, "o1", expected=0)], guards={account: 0}) == (1,)
    ledger.append([consent(account)])
    with pytest.raises(Conflict):
        ledger.append([decision(person, "o2", expected=1)], guards={account: 0})
    assert ledger.append([decision(person, "o2", expected=1)], guards={account: 1}) == (2,)


def test_guards_alone_check_and_write_nothing(ledger: Ledger, person: str) -> None:
    assert ledger.append([], guards={person: 0}) == ()
    assert ledger.read(person)[0].version == 0
    assert list(ledger.verify()) == []


def test_a_known_key_finds_its_record_and_writes_nothing(ledger: Ledger, person: str, account: str) -> None:
    ledger.append([outcome(person, key="outcome:1", aliases=("other name",))])
    for repeated in (outcome(person, key="outcome:1"), outcome(account, "declined", key="other name", expected=9)):
        with pytest.raises(Duplicate) as caught:
            ledger.append([consent(account), repeated])
        assert (caught.value.record.stream, caught.value.record.version) == (person, 1)
        assert caught.value.record.body == {"action": "tv", "outcome": "accepted", "offer_id": None}
    assert [s.version for s in ledger.read(person, account)] == [1, 0]


def test_lookup_by_key_and_alias(ledger: Ledger, person: str) -> None:
    ledger.append([consent(person), decision(person, "o1", key="d1", aliases=("request:r1",))])
    record = ledger.lookup("d1")
    assert record == ledger.lookup("request:r1")
    assert record is not None
    assert (record.version, record.kind, record.body) == (2, "decision", decision(person, "o1").body)
    assert ledger.lookup("d2") is None


def test_one_batch_takes_the_good_and_refuses_the_rest(ledger: Ledger, person: str, account: str) -> None:
    """All are submitted while the writer is blocked, so that they go into one commit."""
    release = threading.Event()
    blocked = threading.Thread(target=ledger._writer.run, args=(lambda _: release.wait(5),))
    blocked.start()
    futures = [
        ledger.submit([consent(person, key="k1")]),
        ledger.submit([consent(account), Entry(person, "contact", {"state": "seen"}, NOW_US)]),
        ledger.submit([consent(person, key="k1")]),
        ledger.submit([decision(person, "o1", expected=0)]),
        ledger.submit([decision(person, "o1", expected=1)], {account: 0}),
        ledger.submit([consent(account)]),
    ]
    release.set()
    wait(futures, timeout=10)
    errors = [type(f.exception()) for f in futures]
    assert errors == [type(None), Refused, Duplicate, Conflict, type(None), type(None)]
    assert [futures[i].result() for i in (0, 4, 5)] == [(1,), (2,), (1,)]
    duplicate = futures[2].exception()
    assert isinstance(duplicate, Duplicate)
    assert duplicate.record.version == 1
    blocked.join()
    assert list(ledger.verify()) == []


def test_many_threads_append_to_one_stream_without_a_gap(ledger: Ledger, person: str) -> None:
    threads = [threading.Thread(target=lambda: [ledger.append([outcome(person)]) for _ in range(10)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.version for r in ledger.records(person)] == list(range(1, 81))
    assert list(ledger.verify(person)) == []


def test_records_and_folds_as_they_were(ledger: Ledger, person: str) -> None:
    ledger.append([consent(person), decision(person, "o1"), consent(person, "withdrawn", NOW_US + 1)])
    assert [r.kind for r in ledger.records(person, upto=2)] == ["consent", "decision"]
    then, now = ledger.fold_at(person, 2), ledger.fold_at(person, 3)
    assert (then.version, then.consents[0].status, now.consents[0].status) == (2, "granted", "withdrawn")
    assert now == ledger.read(person)[0]
    with pytest.raises(Refused):
        ledger.fold_at(person, 4)


def test_recorded_time_never_decreases_in_a_stream(url: str, secret: bytes) -> None:
    times = iter([NOW_US + 10] * 2 + [NOW_US] * 2)
    with Ledger.open(url, secret, clock=lambda: next(times)) as ledger:
        stream = ledger.stream_of("person", "a")
        ledger.append([consent(stream)])
        ledger.append([consent(stream)])
        assert [r.at_us for r in ledger.records(stream)] == [NOW_US + 10] * 2


def test_bodies_come_back_as_they_went_in(ledger: Ledger, person: str) -> None:
    body = {"contacts": [], "text": "é€\u0000\U0001f600", "n": [1, -0.1, 1e300, 5e-324, 2**53, True, None], "": {}}
    ledger.append([Entry(person, "decision", body, NOW_US)])
    (record,) = ledger.records(person)
    assert record.body == body


@pytest.mark.parametrize("days", [2, 365 * 8000])
def test_a_time_in_the_future_is_refused(ledger: Ledger, person: str, days: int) -> None:
    with pytest.raises(RequestError) as caught:
        ledger.append([consent(person, occurred_us=now_us() + days * DAY_US)])
    assert caught.value.field == "occurred_at"


def test_what_happened_before_1970_is_kept(ledger: Ledger, person: str) -> None:
    ledger.append([consent(person, occurred_us=-1)])
    assert ledger.read(person)[0].consents[0].occurred_us == -1
    assert list(ledger.verify()) == []


@pytest.mark.parametrize("kind", ["gossip", "tombstone"])
def test_an_unknown_kind_is_refused(ledger: Ledger, person: str, kind: str) -> None:
    with pytest.raises(Refused):
        ledger.append([Entry(person, kind, {}, NOW_US)])


def test_an_id_is_not_taken_for_a_stream(ledger: Ledger) -> None:
    with pytest.raises(Refused) as caught:
        ledger.append([consent("c-1042")])
    assert "1042" not in str(caught.value)


def test_a_backfill_skips_what_it_appended_before(ledger: Ledger) -> None:
    streams = [ledger.stream_of("person", f"c{i}") for i in range(150)]
    entries = [e for i, s in enumerate(streams) for e in (consent(s, key=f"c{i}"), outcome(s, key=f"o{i}"), outcome(s))]
    assert ledger.append_many(entries[:200]) == 200
    assert ledger.append_many(entries) == 450 - 134
    assert list(ledger.verify()) == []


def test_scan_pages_through_every_stream_in_the_order_of_commits(ledger: Ledger, person: str, account: str) -> None:
    ledger.append([consent(person), outcome(person), outcome(account)])
    first = ledger.scan(["outcome"], limit=1)
    ledger.append([outcome(person), consent(account)])
    rest = ledger.scan(["outcome"], after=first[-1].seq)
    assert [(r.stream, r.version) for r in first + rest] == [(person, 2), (account, 1), (person, 3)]
    assert ledger.scan(["outcome"], after=rest[-1].seq) == []


def test_a_scan_waits_for_numbers_that_are_not_committed_yet(ledger: Ledger, person: str, account: str) -> None:
    """PostgreSQL numbers a record before it commits: the other writer has the lower number and commits later."""
    if ledger._database.sqlite:
        pytest.skip("SQLite numbers and commits under one lock")
    ledger.append([outcome(person)])
    with sa.create_engine(ledger._database.url).connect() as slower, ThreadPoolExecutor(1) as pool:
        columns = "kind, at_us, occurred_us, body, body_hash, hash"
        slower.execute(
            sa.text(
                f"INSERT INTO ledger_records (stream, version, {columns}) "
                f"SELECT stream, 2, {columns} FROM ledger_records"
            )
        )
        ledger.append([outcome(account)])
        scanned = pool.submit(ledger.scan, ["outcome"])
        with pytest.raises(TimeoutError):
            scanned.result(timeout=0.3)
        slower.commit()
        assert [(r.stream, r.version) for r in scanned.result()] == [(person, 1), (person, 2), (account, 1)]


def test_a_guard_waits_for_who_is_moving_its_stream(ledger: Ledger, url: str, person: str, account: str) -> None:
    """Otherwise two writers could both succeed that each guard the stream to which the other appends."""
    ledger.append([consent(account)])
    engine = sa.create_engine(database_url(url))
    with engine.connect() as mover:
        mover.execute(sa.text("UPDATE ledger_standings SET version = 2"))
        guarded = ledger.submit([consent(person)], {account: 1})
        with pytest.raises(TimeoutError):
            guarded.result(timeout=0.3)
        mover.commit()
    engine.dispose()
    assert isinstance(guarded.exception(), Conflict)


def test_a_scan_never_skips_what_other_writers_commit_meanwhile(ledger: Ledger, url: str, secret: bytes) -> None:
    def append(offset: int) -> None:
        with Ledger.open(url, secret) as mine:
            for i in range(60):
                mine.append([outcome(mine.stream_of("person", f"{offset}.{i}"))])

    threads = [threading.Thread(target=append, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    seen, cursor = 0, 0
    while any(t.is_alive() for t in threads) or ledger.scan(["outcome"], after=cursor, limit=1):
        page = ledger.scan(["outcome"], after=cursor, limit=20)
        seen, cursor = seen + len(page), page[-1].seq if page else cursor
    assert seen == 180


def test_releases_are_kept_by_hash_and_activated_per_environment(ledger: Ledger) -> None:
    old, new = ledger.put_release(b"old"), ledger.put_release(b"new")
    assert ledger.put_release(b"old") == old
    assert ledger.get_release(old) == b"old"
    assert ledger.active("prod") is None
    activations = [activate(ledger, "prod", name, by="Ann") for name in (old, new, old)]
    assert ledger.activations("prod") == tuple(activations)
    assert (ledger.active("prod"), ledger.active("dev")) == (old, None)
    for ask in (ledger.get_release, lambda name: activate(ledger, "prod", name, by="Ann")):
        with pytest.raises(NotFound):
            ask("sha256:" + "0" * 64)


def test_bytes_of_a_release_that_are_not_what_its_hash_names_are_refused(ledger: Ledger, url: str) -> None:
    name = ledger.put_release(b"as it was")
    past_the_ledger(url, "UPDATE releases SET bytes = CAST('other' AS BYTEA)" if "://" in url else _OTHER_BYTES)
    with pytest.raises(Refused, match="not what its hash names"):
        ledger.get_release(name)


def test_a_key_is_of_its_text_and_the_secret(ledger: Ledger, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "other.db", b"another secret") as other:
        keys = [ledger.key_of("a"), ledger.key_of("b"), other.key_of("a")]
    assert len(set(keys)) == 3
    assert all(len(key) == 40 and int(key, 16) for key in keys)
    assert ledger.key_of("a") == keys[0]


def test_actions_are_paused_and_resumed(ledger: Ledger) -> None:
    set_paused(ledger, "tv", paused=True)
    set_paused(ledger, "tv", paused=True)
    set_paused(ledger, "sim", paused=True)
    assert ledger.paused() == {"tv", "sim"}
    set_paused(ledger, "tv", paused=False)
    assert ledger.paused() == {"sim"}


def test_readers_do_not_wait_for_a_writer(ledger: Ledger, url: str, secret: bytes, person: str) -> None:
    ledger.append([consent(person)])
    release, holding = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        holding.set()
        release.wait(10)

    blocked = threading.Thread(target=ledger._writer.run, args=(hold,))
    blocked.start()
    holding.wait(10)
    with Ledger.open(url, secret) as other:
        assert [x.read(person)[0].version for x in (ledger, other)] == [1, 1]
    release.set()
    blocked.join()


def test_nothing_stays_open_of_what_is_closed(tmp_path: Path, secret: bytes) -> None:
    path = tmp_path / "ledger.db"
    before = threading.active_count()
    with Ledger.open(path, secret) as ledger:
        assert ledger.read(ledger.stream_of("person", "a"))[0].version == 0
        assert ledger._database.settled_seq() == 0
        assert any(path.samefile(handle) for handle in open_files())
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "ledger-writer")
        assert ledger.select(sa.text("PRAGMA journal_mode"))[0][0] == "wal"
    assert threading.active_count() == before
    assert not any(path.samefile(handle) for handle in open_files())


def open_files() -> list[Path]:
    return [handle for handle in Path("/proc/self/fd").iterdir() if handle.exists()]


def test_an_import_leaves_the_writer_to_others_between_its_chunks(
    ledger: Ledger, person: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_IMPORT_CHUNK", 2)
    at: list[int] = []
    monkeypatch.setattr(ledger_module.time, "sleep", lambda _: at.append(ledger.read(person)[0].version))
    assert ledger.append_many(outcome(person, occurred_us=NOW_US - n) for n in range(5)) == 5
    assert at == [2, 4, 5]


def test_a_batch_stops_growing_at_so_many_entries(ledger: Ledger, person: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_ENTRIES", 4)
    batches: list[int] = []
    commit = driver._commit
    monkeypatch.setattr(driver, "_commit", lambda c: batches.append(ledger.read(person)[0].version) or commit(c))
    release, holding = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        holding.set()
        release.wait(10)

    waiting = ledger.transact(hold)
    holding.wait(10)
    futures = [ledger.submit([outcome(person)]) for _ in range(8)]
    release.set()
    wait([waiting, *futures])
    assert batches == [0, 4]


def test_of_many_appends_each_is_committed_or_refused_by_itself_in_blocks(
    ledger: Ledger, person: str, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_BLOCK", 3)
    commits: list[int] = []
    commit = driver._commit
    monkeypatch.setattr(driver, "_commit", lambda c: commits.append(1) or commit(c))
    first = replace(consent(person), expected=0, key="k")
    stale, again, other = replace(first, key=None), replace(first, expected=1), replace(consent(account), expected=0)
    entries = [first, stale, again, other]
    done = list(ledger.submit_each(([entry], {person: 9} if entry is other else {}) for entry in entries))
    assert done[0] == (1,)
    assert [type(result) for result in done[1:]] == [Conflict, Duplicate, Conflict]
    assert [s.version for s in ledger.read(person, account)] == [1, 0]
    assert list(ledger.submit_each([([other], {}), ([outcome(person)], {})])) == [(1,), (2,)]
    assert len(commits) == 3
    assert list(ledger.submit_each([])) == []


def test_a_closed_ledger_is_unavailable_and_what_was_submitted_is_there(url: str, secret: bytes) -> None:
    ledger = Ledger.open(url, secret)
    person = ledger.stream_of("person", "a")
    futures = [ledger.submit([consent(person)]) for _ in range(50)]
    ledger.close()
    ledger.close()
    assert sorted(f.result()[0] for f in futures) == list(range(1, 51))
    with pytest.raises(Unavailable):
        ledger.submit([consent(person)])


@pytest.mark.parametrize(
    "place", [lambda p: p / "no" / "dir.db", lambda p: "postgresql://nobody@127.0.0.1:9/none", lambda p: "://"]
)
def test_a_database_that_cannot_be_opened_is_unavailable(place: Callable[[Path], Path | str], tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Ledger.open(place(tmp_path), b"secret")


def test_what_is_committed_at_once_shares_a_transaction_its_statements_and_the_way_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each table is written by one statement, and the event loop is woken once; only who conflicts is told so."""
    people = [ledger.stream_of("person", f"p{n}") for n in range(16)]
    statements: list[str] = []
    woken: list[int] = []

    def execute_many(connection: sa.Connection, sql: str, rows: list[tuple[object, ...]]) -> None:
        statements.append(sql)
        run(connection, sql, rows)

    async def commit_all() -> list[object]:
        loop = asyncio.get_running_loop()
        call, blocked = loop.call_soon_threadsafe, ledger.transact(lambda _: release.wait(10))
        loop.call_soon_threadsafe = lambda *args: woken.append(1) or call(*args)  # type: ignore[assignment, method-assign, return-value]
        entries = [decision(p, f"d-{n:032x}.0", f"d-{n:032x}.1", key=f"k{n}") for n, p in enumerate(people)]
        waiting = [asyncio.ensure_future(ledger.commit([entry])) for entry in entries]
        stale = asyncio.ensure_future(ledger.commit([consent(people[0], expected=7)]))
        await asyncio.sleep(0.01)
        release.set()
        results = await asyncio.gather(*waiting, stale, return_exceptions=True)
        blocked.result()
        return list(results)

    ledger.append([decision(people[0], "o1")])  # numbers the kind of contacts
    release, run = threading.Event(), driver.execute_many
    for module in (plan, planned):
        monkeypatch.setattr(module, "execute_many", execute_many)
    *results, refused = asyncio.run(commit_all())
    assert results == [(2,), *[(1,)] * 15]
    assert isinstance(refused, Conflict)
    assert len(statements) == len(set(statements)) == 5  # contacts, new and known standings, records, keys
    assert len(woken) == 1


def test_a_commit_that_is_cancelled_before_its_turn_writes_nothing(ledger: Ledger, person: str) -> None:
    async def give_up() -> None:
        release = threading.Event()
        blocked = ledger.transact(lambda _: release.wait(10))
        waiting = asyncio.ensure_future(ledger.commit([consent(person)]))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
        blocked.result()

    asyncio.run(give_up())
    assert ledger.append([consent(person)]) == (1,)


def test_the_beginning_of_a_hash_names_a_release_and_a_pattern_names_none(ledger: Ledger) -> None:
    name = ledger.put_release(b"only")
    assert ledger.whole_name(name[7:11]) == ledger.whole_name(name) == name
    for other in ("____", "%%%%", f"{name[7:10]}_", name[7:10]):
        with pytest.raises(NotFound):
            ledger.whole_name(other)
