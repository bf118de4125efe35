"""What PostgreSQL commits late is read all the same, once and in order, and nobody who writes waits for a reader."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from decisioning.routing.opening import Opening
from features.ledger import Entry, Ledger
from features.ledger.tables import RECORDS
from serving.events.feed import NewsFeed, Wanted
from serving.http.people.news import QUEUE, people_sources
from serving.pools import Pool

COLUMNS = "kind, at_us, occurred_us, body, body_hash, hash"
COPY = f"INSERT INTO ledger_records (stream, version, {COLUMNS}) SELECT stream, :version, {COLUMNS} FROM ledger_records"


def opened(ledger: Ledger, name: str) -> None:
    """Hand over a customer of this name."""
    body = Opening(name, "a wish", "chat", "test").body(name, ledger.key_of(f"conversation:{name}"))
    ledger.append([Entry(ledger.stream_of("person", name), "handover", body, None)])


@contextmanager
def another_replica(ledger: Ledger) -> Iterator[sa.Connection]:
    """Yield a connection with an open transaction."""
    engine = sa.create_engine(ledger._database.url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def copied(replica: sa.Connection, version: int) -> None:
    """Write the first record once more, which takes the next number."""
    replica.execute(sa.text(f"{COPY} WHERE seq = 1"), {"version": version})


@pytest.mark.promise("streams.late-commits")
def test_a_number_is_settled_once_no_lower_one_can_come(ledger: Ledger) -> None:
    numbers = ledger.numbers_of(RECORDS)
    opened(ledger, "h-1")
    assert (numbers.upto(), numbers.highest()) == (1, 1)
    if ledger._database.sqlite:
        return
    with another_replica(ledger) as late:
        copied(late, 2)
        opened(ledger, "h-3")  # does not wait
        assert (numbers.highest(), numbers.upto(0.01)) == (3, 1)
        with another_replica(ledger) as later:
            copied(later, 3)
            late.commit()
            assert numbers.upto() == 3, "who began later has a higher number"
            opened(ledger, "h-5")
            assert numbers.upto() == 3
            later.rollback()
        assert numbers.upto() == 5, "a number that nobody uses is not waited for"


@pytest.mark.promise("streams.late-commits")
def test_an_open_stream_is_told_what_another_replica_commits_late(ledger: Ledger) -> None:
    opened(ledger, "h-1")
    if ledger._database.sqlite:
        pytest.skip("SQLite numbers and commits under one lock")
    assert asyncio.run(_told(ledger)) == ([], ["h-1", "h-3"])


async def _told(ledger: Ledger) -> tuple[list[str], list[str]]:
    """Return what a stream is told before and after a transaction commits that has the lowest number of what is new."""
    feed = NewsFeed(people_sources(ledger), Pool("news", 2, 5.0))
    async with feed.subscribed(Wanted(frozenset({QUEUE})), None) as stream:
        with another_replica(ledger) as late:
            copied(late, 2)
            opened(ledger, "h-3")
            before = await stream.take(0.6)
            late.commit()
        after = [await stream.take(2.0) for _ in range(2)]
    return [n.content["handover_id"] for n in [before] if n], [n.content["handover_id"] for n in after if n]


@pytest.mark.long
@pytest.mark.promise("streams.late-commits")
def test_nothing_appears_below_a_settled_number(ledger: Ledger) -> None:
    if ledger._database.sqlite:
        pytest.skip("SQLite numbers and commits under one lock")
    opened(ledger, "h-1")
    ends_s = time.monotonic() + 5.0

    def write(offset: int) -> None:
        with another_replica(ledger) as replica:
            for n in range(100_000):
                if time.monotonic() > ends_s:
                    return
                copied(replica, offset + n)
                time.sleep(0.001 * (n % 7))
                replica.rollback() if n % 5 == 0 else replica.commit()

    threads = [threading.Thread(target=write, args=(100_000 * (1 + n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    numbers, told, after = ledger.numbers_of(RECORDS), list[int](), 0
    while any(thread.is_alive() for thread in threads) or after < numbers.highest():
        upto = numbers.upto(0.01)
        told += [row.seq for row in _rows(ledger, after, upto)]
        after = upto
    for thread in threads:
        thread.join()
    assert told == [row.seq for row in _rows(ledger, 0, 2**60)]
    assert len(told) > 500


def _rows(ledger: Ledger, after: int, upto: int) -> list[sa.Row[tuple[int]]]:
    read = sa.select(RECORDS.c.seq).where(RECORDS.c.seq > after, RECORDS.c.seq <= upto).order_by(RECORDS.c.seq)
    return list(ledger.select(read))
