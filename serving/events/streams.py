"""Server-sent events: what open streams are sent, as bytes."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Final

from pydantic_core import to_json

from decisioning.errors import RequestError
from serving.events.feed import News, NewsFeed, Position, Viewer, Wanted

MOMENTS: Final = "moments"
"""The source of the decisions that moments open."""
STREAM_S: Final = 25.0
"""How long a stream of moments alone is held open; browsers then ask again by themselves, from where they were."""
LIVE_STREAM_S: Final = 1800.0
"""How long a stream of topics is held open, so that streams are spread anew over replicas now and then."""
BEAT_S: Final = 5.0
"""How often a stream of topics says that it is alive: a page that hears nothing for longer is stale."""
_CHECK_S: Final = 1.0
"""How often a stream asks whether its caller still may read it, and sends something where a proxy waits for that."""
_CURSOR: Final = re.compile(r"[a-z]{1,20}:\d{1,18}(,[a-z]{1,20}:\d{1,18}){0,15}")


async def moment_events(
    feed: NewsFeed, wanted: Wanted, after: int | None, viewer: Viewer, may_listen: Callable[[], bool]
) -> AsyncGenerator[bytes]:
    """Yield the decisions that moments open, and comments that keep the connection open.

    The stream begins with its cursor, an id without an event, so that a screen that got no event yet can come back to
    where it was, too.

    :param after: the cursor of the last event that the screen has, or None to begin now
    """
    ends_s = asyncio.get_running_loop().time() + STREAM_S
    quiet_s = min(_CHECK_S, STREAM_S / 4)
    async with feed.subscribed(wanted, None if after is None else {MOMENTS: after}) as subscription:
        yield b"retry: 1000\nid: %d\n\n" % subscription.cursor[MOMENTS]
        yield b":\n\n"
        async for news, body in _bodies(feed.news(subscription, quiet_s), feed, viewer, may_listen):
            if news is None:
                yield b":\n\n"
            elif body is not None and news.source == MOMENTS:
                yield b"id: %d\nevent: moment\ndata: %s\n\n" % (news.seq, body)
            if asyncio.get_running_loop().time() >= ends_s:
                return


async def live_events(
    feed: NewsFeed,
    wanted: Wanted,
    names: Mapping[str, str],
    after: Position | None,
    viewer: Viewer,
    may_listen: Callable[[], bool],
) -> AsyncGenerator[bytes]:
    """Yield news of several topics as server-sent events, and an event `beat` whenever it was quiet for BEAT_S.

    The id of an event is the cursor after it: for each source the number up to which everything was sent.

    :param names: the name by which the caller asked for each topic
    :param may_listen: tells whether the caller still may; the stream ends once it does not
    """
    now = asyncio.get_running_loop().time
    ends_s, sent_s = now() + LIVE_STREAM_S, now()
    async with feed.subscribed(wanted, after) as subscription:
        yield b"retry: 1000\n" + _beat(subscription.cursor)
        coming = _bodies(feed.news(subscription, _CHECK_S), feed, viewer, may_listen)
        async for news, body in coming:
            if news is not None and body is not None:
                yield _event(news, body, subscription.cursor, names)
            elif now() - sent_s < BEAT_S:
                continue
            else:
                yield _beat(subscription.cursor)
            sent_s = now()
            if sent_s >= ends_s:
                return


async def _bodies(
    coming: AsyncIterator[News | None], feed: NewsFeed, viewer: Viewer, may_listen: Callable[[], bool]
) -> AsyncIterator[tuple[News | None, bytes | None]]:
    """Yield news with what leaves of them now. It ends once the caller may not listen any more."""
    async for news in coming:
        if not may_listen():
            return
        yield news, None if news is None else await feed.body(news, viewer)


def cursor_of(text: str | None, field: str) -> Position | None:
    """Return the cursor that the id of an event states; None without one. Raises RequestError for what is none."""
    if not text:
        return None
    if not _CURSOR.fullmatch(text):
        raise RequestError(field, "expected the id of an event of this stream, such as moments:12")
    return {name: int(seq) for name, _, seq in (part.partition(":") for part in text.split(","))}


def cursor_text(cursor: Position) -> str:
    """Return the id of an event after which a stream has been told everything up to these numbers."""
    return ",".join(f"{name}:{seq}" for name, seq in sorted(cursor.items()))


def _beat(cursor: Position) -> bytes:
    return b"id: %s\nevent: beat\ndata: {}\n\n" % cursor_text(cursor).encode()


def _event(news: News, body: bytes, cursor: Position, names: Mapping[str, str]) -> bytes:
    about = {"kind": news.kind, "source": news.source, "seq": news.seq, "channel": news.channel}
    topics = sorted(names[topic] for topic in news.topics if topic in names)
    whole = to_json({**about, "topics": topics})[:-1] + b',"data":%s}' % body
    return b"id: %s\ndata: %s\n\n" % (cursor_text(cursor).encode(), whole)
