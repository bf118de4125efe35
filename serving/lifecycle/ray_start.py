"""Start the Ray of a run on this machine, also where other programs use the cores.

Ray's node waits 15 s for its agents to say where they listen, and ends if they do not; they import for longer than that
on a busy machine. So where they listen is written before the node starts: nowhere, for the agent of the dashboard,
which is not used, and at a port that was chosen for the one that is. Sources, of Ray 2.60:
`WaitForPersistedPort` in the raylet, `ray/_private/services.py`, `ray/dashboard/agent.py`.
"""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import ray
from ray._private import services

from serving.lifecycle.environment import ray_folder

_raylet: Any = importlib.import_module("ray._raylet")  # compiled, and its stub lacks what is needed here

_OBJECT_STORE_BYTES: Final = 200_000_000  # requests do not pass through it
_NOT_USED: Final = -1
"""What an agent writes in place of a port if it serves nothing."""
_UNUSED: Final = (
    _raylet.METRICS_AGENT_PORT_NAME,
    _raylet.METRICS_EXPORT_PORT_NAME,
    _raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME,
)


def start_ray(temp: Path, cpus: int, agent_port: int, **more: Any) -> None:
    """Start Ray for this process and those that it starts.

    :param temp: the run's folder
    :param agent_port: the port of its agent for environments of workers
    :param more: arguments of `ray.init`
    """
    original = services.start_raylet
    services.start_raylet = _without_waiting(original, agent_port)
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            _temp_dir=str(ray_folder(temp)),
            **more,
        )
    finally:
        services.start_raylet = original


def _without_waiting(start_raylet: Callable[..., Any], agent_port: int) -> Callable[..., Any]:
    """Return `start_raylet`, which first writes where the agents of its node will listen."""
    parameters = inspect.signature(start_raylet)

    def start(*arguments: Any, **named: Any) -> Any:
        bound = parameters.bind(*arguments, **named)
        node = (bound.arguments["session_dir"], bound.arguments["node_id"])
        for name in _UNUSED:
            _raylet.persist_port(*node, name, _NOT_USED)
        _raylet.persist_port(*node, _raylet.RUNTIME_ENV_AGENT_PORT_NAME, agent_port)
        bound.arguments["runtime_env_agent_port"] = agent_port
        return start_raylet(*bound.args, **bound.kwargs)

    return start
