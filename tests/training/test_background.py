"""Long work in slices: the same result, with a rest after every slice when requests may be waiting."""

import asyncio
import time

import pytest

from training.model import background
from training.model.background import in_slices, yielding


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The lengths of all rests, in seconds; every item is a slice."""
    recorded: list[float] = []
    monkeypatch.setattr(background, "SLICE_S", 0.0)
    monkeypatch.setattr(time, "sleep", recorded.append)
    return recorded


def test_items_are_the_same_and_nothing_rests_where_nobody_waits(rests: list[float]) -> None:
    assert list(in_slices("abc")) == ["a", "b", "c"]
    assert rests == []


def test_unhurried_work_rests_after_every_piece_also_in_a_thread_and_only_within(rests: list[float]) -> None:
    async def look() -> list[str]:
        with yielding():
            return await asyncio.to_thread(lambda: list(in_slices("abc")))

    assert asyncio.run(look()) == ["a", "b", "c"]
    assert rests == [background.REST_S] * 3
    assert list(in_slices("d")) == ["d"]
    assert len(rests) == 3


def test_a_piece_lasts_a_while_and_is_as_many_items_as_are_done_in_it(
    rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((0.0, 0.2, 0.4, 1.1, 1.1, 1.3, 2.1, 2.1))  # read at the start, after every item and after a rest
    monkeypatch.setattr(background, "SLICE_S", 1.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    with yielding():
        assert list(in_slices("abcde")) == list("abcde")
    assert len(rests) == 2
