"""A disk that fills or turns read-only for a while: what was answered is kept, and service comes back by itself."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.brain.runtime import Brain
from serving.commands.offline import open_brain
from serving.http.app import brain_when_writable
from serving.settings import Workspace
from tests.serving.disk import Disk, freezing, mounted
from tests.serving.server import product
from tests.serving.test_kills import Asking
from tests.serving.workspaces import Client, Json, ask, consent, signal, small_workspace

Record = Callable[[str, object], None]
AGAIN_S = 10.0
SIZE_MB = 60


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk", SIZE_MB) as disk:
        yield disk


class Telling:
    """Tells a brain something of every kind, of one customer after the other; keeps what was acknowledged."""

    def __init__(self, client: Client) -> None:
        self.client, self.number = client, 0
        self.decisions: list[str] = []
        self.ages: dict[str, int] = {}
        self.signals: list[str] = []

    def all_kinds(self) -> set[int]:
        """Return the statuses of a decision, a consent, a fact and a signal."""
        self.number += 1
        customer = f"c-{self.number}"
        decided, answer = self.client("POST", "/v1/decisions", ask(f"full-{self.number}", customer))
        consented, _ = self.client("POST", "/v1/consents", consent(customer, "marketing"))
        patched, _ = self.client("PATCH", f"/v1/customers/{customer}", {"facts": {"age": 20 + self.number % 60}})
        event = signal("payment-failure", f"customer:{customer}")
        signalled, _ = self.client("POST", "/v1/signals", event)
        self.decisions += [answer["decision_id"]] if decided == 200 else []
        self.ages |= {customer: 20 + self.number % 60} if patched == 200 else {}
        self.signals += [event["id"]] if signalled == 200 else []
        return {decided, consented, patched, signalled}

    def assert_nothing_is_lost(self) -> None:
        """Find everything that was acknowledged, in a brain that is opened anew."""
        with open_brain(self.client.brain.workspace) as brain:
            client = Client(brain)
            assert all(brain.ledger.lookup(f"decision:{decision}") for decision in self.decisions)
            facts = {customer: client("GET", f"/v1/customers/{customer}")[1] for customer in self.ages}
        assert {customer: _age(found) for customer, found in facts.items()} == self.ages


def _age(customer: Json) -> int:
    return int(customer["facts"]["age"])


@pytest.mark.promise("serving.full-disk")
def test_what_was_answered_before_and_after_a_full_disk_is_kept_and_it_needs_no_restart(disk: Disk) -> None:
    brain = Brain(small_workspace(disk.folder / "ws"))
    telling = Telling(Client(brain))
    for _ in range(2):
        assert telling.all_kinds() == {200}
        disk.fill()
        during = [telling.all_kinds() for _ in range(2)]
        assert set().union(*during) <= {200, 503}
        assert during[-1] == {503}
        assert telling.client("GET", "/readyz")[0] == 503
        disk.empty()
        assert telling.all_kinds() == {200}
    brain.close()
    telling.assert_nothing_is_lost()


@pytest.mark.long
@pytest.mark.promise("serving.read-only")
def test_a_replica_that_starts_while_its_disk_is_read_only_serves_once_it_can_be_written(tmp_path: Path) -> None:
    with freezing(tmp_path / "disk", SIZE_MB) as disk:
        workspace = small_workspace(disk.folder / "ws")
        Brain(workspace).close()
        disk.freeze()
        thawing = threading.Timer(1.0, disk.thaw)
        thawing.start()
        brain = brain_when_writable(workspace)
        thawing.join()
        assert Telling(Client(brain)).all_kinds() == {200}
        brain.close()


@pytest.mark.server
@pytest.mark.long
@pytest.mark.promise("serving.full-disk")
def test_a_server_whose_disk_fills_and_is_emptied_under_load_serves_again_within_ten_seconds(
    disk: Disk, record_property: Record
) -> None:
    statuses = serve_through(disk.folder / "ws", disk.fill, disk.empty, record_property)
    assert statuses == {200, 503}


@pytest.mark.server
@pytest.mark.long
@pytest.mark.promise("serving.read-only")
def test_a_server_whose_disk_is_read_only_for_a_while_under_load_serves_again_within_ten_seconds(
    tmp_path: Path, record_property: Record
) -> None:
    with freezing(tmp_path / "disk", 5 * SIZE_MB) as disk:
        try:
            statuses = serve_through(disk.folder / "ws", disk.freeze, disk.thaw, record_property)
        finally:
            disk.thaw()
    assert statuses == {200, 503}


def serve_through(
    root: Path, break_disk: Callable[[], None], mend_disk: Callable[[], None], record_property: Record
) -> set[int]:
    """Serve while the disk is broken and mended three times; return the statuses of twenty decisions a second.

    Checks that decisions are made again within AGAIN_S of each time without a restart, and that none is lost.
    """
    server = product(root)
    server.start()
    said_at_the_start = len(server.output)
    asking = Asking(server, "disk")
    asking.start()
    try:
        for spell in range(3):
            time.sleep(5)
            break_disk()
            time.sleep(15)
            mend_disk()
            mended_s = time.monotonic()
            time.sleep(15)
            failed = [(at_s, status, body) for at_s, status, body in asking.answers if status != 200]
            again_s = max(mended_s, failed[-1][0]) - mended_s
            record_property(f"spell {spell}: serves again after", f"{again_s:.1f} s")
            assert again_s < AGAIN_S, (failed[-1], server.output)
    finally:
        asking.ends.set()
        asking.join()
        code = server.stop()
    statuses = [status for _, status, _ in asking.answers]
    record_property("answers", json.dumps({s: statuses.count(s) for s in set(statuses)}))
    assert code == 0
    assert "starting the server again" not in server.output[said_at_the_start:]
    decided = [body["decision_id"] for _, status, body in asking.answers if status == 200]
    with open_brain(Workspace.open(server.root)) as brain:
        assert all(brain.ledger.lookup(f"decision:{decision}") for decision in decided)
    return set(statuses)
