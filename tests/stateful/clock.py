"""A clock that stands still until a test moves it, for all that this process does meanwhile."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class Clock:
    """The time in int microseconds since 1970 UTC, as `time.time_ns` tells it while the clock is set."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self.now_us += round(seconds * 1_000_000)

    @contextmanager
    def ahead(self, seconds: float) -> Iterator[None]:
        """Be wrong for a while."""
        before_us = self.now_us
        self.advance(seconds)
        try:
            yield
        finally:
            self.now_us = before_us

    @contextmanager
    def set(self) -> Iterator["Clock"]:
        """Take the place of the machine's clock."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: self.now_us * 1000)
            yield self
