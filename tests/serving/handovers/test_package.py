"""The context package: all that the agent needs, nothing whose purpose is refused, and only for who helps."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from decisioning.errors import OutOfScope, RequestError
from features.ledger import now_us
from features.messages.hearing.corrections import CorrectedField, FieldValue, label_of
from serving.access.callers import Caller
from serving.access.looks import Doer
from serving.brain.runtime import Brain
from serving.events.corrected_messages import corrected_messages
from serving.people.handovers import row_of
from serving.people.helping import hearing
from serving.people.helping.hearing import HeardWrong
from serving.people.package import check_reader, read, signals_shown
from tests.serving.test_overrides import EXAMPLES
from tests.serving.workspaces import Client, Json, ask, consent, offers, signal, small_workspace, welcome

MORE = """
purposes:
  - {id: insight, notice_version: "2026-01"}
signals:
  - {id: game, retention_days: 30, purpose: insight, fields: [{name: level, dtype: int}]}
  - id: call
    retention_days: 30
    fields:
      - {name: author, dtype: enum, values: [customer, agent, bot]}
      - {name: conversation_id, dtype: string}
      - {name: sentiment, dtype: float, min: -1, max: 1, tags: [emotion]}
      - {name: negative, dtype: float, min: 0, max: 1, tags: [emotion]}
      - {name: shouting, dtype: bool, tags: [emotion]}
      - {name: complaint, dtype: bool, tags: [request]}
      - {name: wants_person, dtype: bool, tags: [request]}
      - {name: intent, dtype: string, tags: [request]}
features:
  - {name: hobby, dtype: int, purpose: insight,
     because: {use: said, text: {nl: "u {value} {hobby|hobby's} hebt", en: "you have {value} {hobby|hobbies}"}}}
  - {name: games, dtype: int, source: signal, signal: {of: game, compute: count, window: 24h}}
  - {name: open_bill_eur, dtype: float, unit: EUR, model_input: false,
     description: {nl: openstaande rekening, en: open bill}}
emotion:
  - {id: asks, when: "games >= 99", handover: asks for a person, handover_in: {nl: vraagt om een mens}}
package:
  - {id: bills, title: {nl: Rekeningen, en: Bills}, features: [{name: open_bill_eur, use: act_on}, monthly_fee_eur]}
  - {id: leisure, title: {nl: Vrije tijd, en: Leisure}, features: [hobby, games]}
"""
INTENTS = f"""intents:
  - {{id: move, title: {{nl: Verhuizing, en: Moving}}, issue: service, risk: status, examples: {EXAMPLES}}}
"""
CHAT = {"channel": "chat", "reason": "asks for a person", "language": "en"}
FREE = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("package") / "shop", MORE + INTENTS))
    yield Client(brain)
    brain.close()


def opened(client: Client, customer: str, **more: Any) -> str:
    asked = {"request_id": f"r-{customer}", "customer_id": customer, "conversation_id": f"t-{customer}", **CHAT, **more}
    status, answer = client("POST", "/v1/handovers", asked)
    assert status == 200, answer
    return str(answer["handover_id"])


def package(client: Client, handover: str) -> Json:
    status, answer = client("GET", f"/v1/handovers/{handover}/package")
    assert status == 200, answer
    return answer


def say(client: Client, customer: str, text: str, author: str = "customer") -> None:
    told = signal("call", f"customer:{customer}", text=text, conversation_id=f"t-{customer}", author=author)
    assert client("POST", "/v1/signals", told)[0] == 200


def patch(client: Client, customer: str, **facts: Any) -> None:
    assert client("PATCH", f"/v1/customers/{customer}", {"facts": facts})[0] == 200


@pytest.mark.promise("handovers.package")
def test_the_package_says_all_that_the_agent_needs(client: Client) -> None:
    welcome(client, "c-1")
    patch(client, "c-1", open_bill_eur=85.0)
    shown = client("POST", "/v1/decisions", ask("p-1", "c-1"))[1]
    (offer,) = offers(shown)
    no = {"outcome_id": "o-1", "offer_id": offer["offer_id"], "outcome": "declined"}
    assert client("POST", "/v1/outcomes", no)[0] == 200
    say(client, "c-1", "Good morning, thank you for the help")
    handover = opened(client, "c-1")
    say(client, "c-1", "THIS IS TERRIBLE, I AM FURIOUS, THE WORST SERVICE EVER AND I WANT TO COMPLAIN!!!")
    told = package(client, handover)
    assert (told["customer_id"], told["who"]["channel"], told["wants"]["reason"]) == (
        *("c-1", "chat"),
        "asks for a person",
    )
    assert [(f["label"], f["text"], f["use"]) for f in told["facts"][0]["facts"]] == [
        ("open bill", "€85", "act_on"),
        ("monthly fee eur", "€40", "aloud"),
    ]
    assert (told["mood"]["trend"], told["wants"]["asks"]) == ("worse", ["complains"])
    assert "written in capitals" in told["mood"]["cues"]
    assert [a["action"] for a in told["tried"]["refused"]] == [offer["action"]]
    assert [event["what"] for event in told["interactions"]] == ["answer", "shown"]
    assert {e["channel"] for e in told["interactions"] if e["what"] == "shown"} == {"web"}
    assert [one["text"][:16] for one in told["words"]] == ["THIS IS TERRIBLE"]
    assert told["help"]["acknowledge"][0].startswith("I have read")


def test_what_comes_next_is_suggested_with_reasons(client: Client) -> None:
    welcome(client, "c-2")
    handover = opened(client, "c-2", language="nl")
    told = package(client, handover)
    assert told["locale"] == "nl"
    assert "tv-bundle" in {one["action"] for one in told["suggestions"]}
    assert all({"aloud", "act_on", "never"} >= {r["use"] for r in one["reasons"]} for one in told["suggestions"])
    assert told["suggestions"] == package(client, handover)["suggestions"], "the same draws again"
    patch(client, "c-2", open_complaint=True)
    told = package(client, handover)
    assert "tv-bundle" not in {one["action"] for one in told["suggestions"]}
    assert {one["action"] for one in told["not_to_offer"]} == {"tv-bundle", "loyalty-discount"}
    assert all(one["why"].startswith("Niet aangeboden: ") for one in told["not_to_offer"])


@FREE
@given(hobby=st.integers(-(10**6), 10**6), levels=st.lists(st.integers(0, 9), max_size=2))
@pytest.mark.promise("handovers.package-purposes")
def test_nothing_reaches_the_package_whose_purpose_is_refused(client: Client, hobby: int, levels: list[int]) -> None:
    welcome(client, "c-3")
    assert client("POST", "/v1/consents", consent("c-3", "insight", "refused"))[0] == 200
    handover = opened(client, "c-3")
    patch(client, "c-3", hobby=0)
    before = to_json(package(client, handover))
    patch(client, "c-3", hobby=hobby)
    games = [signal("game", "customer:c-3", level=level) for level in levels]
    assert not games or client("POST", "/v1/signals", games)[0] == 200
    assert to_json(package(client, handover)) == before


def test_what_is_permitted_reaches_the_package(client: Client) -> None:
    welcome(client, "c-4", purposes=("insight",))
    handover = opened(client, "c-4")
    patch(client, "c-4", hobby=7)
    assert client("POST", "/v1/signals", signal("game", "customer:c-4", level=3))[0] == 200
    told = package(client, handover)
    leisure = next(heading for heading in told["facts"] if heading["id"] == "leisure")
    assert {f["name"]: f["value"] for f in leisure["facts"]} == {"hobby": 7, "games": 1}
    assert "game" in {event["about"] for event in told["interactions"]}


@FREE
@given(text=st.sampled_from(["I am furious!!!", "thank you, great", "WHAT IS THIS", "it is fine"]))
@pytest.mark.promise("handovers.package-purposes")
def test_no_mood_reaches_the_package_of_who_asked_not_to_be_read(client: Client, text: str) -> None:
    customer = f"c-5-{len(text)}"
    welcome(client, customer)
    assert client("POST", "/v1/consents", consent(customer, "emotion", "objected"))[0] == 200
    say(client, customer, text)
    told = package(client, opened(client, customer))
    assert told["mood"] == {"shown": False, "text": "Not shown: the customer asked so.", "use": "never"}
    assert all(event["said"] is None for event in told["interactions"])


def test_the_reason_is_told_in_the_language_of_the_conversation(client: Client) -> None:
    welcome(client, "c-10")
    handover = opened(client, "c-10", language="nl")
    assert package(client, handover)["wants"]["reason"] == "vraagt om een mens"
    assert client("GET", f"/v1/handovers/{handover}")[1]["reason"] == "asks for a person", "as it was recorded"


def test_nothing_is_made_of_what_is_known_of_restricted_people(client: Client) -> None:
    welcome(client, "c-6")
    assert offers(client("POST", "/v1/decisions", ask("p-6", "c-6"))[1])
    assert client("PATCH", "/v1/customers/c-6", {"restricted": True})[0] == 200
    told = package(client, opened(client, "c-6"))
    assert (told["facts"], told["interactions"], told["suggestions"], told["words"]) == ([], [], [], [])


@pytest.mark.promise("corrections.desk")
def test_what_was_heard_wrong_is_shown_right_at_once_and_undone_before_anything_is_learned(client: Client) -> None:
    brain, me = client.brain, Doer("person:1", "agent")
    say(client, "c-9", "I AM FURIOUS and want to speak to a person, this is TERRIBLE")
    handover = opened(client, "c-9")
    before, (record,) = package(client, handover), signals_shown(brain, row_of(brain, handover))
    assert (before["wants"]["asks"], before["wants"]["intent"]) == (["asks for a person"], None)

    def correct(once: str, field: CorrectedField, is_: FieldValue, undoable_us: int = 10_000_000) -> bool:
        return hearing.correct(brain, handover, HeardWrong(record.key, field, is_), once, me, undoable_us)

    assert correct("o-1", "wish", False)
    assert correct("o-1", "wish", False), "the same click"
    assert not correct("o-2", "wish", False), "the same from another tab"
    assert correct("o-3", "sentiment", "positive")
    assert correct("o-4", "intent", "move", -1)
    now = package(client, handover)
    assert (now["wants"]["asks"], now["wants"]["title"], now["wants"]["confidence"]) == ([], "Moving", "high")
    assert "negative words" in before["mood"]["cues"]
    assert "negative words" not in now["mood"]["cues"]
    exported = client("GET", "/v1/customers/c-9/export")[1]["records"]
    kept = [one["body"] for one in exported if one["kind"] == "correction"]
    assert [(one["field"], one["was"], one["is"], one["role"]) for one in kept] == [
        ("wish", True, False, "agent"),
        ("sentiment", "negative", "positive", "agent"),
        ("intent", "unknown", "move", "agent"),
    ]
    assert not any("who" in one for one in kept)
    learned = corrected_messages(brain.ledger, brain.snapshot.release, now_us(), label_of)
    assert learned.only_counted == 1, "of what may still be undone nothing is learned"
    assert [hearing.undo(brain, once, me) for once in ("o-1", "o-1", "o-3", "o-4", "o-5")] == [
        *(True, True, True),
        *(False, None),
    ]
    assert package(client, handover)["mood"] == before["mood"]
    later = corrected_messages(brain.ledger, brain.snapshot.release, now_us() + 10**8, label_of)
    assert later.only_counted == 1, "what was undone teaches nothing, ever"
    consent_of_mood = consent("c-9", "emotion", "objected")
    assert client("POST", "/v1/consents", consent_of_mood)[0] == 200
    with pytest.raises(RequestError, match="may not be read"):
        correct("o-6", "sentiment", "neutral")
    for field, is_, key in (("danger", True, record.key), ("wish", "no", record.key), ("intent", "x", record.key)):
        with pytest.raises(RequestError):
            hearing.correct(brain, handover, HeardWrong(key, cast(CorrectedField, field), is_), "o-7", me, 0)
    with pytest.raises(RequestError, match="not shown any more"):
        hearing.correct(brain, handover, HeardWrong("k", "wish", True), "o-8", me, 0)
    assert not list(brain.ledger.verify())


def caller(kind: Any, id_: str, *scopes: str) -> Caller:
    return Caller(kind=kind, id=id_, name="", made_by="", scopes=frozenset(scopes), audience="agent")


def test_only_who_helps_reads_the_package_and_a_lead_who_says_why(client: Client) -> None:
    handover = opened(client, "c-8")
    with pytest.raises(OutOfScope, match="accept it first"):
        read(client.brain, handover, caller("person", "9", "agent"), purpose_stated=True)
    check_reader(caller("key", "k", "agent"), None, purpose_stated=False)
    check_reader(caller("person", "7", "agent"), "person:7", purpose_stated=False)
    check_reader(caller("person", "8", "lead"), "person:7", purpose_stated=True)
    for stated in (False, True):
        with pytest.raises(OutOfScope, match="accept it first"):
            check_reader(caller("person", "9", "agent"), "person:7", purpose_stated=stated)
    with pytest.raises(RequestError, match="Look-Purpose"):
        check_reader(caller("person", "8", "lead"), "person:7", purpose_stated=False)


def test_looks_at_packages_are_recorded_exported_erased_and_verified(client: Client) -> None:
    welcome(client, "c-7")
    handover = opened(client, "c-7")
    assert client("GET", f"/v1/handovers/{handover}/package", look_purpose="complaint 12")[0] == 200
    looks = client("GET", "/v1/looks?customer_id=c-7")[1]["looks"]
    assert ("package", "complaint", "12") in {(one["what"], one["purpose"], one.get("case")) for one in looks}
    assert "package" in {look["what"] for look in client("GET", "/v1/customers/c-7/export")[1]["looks"]}
    assert not list(client.brain.ledger.verify())
    assert client("DELETE", "/v1/customers/c-7")[0] == 200
    assert client("GET", f"/v1/handovers/{handover}/package")[0] == 404
    assert client("GET", "/v1/looks?customer_id=c-7")[1]["looks"] == []
    assert not list(client.brain.ledger.verify())


def test_what_is_held_back_for_want_of_a_fact_is_not_told_as_that_fact(client: Client) -> None:
    welcome(client, "c-unknown")
    for is_known, starts in ((False, "Not offered, as it is not known whether this is so: "), (True, "Not offered: ")):
        patch(client, "c-unknown", open_complaint=True if is_known else None)
        status, told = client("GET", f"/v1/handovers/{opened(client, 'c-unknown')}/package")
        whys = {one["why"] for one in told["not_to_offer"]}
        assert status == 200
        assert whys
        assert all(why.startswith(starts) for why in whys), whys
