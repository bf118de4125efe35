"""A wish for a person over HTTP: heard from restricted customers, visitors and who lets no mood be read."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.events.moments import Watcher
from serving.settings import Workspace
from tests.serving.workspaces import (
    Client,
    Json,
    ask,
    consent,
    decide_and_send,
    offers,
    signal,
    small_workspace,
    welcome,
)

WISH = """
signals:
  - {id: wish, retention_days: 30, tags: [TAG]}
features:
  - {name: wishes_1h, dtype: int, source: signal, tags: [TAG], signal: {of: wish, compute: count, window: 1h}}
emotion:
  - {id: asks, when: "wishes_1h >= 1", silence_sales: true, handover: "asks for a person"}
moments:
  - {id: person-wanted, on: wish, when: "wishes_1h >= 1", channel: agent, placements: [suggestion], deliver: stream}
"""
SCORED = """
signals:
  - {id: chat, retention_days: 30, fields: [{name: wants_person, dtype: bool, tags: [TAG]}]}
features:
  - {name: asked_1h, dtype: int, source: signal, tags: [TAG],
     signal: {of: chat, where: {wants_person: true}, compute: count, window: 1h}}
"""


def with_wishes(root: Path, tag: str) -> Workspace:
    workspace = small_workspace(root)
    for name, text in (("wish.yaml", WISH), ("chat.yaml", SCORED)):
        (workspace.catalogue / name).write_text(text.replace("TAG", tag))
    return workspace


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    workspace = with_wishes(tmp_path_factory.mktemp("requests") / "ws", "request")
    assert "advice" not in releasing.release(workspace, "test")
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


def wish(client: Client, subject: str) -> None:
    assert client("POST", "/v1/signals", signal("wish", subject))[1]["accepted"] == 1


def shown(client: Client, subject: str) -> list[Json]:
    """Process what is due, and return the decisions that screens of the agents' channel get of a subject."""
    watcher = Watcher(client.brain)
    decide_and_send(watcher)
    bodies = [json.loads(d.body)["decision"] for d in watcher.moments.screen_page(0, ["agent"])]
    return [decision for decision in bodies if subject in (decision.get("customer_id"), decision.get("visitor_id"))]


@pytest.mark.promise("requests.always-heard")
@pytest.mark.parametrize("purpose", ["emotion", "service"])
@pytest.mark.parametrize("status", ["refused", "withdrawn", "objected"])
def test_who_refuses_a_purpose_still_reaches_a_person(client: Client, purpose: str, status: str) -> None:
    customer = f"c-{purpose}-{status}"
    welcome(client, customer)
    assert client("POST", "/v1/consents", consent(customer, purpose, status))[0] == 200
    wish(client, f"customer:{customer}")
    answer = client("POST", "/v1/decisions", ask(customer, customer))[1]
    assert answer["handover"] == {"reason": "asks for a person"}
    assert "grow" not in {o["issue"] for o in offers(answer)}


@pytest.mark.promise("requests.always-heard")
def test_a_restricted_customer_still_reaches_a_person_and_nothing_else_of_theirs_is_used(client: Client) -> None:
    welcome(client, "c-kept")
    client("PATCH", "/v1/customers/c-kept", {"restricted": True})
    client("POST", "/v1/signals", signal("message", "customer:c-kept", text="Dit is belachelijk, ik ben woedend!!"))
    wish(client, "customer:c-kept")
    answer = client("POST", "/v1/decisions", ask("kept", "c-kept"))[1]
    assert (answer["handover"], offers(answer)) == ({"reason": "asks for a person"}, [])
    why = client("GET", f"/v1/decisions/{answer['decision_id']}")[1]
    assert why["facts"]["wishes_1h"] == 1
    assert not {"age", "sentiment", "monthly_fee_eur"} & why["facts"].keys()
    (moment,) = shown(client, "c-kept")
    assert moment["handover"] == {"reason": "asks for a person"}


@pytest.mark.promise("requests.always-heard")
@pytest.mark.parametrize("restricted", [False, True])
def test_a_visitor_still_reaches_a_person(client: Client, restricted: bool) -> None:
    visitor = f"cookie:v-{restricted}"
    refusal = {**consent("", "emotion", "objected"), "visitor_id": visitor}
    del refusal["customer_id"]
    assert client("POST", "/v1/consents", refusal)[0] == 200
    if restricted:
        assert client("PATCH", f"/v1/visitors/{visitor}", {"restricted": True})[0] == 200
    wish(client, visitor)
    body = {**ask(f"visitor-{restricted}"), "visitor_id": visitor}
    del body["customer_id"]
    assert client("POST", "/v1/decisions", body)[1]["handover"] == {"reason": "asks for a person"}
    (moment,) = shown(client, visitor)
    assert moment["handover"] == {"reason": "asks for a person"}


def test_a_customer_with_a_restricted_visitor_still_reaches_a_person(client: Client) -> None:
    welcome(client, "c-linked")
    link = {"customer_id": "c-linked", "identifier": {"kind": "cookie", "value": "held"}, "status": "linked"}
    assert client("POST", "/v1/identities", {**link, "source": "login"})[0] == 200
    client("PATCH", "/v1/visitors/cookie:held", {"restricted": True})
    wish(client, "cookie:held")
    assert client("POST", "/v1/decisions", ask("linked", "c-linked"))[1]["handover"]


def test_a_workspace_that_tags_a_wish_emotion_works_as_before_and_check_advises(tmp_path: Path) -> None:
    workspace = with_wishes(tmp_path / "ws", "emotion")
    advice = releasing.check(workspace)["advice"]
    assert [line.partition(" is tagged")[0] for line in advice] == [
        "field `wants_person` of signal `chat`",
        "feature `asked_1h`",
    ]
    releasing.release(workspace, "test")
    brain = Brain(workspace)
    client = Client(brain)
    for customer in ("c-yes", "c-no"):
        wish(client, f"customer:{customer}")
    client("POST", "/v1/consents", consent("c-no", "emotion", "objected"))
    heard = {c: client("POST", "/v1/decisions", ask(c, c))[1]["handover"] for c in ("c-yes", "c-no")}
    brain.close()
    assert heard == {"c-yes": {"reason": "asks for a person"}, "c-no": None}
