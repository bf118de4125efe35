"""Long work beside requests: in pieces, with rests between them, so that no request waits longer than for a piece."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")

REST_S = 0.003
"""After a piece of a few tenths of a millisecond: a model of a hundred forests takes a second instead of a tenth."""
_rest_s: ContextVar[float] = ContextVar("rest_s", default=0.0)


@contextmanager
def unhurried() -> Iterator[None]:
    """Within it, in this thread or task, `in_pieces` rests after every piece."""
    before = _rest_s.set(REST_S)
    try:
        yield
    finally:
        _rest_s.reset(before)


def in_pieces(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; what is done with one of them is a piece."""
    for item in items:
        yield item
        if rest_s := _rest_s.get():
            time.sleep(rest_s)
