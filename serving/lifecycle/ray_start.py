"""Start the Ray of a run on this machine, with more patience than Ray has of its own."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import ray
from ray._private import services

NODE_S: Final = 120.0
"""How long a node may take to register. Ray allows it 30 s, as a constant in `ray/_private/node.py`, and its agents,
which must register first, import for longer than that where other programs use the cores."""
_LOOK_S: Final = 0.2
_OBJECT_STORE_BYTES: Final = 200_000_000  # requests do not pass through it


def start_ray(temp: Path, cpus: int, **more: Any) -> None:
    """Start Ray with `temp` as its folder, for this process and those that it starts; `more` is for `ray.init`."""
    services.get_node = _patient(services.get_node)
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=False,
        _temp_dir=str(temp),
        **more,
    )


def _patient(get_node: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    """Return `get_node`, which raises RuntimeError as long as the node is not registered, with NODE_S to wait for it.

    `ray.init` stops asking 30 s after its first question, so the first one takes the time.
    """

    def patient(address: str, node: str) -> Any:
        deadline_s = time.monotonic() + NODE_S
        while True:
            try:
                return get_node(address, node)
            except RuntimeError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_LOOK_S)

    return patient
