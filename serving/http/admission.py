"""Which decisions are taken in, and until when: what cannot be answered in time is refused before it costs anything.

A decision that waits behind many others is late for whoever asked, and makes those behind it late too.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import Request
from prometheus_client import Counter

from decisioning.errors import Overloaded, RequestError

TIMEOUT_HEADER: Final = "Request-Timeout"
ARRIVED_HEADER: Final = "x-arrived-us"
"""When HAProxy got a request that states a timeout, in microseconds since 1970: it may have waited there."""
REFUSED_HEADER: Final = "x-overloaded"
"""HAProxy refused the decision, and leaves the answer to a replica, which can name the fallbacks."""
SHED_HEADER: Final = "x-shed"
"""How many requests HAProxy refused; it tells whoever asks for the metrics."""
_LONGEST_S: Final = 3600.0


class Room:
    """Places for decisions in a replica.

    HAProxy refuses decisions before they wait (serving/lifecycle/haproxy.py). This limit holds where another proxy
    sends requests, so that decisions do not take the places of what customers have a right to.
    """

    def __init__(self, places: int, shed: Counter) -> None:
        self._places, self._running, self._shed = places, 0, shed

    @contextmanager
    def place(self, request: Request) -> Iterator[None]:
        """Hold a place while a decision is made; raises Overloaded if there is none, or if HAProxy refused it."""
        if REFUSED_HEADER in request.headers:
            raise Overloaded
        if self._running >= self._places:
            self._shed.labels("decision").inc()
            raise Overloaded
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


def stated_until_s(request: Request) -> float:
    """Return when the caller stops waiting, by `time.monotonic()`; infinity if the request does not say.

    :raises RequestError: the header is not a number of seconds above 0
    """
    stated = request.headers.get(TIMEOUT_HEADER)
    if stated is None:
        return math.inf
    seconds = float(stated) if stated.replace(".", "", 1).isdecimal() else 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise RequestError(TIMEOUT_HEADER, f"expected seconds above 0, at most {_LONGEST_S:g}, such as 0.25")
    return time.monotonic() + seconds - _waited_s(request)


def _waited_s(request: Request) -> float:
    """Return how long the request waited in HAProxy."""
    arrived = request.headers.get(ARRIVED_HEADER, "")
    return max(0.0, time.time() - int(arrived) / 1_000_000) if arrived.isdecimal() else 0.0
