"""Corrected messages teach what hears: where their text is kept with consent, and only when a person trains."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

import brain
from features.ledger import now_us
from features.messages.hearing.corrections import label_of, mood_of
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.events.corrected_messages import CorrectedMessages, LabelOf, corrected_messages
from tests.serving.conftest import NewDatabase
from tests.serving.test_message_consents import PURPOSE
from tests.serving.workspaces import Client, consent, signal, small_workspace
from training.learning.messages import hearing
from training.rows.message_data import read_messages

FIELDS = """fields: [{name: text, dtype: string}, {name: complaint, dtype: bool, tags: [request]},
      {name: wants_person, dtype: bool, tags: [request]}, {name: needs_care, dtype: bool, tags: [request]},
      {name: data_request, dtype: enum, values: [access, erasure], tags: [request]},
      {name: objection, dtype: enum, values: [all, phone, email, sms, post, app], tags: [request]}, {name: sentiment,"""
TEXT = "Zorp me the quavely"


@pytest.fixture
def client(tmp_path: Any, database: NewDatabase) -> Iterator[Client]:
    workspace = small_workspace(tmp_path / "ws", database=database())
    features, rules = workspace.catalogue / "features.yaml", workspace.catalogue / "settings.yaml"
    features.write_text(features.read_text().replace("fields: [{name: sentiment,", FIELDS))
    rules.write_text(rules.read_text().replace("purposes:\n", f"purposes:\n{PURPOSE}", 1))
    releasing.release(workspace, "test")
    served = Brain(workspace)
    yield Client(served)
    served.close()


def wrote(client: Client, customer: str, text: str, *, kept: bool = True) -> None:
    if kept:
        assert client("POST", "/v1/consents", consent(customer, "message-text"))[0] == 200
    event = {**signal("message", f"customer:{customer}", text=text, language="en"), "id": customer, "source": "/chat"}
    assert client("POST", "/v1/signals", event)[1]["accepted"] == 1


def correct(client: Client, customer: str, field: str, was: Any, is_: Any) -> None:
    said = {"correction_id": f"{customer}-{field}-{is_}", "event_id": customer, "event_source": "/chat"}
    body = {**said, "field": field, "was": was, "is": is_}
    assert client("POST", "/v1/corrections", body)[0] == 200


def lessons(client: Client, label_of: LabelOf = label_of) -> CorrectedMessages:
    return corrected_messages(client.brain.ledger, client.brain.snapshot.release, now_us(), label_of)


@pytest.mark.promise("corrections.teach")
def test_what_a_corrected_message_teaches(client: Client) -> None:
    for customer, text in (("missed", TEXT), ("false", "Can I speak to a person"), ("twice", "How are you today")):
        wrote(client, customer, text)
    correct(client, "missed", "wish", False, True)
    correct(client, "false", "wish", True, False)
    correct(client, "twice", "data_request", None, "erasure")
    correct(client, "twice", "data_request", "erasure", "access")
    assert lessons(client).labels == {
        TEXT: "wish",
        "Can I speak to a person": "ordinary",
        "How are you today": "access",
    }
    assert lessons(client).only_counted == 0
    assert lessons(client, mood_of) == CorrectedMessages({}, 3)


@pytest.mark.promise("corrections.teach")
def test_what_may_not_be_kept_or_is_not_heard_is_only_counted(client: Client) -> None:
    wrote(client, "dropped", "My text is gone", kept=False)
    wrote(client, "withdrawn", "I took it back")
    wrote(client, "restricted", "Only keep it")
    wrote(client, "mood", "Great, that is what I needed")
    wrote(client, "care", "My husband passed away last week")
    for customer in ("dropped", "withdrawn", "restricted", "care"):
        correct(client, customer, "wish", False, True)
    correct(client, "mood", "sentiment", "positive", "negative")
    assert len(lessons(client).labels) == 2
    client("POST", "/v1/consents", {**consent("withdrawn", "message-text"), "status": "withdrawn"})
    client("PATCH", "/v1/customers/restricted", {"restricted": True})
    assert lessons(client) == CorrectedMessages({}, 5)
    moods = lessons(client, mood_of)
    assert moods.by_language() == {"en": {"Great, that is what I needed": "negative"}}
    client("DELETE", "/v1/customers/dropped")
    assert lessons(client) == CorrectedMessages({}, 4), "an erased correction is not even counted"


def test_a_file_of_messages_holds_beside_corrected_ones() -> None:
    own = hearing.OwnMessages({TEXT: "ordinary"}, 3).with_corrected({TEXT: "wish", "More": "complaint"}, 4)
    assert own.labels == {TEXT: "ordinary", "More": "complaint"}
    assert (own.rows, own.left_out, own.corrected, own.only_counted) == (5, 3, 2, 4)


def test_corrected_moods_join_the_messages_of_their_language(tmp_path: Any) -> None:
    file = tmp_path / "messages.jsonl"
    rows = [{"text": f"bad {n}", "label": "negative", "language": "en"} for n in range(50)]
    rows += [{"text": f"fine {n}", "label": "neutral", "language": "en"} for n in range(50)]
    file.write_text("\n".join(map(json.dumps, rows)))
    corrected = {"en": {"bad 0": "positive", "great": "positive"}, "nl": {"mooi": "positive"}, None: {"?": "neutral"}}
    data = read_messages(file).with_corrected(corrected, 1)  # type: ignore[arg-type]
    (part,) = data.languages
    labels = dict(zip(part.texts, (part.classes[code] for code in part.codes), strict=True))
    assert (labels["bad 0"], labels["great"], len(labels)) == ("negative", "positive", 101), "what the file says holds"
    assert (data.corrected, data.only_counted, data.left_out) == (1, 4, 0)


@pytest.mark.long
@pytest.mark.promise("corrections.teach")
def test_corrected_messages_train_when_the_command_is_run(
    client: Client, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = hearing.generate(per_family=2)[::4]
    monkeypatch.setattr(hearing, "generate", lambda **_: few)  # the whole corpus takes minutes
    for n in range(24):
        wrote(client, f"c-{n}", f"{TEXT} {'abcdefghijklmnopqrstuvwx'[n]}")
        correct(client, f"c-{n}", "wish", False, True)
    assert client.brain.snapshot.scorers.hearing is None, "a correction trains nothing by itself"
    file = tmp_path / "messages.jsonl"
    file.write_text("\n".join(json.dumps({"text": f"the lamp is fine {n}", "label": "ordinary"}) for n in range(30)))
    root = str(client.brain.workspace.root)
    result = CliRunner().invoke(brain.main, ["train", "messages", "--data", str(file), "--json", "--workspace", root])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["rows"], answer["corrected"], answer["only_counted"]) == (0, 54, 24, 0), answer
    client.brain.refresh_model()
    hears = client.brain.snapshot.scorers.hearing
    assert hears is not None
    assert "wish" in hears.heard(TEXT.lower())
