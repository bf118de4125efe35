"""What the supervisor concludes from the processes that it sees."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.lifecycle.parts import PARTS, Parts

TITLES = [
    "raylet",
    "gcs_server",
    "haproxy",
    "ray::ServeController",
    "ray::HAProxyManager",
    "ray::ServeReplica:brain:Brain",
]
PATIENCE_S = 45.0


def parts() -> Parts:
    return Parts.of([*TITLES, "ray::IDLE", "python"], PATIENCE_S)


def without(name: str) -> list[str]:
    return [title for title in TITLES if not title.startswith(name)]


def test_every_part_is_recognised_by_its_title() -> None:
    assert parts().expected == set(PARTS)
    assert Parts.of(["ray::ServeReplica:brain:Brain", "ray::ProxyActor"], 1.0).expected == {"ray::ServeReplica"}


@pytest.mark.promise("serving.kills")
def test_a_part_that_ray_starts_again_is_announced_once_and_waited_for() -> None:
    seen = parts()
    assert seen.look(TITLES, 0.0) == ([], "")
    assert seen.look(without("haproxy"), 1.0) == (["HAProxy is gone; Ray is starting it again"], "")
    assert seen.look(without("haproxy"), 40.0) == ([], "")
    assert seen.look(TITLES, 41.0) == (["HAProxy is back after 40 s"], "")
    assert seen.look(without("haproxy"), 50.0)[1] == ""
    assert seen.look(without("haproxy"), 96.0)[1] == "HAProxy did not come back within 45 s"


@pytest.mark.promise("serving.kills")
@given(st.sets(st.sampled_from(sorted(PARTS))), st.floats(0, 1000))
def test_the_run_is_lost_at_once_if_ray_itself_is(gone: set[str], now_s: float) -> None:
    titles = [title for title in TITLES if not any(title.startswith(part) for part in gone)]
    lost = parts().look(titles, now_s)[1]
    assert bool(lost) == bool(gone & {"raylet", "gcs_server"})
