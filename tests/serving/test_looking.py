"""A replica's periodic work goes on after errors."""

import asyncio
import logging
from contextlib import suppress

import pytest

from decisioning.errors import Unavailable
from serving.http.routes import _every


def test_no_error_ends_the_looking_and_a_bug_is_told_without_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(len(looks))
        if looks[-1] == 0:
            raise Unavailable("away")
        if looks[-1] == 1:
            raise ZeroDivisionError("about Jan de Vries")

    async def some_time() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(_every(0.001, look), 0.5)

    with caplog.at_level(logging.ERROR, "ray.serve"):
        asyncio.run(some_time())
    assert len(looks) > 2
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [f"ZeroDivisionError at {__file__}"]
