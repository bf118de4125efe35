"""Decisions read what a recomputation from the log gives, with many senders, late, shuffled and repeated events."""

import random
from collections.abc import Iterator

import pytest

from tests.features.processes import Child, child, warm_up
from tests.features.signals.places import OpenPlace, Place, check_all, send, subjects
from tests.features.signals.signal_help import HOUR_US, S_US

LATER_US = (0, 0, 20 * S_US, 10 * 60 * S_US, 3 * HOUR_US, 8 * 24 * HOUR_US)


@pytest.fixture(autouse=True, scope="module")
def _warm() -> None:
    warm_up()


def race(place: Place, opened: OpenPlace, *, events: int, many: int) -> None:
    """Two processes of two threads send; meanwhile this one reads at random times and checks every read."""
    whom, each = subjects(many), events // 4
    with child(send, place, (1, 2), each, whom) as one, child(send, place, (3, 4), each, whom) as other:
        reads = sum(_checked(opened, whom, rng) for rng in _while_alive(one, other))
        sent = one.pipe.recv() | other.pipe.recv()
        one.finished()
        other.finished()
    assert reads > 5
    assert check_all(opened, whom) == len(sent) > 0.8 * events


def _while_alive(*children: Child) -> Iterator[random.Random]:
    rng = random.Random(5)
    while not all(c.pipe.poll(0.02) for c in children):
        yield rng


def _checked(opened: OpenPlace, whom: list[str], rng: random.Random) -> int:
    """Check a read of one to three streams, as of a person and visitors, now or later; tell whether it had events."""
    streams = [opened.stream(s) for s in rng.sample(whom, rng.choice([1, 1, 2, 3]))]
    versions = opened.check(streams, opened.place.now_us() + rng.choice(LATER_US))
    return any(versions.values())


@pytest.mark.promise("signals.exact")
def test_any_read_is_what_the_log_comes_to_while_processes_send(place: Place, opened: OpenPlace) -> None:
    race(place, opened, events=2_000, many=24)


@pytest.mark.promise("signals.exact")
@pytest.mark.long
def test_a_hundred_thousand_events_from_two_processes(place: Place, opened: OpenPlace) -> None:
    race(place, opened, events=100_000, many=400)
