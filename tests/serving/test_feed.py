"""What open streams are told: every one exactly the sequence that it asked for, whatever is cut, slow or restarted."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.events import feed as feed_module
from serving.events.feed import FOR_COMPANY, News, NewsFeed, NewsSource, Viewer, Wanted
from serving.events.streams import cursor_of, live_events
from serving.pools import Pool

TOPICS = ("customer:a", "customer:b", "queue")


class Board:
    """A table of news that only grows, as every source has one."""

    def __init__(self, name: str = "board") -> None:
        self.name, self.rows, self.pages, self.bodies = name, list[News](), 0, 0

    def tell(self, *topics: str) -> None:
        self.rows.append(News(self.name, len(self.rows) + 1, "told", frozenset(topics), len(self.rows)))

    def page(self, after: int, topics: frozenset[str] | None, limit: int) -> list[News]:
        self.pages += 1
        fresh = [News(row.source, row.seq, row.kind, row.topics, row.content) for row in self.rows[after:]]
        return [row for row in fresh if topics is None or row.topics & topics][:limit]

    def body(self, news: News, viewer: Viewer) -> bytes:
        self.bodies += 1
        return json.dumps([news.content, viewer.audience]).encode()

    def source(self) -> NewsSource:
        return NewsSource(self.name, lambda: len(self.rows), self.page, self.body)


class Screen:
    """Reads a stream as a browser does: it comes back with the id of the last event that it got."""

    def __init__(self, *topics: str) -> None:
        self.topics, self.cursor, self.seen = topics, "", list[int]()
        self.begins = 0
        self._task: asyncio.Task[None] | None = None
        self.may_listen = True

    async def open(self, feed: NewsFeed) -> None:
        """Open a stream, and return once it has begun."""
        await self.close()
        begun = asyncio.Event()
        self._task = asyncio.create_task(self._read(feed, begun))
        await begun.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._task = None

    async def _read(self, feed: NewsFeed, begun: asyncio.Event) -> None:
        names = {topic: topic for topic in self.topics}
        while self.may_listen:
            wanted, cursor = Wanted(frozenset(self.topics)), cursor_of(self.cursor, "after")
            async for chunk in live_events(feed, wanted, names, cursor, FOR_COMPANY, lambda: self.may_listen):
                self._take(chunk.decode())
                begun.set()
                await asyncio.sleep(0)

    def _take(self, chunk: str) -> None:
        lines = dict(line.split(": ", 1) for line in chunk.strip().split("\n"))
        if not self.cursor:
            self.begins = int(lines["id"].rpartition(":")[2])
        self.cursor = lines["id"]
        if "event" not in lines:
            about = json.loads(lines["data"])
            assert about["kind"] == "told"
            assert set(about["topics"]) <= set(self.topics)
            self.seen.append(about["seq"])

    def expected(self, board: Board) -> list[int]:
        return [row.seq for row in board.rows if row.seq > self.begins and row.topics & set(self.topics)]


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool("test-news", 2, 5.0)
    yield pool
    pool.close()


@asynccontextmanager
async def ending(*screens: Screen) -> AsyncIterator[None]:
    yield
    for screen in screens:
        await screen.close()


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.002)
    return condition()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario()

    asyncio.run(whole())


STEP = st.one_of(
    st.tuples(st.just("tell"), st.sets(st.sampled_from(TOPICS), min_size=1), st.integers(1, 12)),
    st.tuples(st.just("open"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("close"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("wake"), st.integers(0, 1), st.integers(0, 5)),
)


BOTH = [("open", 0, 0), ("open", 1, 1), ("wake", 1, 9)]
"""A stream at each of two replicas, whose readers have begun."""
LATER = [("open", 0, 0), ("close", 0, 0), ("open", 1, 1), ("tell", {"queue"}, 2), ("wake", 1, 5)]
"""The first stream missed something that the reader of the second replica has read."""


@pytest.mark.promise("streams.sequence")
@given(steps=st.lists(STEP, min_size=10, max_size=40))
@example(steps=[*BOTH, ("tell", {"queue"}, 3), ("wake", 0, 9), ("open", 0, 1), ("wake", 1, 9)])
@example(steps=[*LATER, ("tell", {"queue"}, 2), ("open", 0, 1), ("wake", 1, 5)])
def test_every_stream_is_told_exactly_its_sequence_over_cuts_slowness_and_other_replicas(
    pool: Pool, steps: list[tuple[str, object, int]]
) -> None:
    """Streams are closed at any time, go on at a replica that reads later, and are so slow that a buffer is full."""
    board = Board()
    screens = [Screen(*TOPICS[n % 3 :]) for n in range(4)]

    async def scenario() -> None:
        replicas = [NewsFeed((board.source(),), pool) for _ in range(2)]
        async with ending(*screens):
            for kind, what, n in steps:
                if kind == "tell":
                    for _ in range(n):
                        board.tell(*what)  # type: ignore[misc]
                elif kind == "open":
                    await screens[what].open(replicas[n])  # type: ignore[call-overload]
                elif kind == "close":
                    await screens[what].close()  # type: ignore[call-overload]
                else:
                    replicas[what].wake()  # type: ignore[call-overload]
                    await asyncio.sleep(n / 1000)
            for n, screen in enumerate(screens):
                await screen.open(replicas[n % 2])

            def all_told() -> bool:
                for replica in replicas:
                    replica.wake()
                return all(screen.seen == screen.expected(board) for screen in screens)

            assert await until(all_told, 2), [(screen.seen, screen.expected(board)) for screen in screens]
            await asyncio.sleep(0.01)
            assert [screen.seen for screen in screens] == [screen.expected(board) for screen in screens], "and no more"

    with (
        patch.object(feed_module, "READ_S", 60.0),
        patch.object(feed_module, "BUFFER", 4),
        patch.object(feed_module, "PAGE", 5),
    ):
        run(scenario)


@pytest.mark.promise("streams.one-reader")
def test_two_hundred_streams_cost_one_reading_and_one_body_and_none_is_read_without_a_stream(pool: Pool) -> None:
    board = Board()
    screens = [Screen("queue") for _ in range(200)]

    async def scenario() -> None:
        feed = NewsFeed((board.source(),), pool)
        async with ending(*screens):
            await asyncio.gather(*(screen.open(feed) for screen in screens))
            await asyncio.sleep(0.05)
            before = board.pages
            board.tell("queue")
            threading.Thread(target=feed.wake).start()
            assert await until(lambda: all(screen.seen == [1] for screen in screens))
            assert board.pages - before <= 2
            assert board.bodies == 1
        await asyncio.sleep(0.05)
        before = board.pages
        await asyncio.sleep(0.1)
        assert board.pages == before

    with patch.object(feed_module, "READ_S", 60.0):
        run(scenario)


@pytest.mark.promise("streams.slow")
def test_a_slow_stream_is_closed_and_the_others_are_not_held_up(pool: Pool) -> None:
    board, quick = Board(), Screen("queue")

    async def scenario() -> None:
        feed = NewsFeed((board.source(),), pool)
        wanted = Wanted(frozenset({"queue"}))
        slow = live_events(feed, wanted, {"queue": "queue"}, None, FOR_COMPANY, lambda: True)
        async with ending(quick):
            await anext(slow)
            await quick.open(feed)
            for _ in range(3 * feed_module.BUFFER):
                board.tell("queue")
            feed.wake()
            assert await until(lambda: len(quick.seen) == 3 * feed_module.BUFFER)
            assert [chunk async for chunk in slow] == [], "it ends, with nothing kept for it"

    with patch.object(feed_module, "READ_S", 0.01):
        run(scenario)


@pytest.mark.promise("streams.access")
def test_a_stream_ends_within_two_seconds_once_its_caller_may_not_listen(pool: Pool) -> None:
    board, screen = Board(), Screen("queue")

    async def scenario() -> None:
        feed = NewsFeed((board.source(),), pool)
        async with ending(screen):
            await screen.open(feed)
            screen.may_listen = False
            board.tell("queue")
            feed.wake()
            assert await until(lambda: screen._task is not None and screen._task.done(), 2)
            assert screen.seen == []

    run(scenario)


def test_several_sources_go_on_each_from_its_own_number(pool: Pool) -> None:
    first, second, screen = Board("first"), Board("second"), Screen("queue")

    async def scenario() -> None:
        feed = NewsFeed((first.source(), second.source()), pool)
        async with ending(screen):
            await screen.open(feed)
            for board in (first, second, second):
                board.tell("queue")
            feed.wake()
            assert await until(lambda: screen.cursor == "first:1,second:2")
            await screen.close()
            first.tell("queue")
            await screen.open(feed)
            assert await until(lambda: screen.cursor == "first:2,second:2")
            assert sorted(screen.seen) == [1, 1, 2, 2]

    run(scenario)
