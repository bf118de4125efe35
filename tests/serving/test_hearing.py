"""What is heard in messages over HTTP, and a model of a company's own messages that hears."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic_core import from_json
from sqlalchemy import select

import brain
from features.ledger.tables import SIGNALS
from features.messages.hearing.model import built_in
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.brain.snapshot import MessageScorers
from serving.settings import Workspace
from tests.serving.workspaces import Client, ask, signal, small_workspace
from training.learning.messages import hearing
from training.registry import Registry
from training.tracking import Provenance

FIELDS = """fields: [{name: conversation_id, dtype: string}, {name: wants_person, dtype: bool, tags: [request]},
      {name: needs_care, dtype: bool, tags: [request]},
      {name: data_request, dtype: enum, values: [access, erasure], tags: [request]},
      {name: objection, dtype: enum, values: [all, phone, email, sms, post, app], tags: [request]}, {name: sentiment,"""
JARGON = ("zorp me the quavely", "i need a quavely zorp", "quavely zorp now", "get the quavely zorped")


@pytest.fixture
def workspace(tmp_path: Any) -> Workspace:
    workspace = small_workspace(tmp_path / "hearing")
    features = workspace.root / "catalogue" / "features.yaml"
    features.write_text(features.read_text().replace("fields: [{name: sentiment,", FIELDS))
    releasing.release(workspace, "test")
    return workspace


@pytest.fixture
def client(workspace: Workspace) -> Any:
    served = Brain(workspace)
    yield Client(served)
    served.close()


def recorded(client: Client, text: str) -> dict[str, Any]:
    """Return the recorded fields of a message."""
    assert client("POST", "/v1/signals", signal("message", "customer:c-9", text=text))[1]["accepted"] == 1
    latest = select(SIGNALS.c.body).order_by(SIGNALS.c.seq.desc()).limit(1)
    return dict(from_json(client.brain.ledger.select(latest, {})[0].body))


@pytest.mark.promise("messages.heard")
def test_what_is_heard_is_recorded(client) -> None:
    assert recorded(client, "It might be easier if I explained this over the phone")["wants_person"] is True
    objection = recorded(client, "Bel me alstublieft niet meer")
    assert (objection["wants_person"], objection["objection"]) == (False, "phone")
    assert recorded(client, "Graag een kopie van al mijn gegevens")["data_request"] == "access"
    care = recorded(client, "Mijn man is vorige week overleden")
    assert care["needs_care"] is True
    assert "bereavement" not in json.dumps(care), "which need it is, is not recorded"


@pytest.mark.promise("messages.needs-unnamed")
def test_which_need_was_heard_is_nowhere(client) -> None:
    """Not in what is recorded, shown, exported or decided, which is all that models, reports and webhooks read."""
    for text in (
        "Mijn man is vorige week overleden",
        "I want to end my life",
        "Ik kan de rekening niet betalen, ik heb schulden",
        "My husband hits me and I am afraid",
    ):
        assert recorded(client, text)["needs_care"] is True
    said = signal("message", "customer:c-9", text="I want to end my life", conversation_id="k-1")
    answers = [
        client("POST", "/v1/signals", said),
        client("GET", "/v1/customers/c-9"),
        client("GET", "/v1/customers/c-9/export"),
        client("POST", "/v1/decisions", ask("r-9", "c-9", conversation_id="k-1")),
        client("GET", "/v1/handovers"),
    ]
    assert {status for status, _ in answers} == {200}
    everything = json.dumps([answer for _, answer in answers])
    assert not re.search("bereave|danger|violence|suicid|overleden|schulden|money", everything)


@pytest.mark.long
@pytest.mark.promise("messages.own-hearing")
def test_own_messages_teach_more_to_hear(client, workspace, tmp_path, monkeypatch) -> None:
    assert recorded(client, JARGON[0])["wants_person"] is False
    few = hearing.generate(per_family=2)[::4]
    monkeypatch.setattr(hearing, "generate", lambda **_: few)  # the whole corpus takes minutes
    file = tmp_path / "messages.jsonl"
    rows = [{"text": f"{text} {at}", "label": "wish"} for text in JARGON for at in "abcdefgh"]
    rows += [{"text": f"the zorp is fine {at}", "label": "ordinary"} for at in range(20)]
    file.write_text("\n".join(map(json.dumps, rows)))
    command = ["train", "messages", "--data", str(file), "--json", "--workspace", str(workspace.root)]
    result = CliRunner().invoke(brain.main, command)
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["model"], answer["serves"]) == (0, "hearing@1", True), answer
    assert answer["heard"] > 0.8
    client.brain.refresh_model()
    assert recorded(client, JARGON[0])["wants_person"] is True


def test_labels_that_are_no_kind_are_refused_without_their_values(workspace, tmp_path) -> None:
    file = tmp_path / "messages.csv"
    file.write_text("text,label\nhi,Jansen\n")
    command = ["train", "messages", "--data", str(file), "--json", "--workspace", str(workspace.root)]
    result = CliRunner().invoke(brain.main, command)
    assert result.exit_code == 1
    assert "row 2, column label: must be one of wish, objection" in result.stdout
    assert "Jansen" not in result.stdout


@pytest.mark.promise("messages.own-hearing")
def test_where_a_model_learned_from_other_words_the_one_of_the_product_hears(tmp_path) -> None:
    """An earlier version listed other words, and its model would take one concept for another."""
    (tmp_path / "models").mkdir()
    registry, about = Registry(tmp_path), Provenance("data", (), "release")
    for words in (built_in().words, "of before"):
        registry.register(replace(built_in(), words=words).files(), "hearing", about)
    now, before = (MessageScorers.load(registry, {"hearing": version}).hearing for version in (1, 2))
    assert (now is not None, before) == (True, None)
