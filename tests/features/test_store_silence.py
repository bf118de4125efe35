"""A Redis that is connected and does not answer: one read waits for it, the next do not, and then it is read again."""

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from decisioning.errors import Unavailable
from features.profile.repository import TIMEOUT_S
from tests.features.conftest import open_world
from tests.silent_server import Relay, relay


@pytest.fixture
def relayed(tmp_path_factory: pytest.TempPathFactory, redis_at: str) -> Iterator[tuple[SimpleNamespace, Relay]]:
    """A workspace whose Redis is reached through a relay."""
    host, _, rest = redis_at.partition(":")
    port, _, options = rest.partition(",")
    with (
        relay(host=host, port=int(port)) as before,
        open_world(tmp_path_factory, f"127.0.0.1:{before.port},{options}") as world,
    ):
        yield world, before
        before.release()
        read_again(world)


def read_again(world: SimpleNamespace, within_s: float = 10.0) -> None:
    """Wait until the store can be read."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        try:
            world.profiles.read(["s-1"], now_us=world.now_us)
        except Unavailable:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("it was not read again")


def refused_after_s(world: SimpleNamespace) -> float:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        world.profiles.read(["s-1"], now_us=world.now_us)
    return time.monotonic() - began


@pytest.mark.promise("serving.silent-stores")
def test_a_redis_that_falls_silent_is_waited_for_once_and_then_read_again(
    relayed: tuple[SimpleNamespace, Relay],
) -> None:
    world, before = relayed
    world.profiles.write("s-1", {"age": 40}, None, now_us=world.now_us)
    before.hold()
    first_s, *others_s = [refused_after_s(world) for _ in range(20)]
    assert TIMEOUT_S <= first_s < 10 * TIMEOUT_S
    assert sum(others_s) < TIMEOUT_S, "nobody else waits for it"
    before.release()
    read_again(world)
    assert world.profiles.read(["s-1"], now_us=world.now_us)[0].facts == {"age": 40}
