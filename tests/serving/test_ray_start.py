"""Ray is given the time that it needs where other programs use the cores."""

import inspect

import pytest

from serving.lifecycle import ray_start

REGISTERED = {"node_id": "n"}


def test_a_node_that_registers_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_start, "_LOOK_S", 0.0)
    left = iter([RuntimeError("no such node")] * 50)

    def get_node(address: str, node: str) -> dict[str, str]:
        for error in left:
            raise error
        return REGISTERED

    assert ray_start._patient(get_node)("127.0.0.1:1", "n") == REGISTERED


def test_a_node_that_never_registers_is_given_up_with_rays_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_start, "NODE_S", 0.0)
    monkeypatch.setattr(ray_start, "_LOOK_S", 0.0)

    def get_node(address: str, node: str) -> dict[str, str]:
        raise RuntimeError("no such node")

    with pytest.raises(RuntimeError, match="no such node"):
        ray_start._patient(get_node)("127.0.0.1:1", "n")


def test_ray_asks_for_its_node_where_the_patience_is_put_in() -> None:
    """Its limit is a constant of its own, so a new version of Ray has to be looked at."""
    from ray._private.node import Node

    start = inspect.getsource(Node.__init__)
    assert "ray._private.services.get_node(" in start
    assert "raylet_start_wait_time_s = 30" in start
