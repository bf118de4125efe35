"""Intents over HTTP: a message records which one it has, and rules and limits of help read it."""

from typing import Any

import pytest
from pydantic_core import from_json
from sqlalchemy import select

from features.ledger.tables import SIGNALS
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving.workspaces import Client, ask, offers, signal, small_workspace, welcome
from training.simulator.telecom import catalogue_files

CATALOGUE = """
signals:
  - id: call
    retention_days: 30
    fields:
      - {name: sentiment, dtype: float, min: -1, max: 1, tags: [emotion]}
      - {name: intent, dtype: string, tags: [request]}
      - {name: intent_confidence, dtype: float, tags: [request]}
  - {id: solved, retention_days: 30}
features:
  - {name: wanted, dtype: string, source: signal, tags: [request], max_age_s: 86400,
     signal: {of: call, compute: last, field: intent}}
  - {name: unsolved, dtype: int, source: signal, tags: [request],
     signal: {of: call, compute: repeated, field: intent, window: 24h, since: solved}}
policies:
  - {id: about-a-bill, level: applicability, attach: {action: bill-explained},
     permit: 'default(wanted, "bill") == "bill" || unsolved >= 2'}
actions:
  - id: bill-explained
    issue: service
    group: bill
    tier: service
    value: 5
    purposes: [service]
    intent: bill
    treatments: [{id: web, channel: web, placements: [hero], content_ref: cms/1}]
"""


@pytest.fixture
def workspace(tmp_path: Any) -> Workspace:
    lists = [text.partition("intents:\n")[2] for text in catalogue_files().values()]
    return small_workspace(tmp_path / "intents", f"{CATALOGUE}\nintents:\n{''.join(lists)}")


@pytest.fixture
def client(workspace: Workspace) -> Any:
    summary = releasing.release(workspace, "test")
    assert summary["intents"] == 10
    served = Brain(workspace)
    yield Client(served)
    served.close()


def told(client: Client, type_: str, **data: Any) -> dict[str, Any]:
    """Return the recorded fields of a signal."""
    assert client("POST", "/v1/signals", signal(type_, "customer:c-1", **data))[1]["accepted"] == 1
    latest = select(SIGNALS.c.body).order_by(SIGNALS.c.seq.desc()).limit(1)
    return dict(from_json(client.brain.ledger.select(latest, {})[0].body))


def is_offered(client: Client, request_id: str) -> bool:
    slots = [{"name": "hero", "limit": 5}]
    status, answer = client("POST", "/v1/decisions", ask(request_id, placements=slots, mode="preview"))
    assert status == 200
    return "bill-explained" in [offer["action"] for offer in offers(answer)]


@pytest.mark.promise("messages.intent-limits")
def test_what_a_customer_wants_decides_which_help_is_relevant_and_when_no_machine_answers(client: Client) -> None:
    welcome(client, "c-1")
    assert is_offered(client, "r-1")
    fields = told(client, "call", text="Where can I find the invoice of last month?")
    assert fields["intent"] == "bill"
    assert fields["intent_confidence"] > 0.5
    assert is_offered(client, "r-2")
    assert told(client, "call", text="Hello there, nice weather today")["intent"] == "unknown"
    assert not is_offered(client, "r-3"), "it is about something else"
    assert told(client, "call", text="Where can I find the invoice of this month?")["intent"] == "bill"
    assert told(client, "call", text="I want to cancel my contract right now")["intent"] == "leaving"
    assert not is_offered(client, "r-4"), "the same was asked twice, and who leaves is helped by a person"
    told(client, "call", text="Hello there, nice weather today")
    assert is_offered(client, "r-5"), "the same was asked twice"
    told(client, "solved")
    assert not is_offered(client, "r-6"), "what was asked before it was solved no longer counts"


def test_a_release_without_intents_names_none_and_trains_nothing(tmp_path: Any) -> None:
    summary = releasing.release(small_workspace(tmp_path / "plain"), "test")
    assert "intents" not in summary
