"""Ray starts where other programs use the cores: its node waits for none of its agents."""

from pathlib import Path
from typing import Any

from ray import _raylet
from ray._private import services

from serving.lifecycle.ray_start import _without_waiting

NODE = "a" * 56
UNUSED = (
    _raylet.METRICS_AGENT_PORT_NAME,
    _raylet.METRICS_EXPORT_PORT_NAME,
    _raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME,
)


def test_the_node_finds_the_ports_of_its_agents_before_they_listen(tmp_path: Path) -> None:
    """The arguments are those of Ray's function, so a new version of Ray that changes them has to be looked at."""
    given: dict[str, Any] = {}

    def start_raylet(session_dir: str, node_id: str, runtime_env_agent_port: int | None = None, **_: Any) -> str:
        ports = {name: _raylet.wait_for_persisted_port(session_dir, node_id, name, timeout_ms=0) for name in UNUSED}
        given.update(ports, agent=runtime_env_agent_port)
        return "started"

    assert {"session_dir", "node_id", "runtime_env_agent_port"} <= set(services.start_raylet.__code__.co_varnames)
    start = _without_waiting(start_raylet, 21_234)
    assert start(str(tmp_path), NODE, runtime_env_agent_port=0, metrics_agent_port=0) == "started"
    assert given == {**dict.fromkeys(UNUSED, -1), "agent": 21_234}
    name = _raylet.RUNTIME_ENV_AGENT_PORT_NAME
    assert _raylet.wait_for_persisted_port(str(tmp_path), NODE, name, timeout_ms=0) == 21_234


def test_an_agent_writes_its_port_over_what_was_written_before(tmp_path: Path) -> None:
    for port in (-1, 21_235):
        _raylet.persist_port(str(tmp_path), NODE, UNUSED[0], port)
    assert _raylet.wait_for_persisted_port(str(tmp_path), NODE, UNUSED[0], timeout_ms=0) == 21_235
