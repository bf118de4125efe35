"""Conversations from their first word to their end: when a person was called, why, for whom, and what they read."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.ledger import now_us
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.people import lapsing
from serving.settings import Workspace
from tests.serving.workspaces import Client, Json, consent, offers, signal
from training.simulator import telecom

COMMON, TRANSCRIPTS = yaml.safe_load_all((Path(__file__).parent / "transcripts.yaml").read_text())
SELLS = ("grow", "retain", "nurture")
FACTS = {
    "time_zone": "Europe/Amsterdam",
    "age": 41,
    "segment": "family",
    "payment_method": "transfer",
    "arrears_eur": 0.0,
    "has_broadband": True,
    "has_tv": False,
    "has_mobile": False,
    "download_mbps": 500,
    "monthly_fee_eur": 55.0,
    **dict.fromkeys(("hardship", "vulnerable", "bereaved", "open_complaint"), False),
}
LONGEST_PROMISE_S = 1210


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    root = tmp_path_factory.mktemp("transcripts") / "polder"
    files = telecom.catalogue_files()
    settings = files["settings.yaml"]
    releasing.new(root, files | {"settings.yaml": f"{settings}  handover: {{text_before_h: 1}}\n"})
    workspace = Workspace.open(root)
    releasing.release(workspace, "test")
    brain = Brain(workspace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lapsing, "CLAIM_US", 0)
        yield Client(brain)
    brain.close()


@pytest.mark.promise("handovers.transcripts")
@pytest.mark.parametrize("case", TRANSCRIPTS, ids=[case["name"] for case in TRANSCRIPTS])
def test_a_conversation_is_handed_over_when_it_should_be_and_ends(client: Client, case: Json) -> None:
    name = case["name"]
    assert client("PATCH", f"/v1/customers/c-{name}", {"facts": FACTS})[0] == 200
    granted = [consent(f"c-{name}", purpose) for purpose in ("marketing", "profiling")]
    assert client("POST", "/v1/consents", granted)[0] == 200
    handed_over: list[Json | None] = []
    for n, said in enumerate(case["said"]):
        confirmed = tell(client, name, said)
        answer = decided(client, case, n)
        handed_over.append(answer["handover"])
    called = [n for n, handover in enumerate(handed_over) if handover is not None]
    assert called[:1] == ([case["after"]] if "after" in case else [])
    if "after" in case or case.get("silent"):
        assert not [offer for offer in offers(answer) if offer["issue"] in SELLS], "nothing is sold"
    told_words = (handed_over[-1] or {}).get("text") or confirmed
    assert case.get("told", "") in (told_words or "")
    if handed_over[-1] is not None:
        handover = handed_over[-1]["handover_id"]
        check_terms(client, handover, case)
        assert summary(client, handover) == package_of(case)
        ENDS[case["ends"]](client, handover)
        assert client("GET", f"/v1/handovers/{handover}")[1]["state"] == "resolved"


def tell(client: Client, name: str, said: Any) -> str | None:
    """Tell the brain what was said, and return what confirms an objection to the customer."""
    bot = said["bot"] if isinstance(said, dict) else None
    data = {"text": said} if bot is None else {"answer": bot}
    event = signal(
        "message" if bot is None else "bot-answered", f"customer:c-{name}", **data, conversation_id=f"k-{name}"
    )
    status, answer = client("POST", "/v1/signals", event)
    assert status == 200, answer
    return (answer["results"][0].get("objection") or {}).get("text")


def decided(client: Client, case: Json, n: int) -> Json:
    name = case["name"]
    about = {"channel": "web", "locale": case.get("locale", "nl"), "conversation_id": f"k-{name}", "context": {}}
    asked = {"request_id": f"r-{name}-{n}", "customer_id": f"c-{name}", **about}
    status, answer = client("POST", "/v1/decisions", {**asked, "placements": [{"name": "hero", "limit": 3}]})
    assert status == 200, answer
    return answer


def check_terms(client: Client, handover: str, case: Json) -> None:
    """Check whom the handover asks for, and by when."""
    shown = client("GET", f"/v1/handovers/{handover}")[1]
    missing = {"skill": None, "needs": [], "first": False, "upset": False, "helps": False}
    assert {name: shown.get(name, missing.get(name)) for name in case["handover"]} == case["handover"]
    if days := case.get("due_days"):
        due = datetime.fromisoformat(shown["due_at"]) - datetime.fromisoformat(shown["opened_at"])
        assert abs(due - timedelta(days=days)) < timedelta(minutes=1)


def package_of(case: Json) -> Json:
    """Return what a file says of the package: of each conversation, and what is told in all of its language."""
    said = [f"customer: {line}" for line in case["said"] if isinstance(line, str)]
    return {**COMMON[case.get("locale", "nl")], **case["package"], "says": said}


def summary(client: Client, handover: str) -> Json:
    """Return what the package tells the agent, in short; what is empty is left out."""
    status, package = client("GET", f"/v1/handovers/{handover}/package")
    assert status == 200, package
    wants, mood, titles = package["wants"], package["mood"], [one["title"] for one in package["suggestions"]]
    told = {
        "wants": f"{wants['title']} ({wants['confidence']})" if wants["title"] else None,
        "asks": wants["asks"],
        "mood": [mood["text"], *mood["cues"]],
        "says": [f"{one['speaker']}: {one['text']}" for one in package["words"]],
        "knows": [f"{one['label']}: {one['text']}" for heading in package["facts"] for one in heading["facts"]],
        "shown": sorted(one["action"] for one in package["tried"]["shown"]),
        "do": titles,
        "do_not": sorted({one["why"] for one in package["not_to_offer"]}),
        "help": package["help"]["acknowledge"],
    }
    return {name: value for name, value in told.items() if value}


def solved(client: Client, handover: str) -> None:
    for body in ({"state": "accepted", "agent_id": f"agent-{handover[-4:]}"}, {"state": "resolved"}):
        assert client("POST", f"/v1/handovers/{handover}/steps", body)[0] == 200


def lapsed(client: Client, handover: str, periods: int = 1) -> Json:
    """Let the promised time pass, and return the handover."""
    clock = client.brain.ledger.clock
    for period in range(1, periods + 1):
        client.brain.ledger.clock = lambda: now_us() + period * LONGEST_PROMISE_S * 1_000_000  # noqa: B023 (used at once)
        lapsing.tend(client.brain)
    client.brain.ledger.clock = clock
    return client("GET", f"/v1/handovers/{handover}")[1]


def called(client: Client, handover: str) -> None:
    assert [one["choice"] for one in lapsed(client, handover)["choices"]] == ["call_back", "written", "wait"]
    status, booked = client("POST", f"/v1/handovers/{handover}/choice", {"choice": "call_back"})
    assert (status, booked["state"], booked["due_at"] is None) == (200, "call_back", False)
    solved(client, handover)


def answered_in_writing(client: Client, handover: str) -> None:
    assert lapsed(client, handover)["state"] == "lapsed"
    ticket = client("POST", f"/v1/handovers/{handover}/choice", {"choice": "written"})[1]
    assert (ticket["state"], ticket["due_at"] is None) == ("ticket", False)
    assert client("POST", f"/v1/handovers/{handover}/steps", {"state": "resolved"})[0] == 200


def became_a_ticket(client: Client, handover: str) -> None:
    ticket = lapsed(client, handover, periods=2)
    assert (ticket["state"], ticket["agent_id"], ticket["due_at"] is None) == ("ticket", "lead", False)
    assert client("POST", f"/v1/handovers/{handover}/steps", {"state": "resolved"})[0] == 200


ENDS = {"solved": solved, "called": called, "writing": answered_in_writing, "ticket": became_a_ticket}
