"""A short witness that handovers live on PostgreSQL as in a file; in `make test-long` most of their tests run there."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from features.conversations.words import tend
from features.ledger import now_us
from serving.brain.runtime import Brain
from serving.commands.verifying import add_ledger_flaws
from tests.postgres_server import new_database
from tests.serving.handovers.test_words import CALLS, HOUR_US, opened, resolve, say, words
from tests.serving.workspaces import Client, small_workspace


@pytest.mark.promise("handovers.one-taker")
def test_a_handover_is_taken_once_ends_and_is_erased(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    brain = Brain(small_workspace(tmp_path / "shop", CALLS, new_database(postgres)))
    client, ledger = Client(brain), brain.ledger
    taken, erased = opened(client, "c-1", "k-1"), opened(client, "c-2", "k-2")
    with ThreadPoolExecutor(8) as pool:
        steps = ({"state": "accepted", "agent_id": f"a-{n}"} for n in range(8))
        path = f"/v1/handovers/{taken}/steps"
        statuses = list(pool.map(lambda step: client("POST", path, step)[0], steps))
    assert sorted(statuses) == [200, *[409] * 7]
    for customer, conversation in (("c-1", "k-1"), ("c-2", "k-2")):
        say(client, f"customer:{customer}", conversation, "my invoice is wrong")
        assert words(client, customer, conversation) == ["my invoice is wrong"]
    resolve(client, taken)
    assert client("DELETE", "/v1/customers/c-2")[0] == 200
    assert client("GET", f"/v1/handovers/{erased}")[0] == 404
    monkeypatch.setattr(ledger, "clock", lambda: now_us() + 25 * HOUR_US)
    tend(ledger, 24)
    assert (words(client, "c-1", "k-1"), words(client, "c-2", "k-2")) == ([], [])
    brain.close()
    flaws: list[str] = []
    add_ledger_flaws(brain.workspace, flaws)
    assert flaws == []
