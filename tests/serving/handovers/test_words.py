"""Words of conversations: held for who helps, told to the customer alone, and in no file once their time is over."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from decisioning.times import iso
from features.conversations.words import overdue, said_in, tend
from features.ledger import now_us
from features.ledger.tables import CONVERSATION_WORDS
from serving.brain.runtime import Brain
from serving.commands.offline import export_customer
from serving.commands.repairing import repair
from serving.commands.verifying import add_ledger_flaws
from serving.customers.erasing import clean
from tests.serving.conftest import NewDatabase
from tests.serving.workspaces import Client, Json, consent, signal, small_workspace, welcome

CALLS = """
signals:
  - id: call
    retention_days: 30
    fields:
      - {name: author, dtype: enum, values: [customer, agent, bot]}
      - {name: conversation_id, dtype: string}
      - {name: sentiment, dtype: float, min: -1, max: 1, tags: [emotion]}
"""
HOUR_US = 3_600_000_000
CHAT = {"channel": "chat", "reason": "asks for a person"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("words") / "shop", CALLS, database()))
    yield Client(brain)
    brain.close()


def opened(client: Client, customer: str, conversation: str, **more: str) -> str:
    asked = {
        "request_id": f"r-{conversation}",
        "customer_id": customer,
        "conversation_id": conversation,
        **CHAT,
        **more,
    }
    status, answer = client("POST", "/v1/handovers", asked)
    assert status == 200, answer
    return str(answer["handover_id"])


def say(client: Client, who: str, conversation: str, text: str, author: str = "customer") -> None:
    told = signal("call", who, text=text, conversation_id=conversation, author=author)
    status, answer = client("POST", "/v1/signals", told)
    assert status == 200, answer


def resolve(client: Client, handover: str) -> None:
    assert client("POST", f"/v1/handovers/{handover}/steps", {"state": "resolved"})[0] == 200


def words(client: Client, customer: str, conversation: str) -> list[str]:
    stream = client.brain.ledger.stream_of("person", customer)
    return [one.text for one in said_in(client.brain.ledger, [stream], conversation)]


def files_with(root: Path, mark: str) -> list[str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return [path.name for path in files if mark.encode() in path.read_bytes()]


def test_words_are_held_while_a_handover_is_open(client: Client) -> None:
    welcome(client, "c-1")
    say(client, "customer:c-1", "w-1", "before anybody was called")
    handover = opened(client, "c-1", "w-1")
    say(client, "customer:c-1", "w-1", "my invoice is wrong")
    say(client, "customer:c-1", "w-2", "of another conversation")
    say(client, "customer:c-1", "w-1", "let me look", "agent")
    say(client, "customer:c-1", "w-1", "a person is here now", "bot")
    say(client, "customer:c-9", "w-1", "somebody else, in one of the same name")
    resolve(client, handover)
    say(client, "customer:c-1", "w-1", "after it")
    assert words(client, "c-1", "w-1") == ["my invoice is wrong", "let me look", "a person is here now"]
    assert words(client, "c-9", "w-1") == []


def test_words_are_not_held_where_the_chat_keeps_them_or_service_is_refused(client: Client) -> None:
    opened(client, "c-2", "w-3", words_url="https://chat.example/w-3")
    say(client, "customer:c-2", "w-3", "kept elsewhere")
    assert words(client, "c-2", "w-3") == []
    assert client("POST", "/v1/consents", consent("c-3", "service", "refused"))[0] == 200
    opened(client, "c-3", "w-4")
    say(client, "customer:c-3", "w-4", "not to be held")
    assert words(client, "c-3", "w-4") == []
    plain = {
        "request_id": "r-w",
        "customer_id": "c-2",
        "conversation_id": "w-9",
        **CHAT,
        "words_url": "http://x.example",
    }
    status, problem = client("POST", "/v1/handovers", plain)
    assert (status, problem["field"]) == (422, "words_url")


@pytest.mark.promise("handovers.words")
def test_words_are_in_no_file_after_their_hours(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ledger, root, mark = client.brain.ledger, client.brain.workspace.root, "zqxjkvbm-of-my-invoice"
    handover = opened(client, "c-4", "w-5")
    still_open = opened(client, "c-5", "w-6")
    other = {"request_id": "r-10", "customer_id": "c-10", "conversation_id": "w-5", **CHAT}
    assert client("POST", "/v1/handovers", other)[0] == 200, "of somebody else, in one of the same name"
    for n in range(150):  # so that rows move between pages
        say(client, "customer:c-4", "w-5", f"{mark} {n} " + "and so on " * (n % 7))
    say(client, "customer:c-5", "w-6", "zqxjkvbm-still-open")
    if client.brain.workspace.ledger_file.exists():
        assert "ledger.db" in "".join(files_with(root, mark))
    export = client("GET", "/v1/customers/c-4/export")[1]
    while export["next"] and not export["words"]:
        export = client("GET", f"/v1/customers/c-4/export?after={export['next']}")[1]
    assert mark in export["words"][0]["text"]
    resolve(client, handover)
    assert tend(ledger, 24) == 0
    assert not overdue(ledger, 24)
    monkeypatch.setattr(ledger, "clock", lambda: now_us() + 23 * HOUR_US)
    assert tend(ledger, 24) == 0
    monkeypatch.setattr(ledger, "clock", lambda: now_us() + 25 * HOUR_US)
    assert overdue(ledger, 24)
    assert tend(ledger, 24) >= 150
    assert not overdue(ledger, 24)
    assert files_with(root, mark) == []
    assert mark not in caplog.text
    assert words(client, "c-5", "w-6") == ["zqxjkvbm-still-open"]
    resolve(client, still_open)


def test_an_erasure_takes_the_words_with_it_and_no_exported_file_has_them(client: Client, tmp_path: Path) -> None:
    mark = "wqzzvx-erased"
    opened(client, "c-6", "w-7")
    say(client, "customer:c-6", "w-7", mark)
    told: Json = export_customer(client.brain.workspace, "c-6", tmp_path / "c-6.json")
    assert told["written"]
    assert files_with(tmp_path, mark) == []
    assert export_customer(client.brain.workspace, "c-6")["words"][0]["text"] == mark
    assert client("DELETE", "/v1/customers/c-6")[0] == 200
    clean(client.brain)
    assert words(client, "c-6", "w-7") == []
    assert files_with(client.brain.workspace.root, mark) == []


def test_verify_tells_words_that_are_held_too_long_and_repair_deletes_them(
    tmp_path: Path, database: NewDatabase
) -> None:
    workspace = small_workspace(tmp_path / "shop", CALLS, database())
    brain = Brain(workspace)
    client = Client(brain)
    handover = opened(client, "c-1", "w-1")
    say(client, "customer:c-1", "w-1", "qqzzx-forgotten")
    resolve(client, handover)
    tend(brain.ledger, 24)
    ended = update(CONVERSATION_WORDS).values(until_us=1)
    brain.ledger.transact(lambda connection: connection.execute(ended).rowcount).result()
    brain.close()
    flaws: list[str] = []
    add_ledger_flaws(workspace, flaws)
    assert flaws == ["words: some are held although their time is over; `brain repair` deletes them"]
    assert repair(workspace)["repaired"] == ["words: those of conversations that ended long ago are deleted"]
    flaws.clear()
    add_ledger_flaws(workspace, flaws)
    assert (flaws, files_with(workspace.root, "qqzzx-forgotten")) == ([], [])


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    more = CALLS + "settings: {handover: {text_before_h: 2}}\n"
    brain = Brain(small_workspace(tmp_path_factory.mktemp("before") / "shop", more, database()))
    yield Client(brain)
    brain.close()


@pytest.mark.promise("handovers.words-before")
def test_words_said_before_a_handover_are_in_its_package_and_gone_with_the_others(
    before: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, ledger, root = before, before.brain.ledger, before.brain.workspace.root
    assert client("POST", "/v1/consents", consent("c-4", "service", "refused"))[0] == 200
    for customer in ("c-1", "c-2", "c-3", "c-4"):
        say(client, f"customer:{customer}", "w-1", f"qzwx-{customer} my invoice is wrong")
        say(client, f"customer:{customer}", "w-1", "which invoice?", "bot")
    assert words(client, "c-4", "w-1") == [], "service was refused"
    handover = opened(client, "c-1", "w-1")
    elsewhere = {"request_id": "r-3", "customer_id": "c-3", "words_url": "https://chat.example/w-1", **CHAT}
    assert client("POST", "/v1/handovers", {**elsewhere, "conversation_id": "w-1"})[0] == 200
    say(client, "customer:c-1", "w-1", "a person, please")
    package = client("GET", f"/v1/handovers/{handover}/package")[1]
    assert [(one["speaker"], one["text"]) for one in package["words"]] == [
        ("customer", "qzwx-c-1 my invoice is wrong"),
        ("bot", "which invoice?"),
        ("customer", "a person, please"),
    ]
    assert "qzwx-c-2" in str(export_customer(client.brain.workspace, "c-2")["words"])
    real = ledger.clock
    monkeypatch.setattr(ledger, "clock", lambda: real() + 3 * HOUR_US)
    assert overdue(ledger, 24), "of those in whose conversation nobody was called"
    tend(ledger, 24)
    assert (words(client, "c-2", "w-1"), words(client, "c-3", "w-1")) == ([], [])
    assert len(words(client, "c-1", "w-1")) == 3
    assert [name for n in (2, 3) for name in files_with(root, f"qzwx-c-{n}")] == []
    assert not overdue(ledger, 24)
    resolve(client, handover)
    monkeypatch.setattr(ledger, "clock", lambda: real() + 23 * HOUR_US)
    assert tend(ledger, 24) == 0
    monkeypatch.setattr(ledger, "clock", lambda: real() + 25 * HOUR_US)
    assert tend(ledger, 24) == 3
    assert files_with(root, "qzwx-c-1") == []


def test_words_that_come_late_are_not_held_and_an_erasure_takes_those_before_a_handover(before: Client) -> None:
    client, brain = before, before.brain
    late = {"time": iso(now_us() - 3 * HOUR_US)}
    told = signal("call", "customer:c-5", text="said long ago", conversation_id="w-1")
    assert client("POST", "/v1/signals", {**told, **late})[0] == 200
    assert words(client, "c-5", "w-1") == []
    say(client, "customer:c-5", "w-1", "vvkkq-erased")
    assert client("DELETE", "/v1/customers/c-5")[0] == 200
    clean(brain)
    assert files_with(brain.workspace.root, "vvkkq-erased") == []
