"""What is new for people: read once per replica, and handed in memory to every open stream that wants it.

A source numbers what it tells, and its numbers only grow: it tells nothing while something with a lower number may
still be committed. So a stream that names the highest numbers that it was told is told the rest, once and in order, by
any replica.
"""

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from decisioning.errors import BrainError
from decisioning.records.audiences import Audience
from features.threads import watched_task
from serving.pools import Pool

_T = TypeVar("_T")
READ_S: Final = 0.25
"""How often the sources are read while a stream is open. What this replica commits wakes the reader at once."""
BUFFER: Final = 256
"""So many news wait for one stream; a stream that is slower is closed, and reads them when it comes back."""
PAGE: Final = 100
_SHARED_S: Final = 0.1
"""Streams that ask for the same at most so long after each other are told the same bytes."""
_READING: Final = 8
"""So many streams read at once, so that the reader itself never waits for many of them."""
_CHANNEL, _SUBJECT = "channel:", "subject:"
Position = Mapping[str, int]
"""Name of a source -> a number that it gave."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """For whom news are written; `gpc`: their browser asks for no profiling."""

    audience: Audience = "company"
    gpc: bool = False


FOR_COMPANY: Final = Viewer()


class SharedBody:
    """What leaves of news for one viewer, for all streams that ask at about the time `began_s` when it was made."""

    def __init__(self) -> None:
        self.making, self.began_s = asyncio.Lock(), -math.inf
        self.body: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """Something for people to see. `content` is what its source makes a body of for each viewer."""

    source: str
    seq: int
    kind: str
    topics: frozenset[str]
    content: Any
    channel: str | None = None
    bodies: dict[Viewer, SharedBody] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The topics of a stream; news that have a channel must have one of `channels`, unless that is empty."""

    topics: frozenset[str]
    channels: frozenset[str] = frozenset()

    def includes(self, news: News) -> bool:
        """Tell whether a stream is told this."""
        of_channel = not self.channels or news.channel is None or news.channel in self.channels
        return of_channel and not self.topics.isdisjoint(news.topics)


@dataclass(frozen=True, slots=True)
class NewsSource:
    """Where news come from. All functions ask the database, and are called in a pool.

    `newest`: the highest number up to which everything can be read, from which a new stream goes on. `page`: (after,
    topics, limit) -> news with the next numbers above `after`, in order, about one of these topics; None: about
    anything. `body`: what leaves of news for a viewer at this moment, as JSON, or None if nothing does. `highest`: the
    highest number that can be read, beyond which no replica told anything; None: `newest`.
    """

    name: str
    newest: Callable[[], int]
    page: Callable[[int, frozenset[str] | None, int], Sequence[News]]
    body: Callable[[News, Viewer], bytes | None]
    highest: Callable[[], int] | None = None


class Subscription:
    """What one stream is told. `cursor`: the number, by source, up to which it was told everything."""

    def __init__(self, wanted: Wanted, cursor: dict[str, int], joined: Position) -> None:
        self.wanted, self.cursor, self.joined = wanted, cursor, joined
        self._waiting: deque[News] = deque()
        self._more = asyncio.Event()
        self.is_slow = False

    def put(self, news: News) -> None:
        """Keep news until the stream takes them; a stream that is too slow keeps none."""
        if len(self._waiting) >= BUFFER:
            self.is_slow = True
            self._waiting.clear()
        if not self.is_slow:
            self._waiting.append(news)
        self._more.set()

    async def take(self, within_s: float) -> News | None:
        """Return the next news that the reader handed out, or None if none come in time or the stream is too slow."""
        if not self._waiting and not self.is_slow:
            self._more.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._more.wait()
        return self._waiting.popleft() if self._waiting else None


def topic_of_channel(channel: str) -> str:
    """Return the topic of what is decided for a channel."""
    return f"{_CHANNEL}{channel}"


def topic_of_subject(stream: str) -> str:
    """Return the topic of what concerns the subject of a stream of the ledger."""
    return f"{_SUBJECT}{stream}"


def channels_and_subjects(topics: frozenset[str]) -> tuple[list[str], list[str]]:
    """Return the channels, and the streams of subjects, that these topics are about."""
    channels, subjects = (
        sorted(topic.removeprefix(kind) for topic in topics if topic.startswith(kind)) for kind in (_CHANNEL, _SUBJECT)
    )
    return channels, subjects


class NewsFeed:
    """The reader of one replica and its subscriptions. Everything but `wake` is called on the event loop."""

    def __init__(self, sources: Sequence[NewsSource], pool: Pool) -> None:
        self._sources = {source.name: source for source in sources}
        self._pool = pool
        self._by_topic: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._open = 0
        self._starting, self._places = asyncio.Lock(), asyncio.Semaphore(_READING)
        self._position: dict[str, int] = {}
        self._reader: asyncio.Task[None] | None = None
        self._waking: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def wake(self) -> None:
        """Have the sources read at once, from any thread; while no stream is open, nothing is read."""
        if self._waking is not None:
            loop, bell = self._waking
            with suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(bell.set)

    @asynccontextmanager
    async def subscribed(self, wanted: Wanted, after: Position | None) -> AsyncIterator[Subscription]:
        """Yield a subscription that begins after these numbers; where one is missing or too high, now."""
        self._open += 1
        try:
            cursor = await self._begin(after or {})
            subscription = Subscription(wanted, cursor, dict(self._position))
            with self._handed_out_to(subscription):
                yield subscription
        finally:
            self._open -= 1
            self.wake()

    async def news(self, subscription: Subscription, quiet_s: float) -> AsyncIterator[News | None]:
        """Yield what a subscription is told: what it missed, then what comes; None whenever it was quiet for so long.

        It ends if the stream is too slow. The cursor of the subscription includes what was yielded last.
        """
        async for missed in self._missed(subscription):
            yield missed
        while not subscription.is_slow:
            news = await subscription.take(quiet_s)
            if news is None:
                yield None
            elif news.seq > subscription.cursor[news.source]:
                subscription.cursor[news.source] = news.seq
                yield news

    async def body(self, news: News, viewer: Viewer) -> bytes | None:
        """Return what leaves of news for a viewer now. Streams that ask at the same time share one answer."""
        now = asyncio.get_running_loop().time
        asked_s, shared = now(), news.bodies.setdefault(viewer, SharedBody())
        async with shared.making:
            if shared.began_s < asked_s - _SHARED_S:
                began_s = now()
                shared.body = await self._read(self._sources[news.source].body, news, viewer)
                shared.began_s = began_s
            return shared.body

    def newest(self) -> dict[str, int]:
        """Return the number that each source gave last; asks the database.

        What a page reads afterwards holds everything up to there, so its stream may begin after it.
        """
        return {name: source.newest() for name, source in self._sources.items()}

    async def _missed(self, subscription: Subscription) -> AsyncIterator[News]:
        """Yield what was told from the cursor of a subscription to where the reader was when it joined."""
        for name, upto in subscription.joined.items():
            page: Sequence[News] = ()
            while subscription.cursor[name] < upto:
                after, topics = subscription.cursor[name], subscription.wanted.topics
                page = await self._read(self._sources[name].page, after, topics, PAGE)
                for news in page:
                    if news.seq <= upto and subscription.wanted.includes(news):
                        subscription.cursor[name] = news.seq
                        yield news
                subscription.cursor[name] = min(page[-1].seq, upto) if len(page) == PAGE else upto

    async def _begin(self, after: Position) -> dict[str, int]:
        """Return the numbers after which a stream begins; start the reader if it does not run.

        Another replica may be ahead of this reader, so a higher number than its own is compared with the highest.
        """
        async with self._starting:
            if self._reader is None or self._reader.done():
                self._position = await self._read(self.newest)
                bell = asyncio.Event()
                self._waking = asyncio.get_running_loop(), bell
                self._reader = watched_task("news", partial(self._keep_reading, bell))
        is_ahead = any(number > self._position.get(name, 0) for name, number in after.items())
        highest = await self._read(self._highest) if is_ahead else self._position
        return {name: min(after.get(name, now), highest[name]) for name, now in self._position.items()}

    def _highest(self) -> dict[str, int]:
        return {name: (source.highest or source.newest)() for name, source in self._sources.items()}

    @contextmanager
    def _handed_out_to(self, subscription: Subscription) -> Iterator[None]:
        """Hand out news to a subscription."""
        for topic in subscription.wanted.topics:
            self._by_topic[topic].add(subscription)
        try:
            yield
        finally:
            for topic in subscription.wanted.topics:
                self._by_topic[topic].discard(subscription)
                if not self._by_topic[topic]:
                    del self._by_topic[topic]

    async def _keep_reading(self, bell: asyncio.Event) -> None:
        """Read the sources while a stream is open, and hand out what is new."""
        while self._open:
            bell.clear()
            for news in await self._fresh():
                self._hand_out(news)
            with suppress(TimeoutError):
                async with asyncio.timeout(READ_S):
                    await bell.wait()
        self._reader = self._waking = None

    async def _fresh(self) -> Sequence[News]:
        """Return the next news of all sources; none while they cannot be read."""
        try:
            return await self._pool.run(self._next_pages, dict(self._position))
        except BrainError:
            return ()  # read again soon; nothing is passed over

    def _next_pages(self, position: Position) -> list[News]:
        return [news for name, source in self._sources.items() for news in source.page(position[name], None, PAGE)]

    def _hand_out(self, news: News) -> None:
        self._position[news.source] = news.seq
        subscriptions = {s for topic in news.topics for s in self._by_topic.get(topic, ())}
        for subscription in subscriptions:
            if subscription.wanted.includes(news):
                subscription.put(news)

    async def _read(self, work: Callable[..., _T], *args: Any) -> _T:
        async with self._places:
            return await self._pool.run(work, *args)
