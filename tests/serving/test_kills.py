"""Whichever process of a server is killed: it serves again by itself, and no answered decision is lost."""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.commands.offline import open_brain
from serving.lifecycle import processes
from serving.settings import Workspace
from tests.serving.server import Server, product
from tests.serving.workspaces import ask

pytestmark = [pytest.mark.server, pytest.mark.long]
VICTIMS = (
    "ray::ServeReplica",
    "haproxy",
    "ray::HAProxyManager",
    "ray::ServeController",
    "raylet",
    "gcs_server",
    "driver",
)
WITHIN_S = 60.0
PERIOD_S = 0.05


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = product(tmp_path_factory.mktemp("kills") / "workspace")
    server.start()
    yield server
    assert server.stop() == 0, server.output
    assert (server.pids(), server.listeners()) == ([], [])


class Asking(threading.Thread):
    """Asks for a decision twenty times a second; `answers` are (seconds, status, body).

    `lacking` counts the answers of status 503 without Retry-After.
    """

    def __init__(self, server: Server, run: str) -> None:
        super().__init__(daemon=True)
        self.server, self.run_name, self.ends = server, run, threading.Event()
        self.answers: list[tuple[float, int, dict[str, Any]]] = []
        self.lacking = 0

    def run(self) -> None:
        number = 0
        while not self.ends.wait(PERIOD_S):
            number += 1
            request = ask(f"{self.run_name}-{number}", f"c-{number % 50}")
            status, retry_after, body = self.server.exchange("POST", "/v1/decisions", request)
            self.lacking += status == 503 and retry_after is None
            self.answers.append((time.monotonic(), status, body))


@pytest.mark.promise("serving.kills")
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_process_is_replaced_within_a_minute(
    served: Server, victim: str, record_property: Callable[[str, object], None]
) -> None:
    asking = Asking(served, victim)
    asking.start()
    time.sleep(2)
    killed_s = time.monotonic()
    kill(served, victim)
    while time.monotonic() < killed_s + 2 * WITHIN_S and not settled(asking, killed_s):
        time.sleep(0.5)
    asking.ends.set()
    asking.join()
    failed = [at_s for at_s, status, _ in asking.answers if status != 200]
    statuses = Counter(status for _, status, _ in asking.answers)
    record_property("serves again after", f"{max([killed_s, *failed]) - killed_s:.1f} s")
    record_property("answers", dict(statuses))
    assert max([killed_s, *failed]) - killed_s < WITHIN_S, served.output
    assert set(statuses) <= {0, 200, 503}
    assert asking.lacking == 0
    decided = [body["decision_id"] for _, status, body in asking.answers if status == 200]
    with open_brain(Workspace.open(Path(served.root))) as brain:
        assert all(brain.ledger.lookup(f"decision:{decision_id}") for decision_id in decided)


def kill(server: Server, victim: str) -> None:
    run_id = run_of(server)
    pids = [pid for pid in processes.members(run_id) if title(pid, victim)]
    assert pids, processes.titles(run_id)
    processes.send(run_id, pids, signal.SIGKILL)


def run_of(server: Server) -> str:
    """Return the id of the present run: the supervisor may have started another one since `start`."""
    return str(json.loads((server.root / "data/run/serve.json").read_text())["run_id"])


def title(pid: int, victim: str) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    if victim == "driver":
        return "serving.lifecycle.driver" in words
    return words[0].rsplit("/", 1)[-1].startswith(victim)


def settled(asking: Asking, killed_s: float) -> bool:
    """Tell whether all went well for the last ten seconds, and at least fifteen have gone by."""
    now_s = time.monotonic()
    recent = [status for at_s, status, _ in asking.answers if at_s > now_s - 10]
    return now_s > killed_s + 15 and len(recent) > 50 and set(recent) == {200}
