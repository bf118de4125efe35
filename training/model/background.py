"""Long work beside requests, in slices with rests between them: a request waits for one slice at most.

Shorter turns of threads (`sys.setswitchinterval`) do not achieve this: the work takes longer and slows every request.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")

SLICE_S, REST_S = 0.0005, 0.005
"""Seconds of work before a rest, and of the rest. An item that was begun is finished before a rest. Reading a model of
a hundred forests takes 0.8 s instead of 0.1 s."""
_rest_s: ContextVar[float] = ContextVar("rest_s", default=0.0)


@contextmanager
def yielding(rest_s: float = REST_S) -> Iterator[None]:
    """Let `in_slices` rest for `rest_s` after every `SLICE_S` of work, within this context and thread or task."""
    token = _rest_s.set(rest_s)
    try:
        yield
    finally:
        _rest_s.reset(token)


def in_slices(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the same items; within `yielding`, rest between them."""
    rest_s, slice_start = _rest_s.get(), time.perf_counter()
    for item in items:
        yield item
        if rest_s and time.perf_counter() - slice_start >= SLICE_S:
            time.sleep(rest_s)
            slice_start = time.perf_counter()
