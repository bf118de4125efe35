"""Objections that are heard in messages: recorded in the same request, once, confirmed, and undone by a later word."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.times import iso
from features.ledger import now_us
from features.messages.scoring import score
from serving.brain.runtime import Brain
from serving.events import objections
from serving.events.objections import Objection
from tests.features.messages.hearing import phrasings
from tests.serving.test_identities import identity
from tests.serving.workspaces import FACTS, Client, ask, consent, signal, small_workspace

STOP_MAIL = "Please stop emailing me your offers."
STOP_ALL = "Ik wil helemaal geen reclame meer van jullie"
NAMES = count()
MARKETING = ("marketing", "email", "profiling")
TEXT = {"nl": "Genoteerd: niets meer {channel}."}
TEXTS = [p.text for p in phrasings() if p.kind == "objection"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("objections") / "ws"))
    yield Client(brain)
    brain.close()


@pytest.fixture
def customer(client: Client) -> str:
    return willing(client)


def willing(client: Client) -> str:
    """Return a new customer to whom everything may be sold, since a minute ago."""
    name = f"o-{next(NAMES)}"
    assert client("PATCH", f"/v1/customers/{name}", {"facts": FACTS})[0] == 200
    said = [consent(name, purpose, occurred_at=ago(60)) for purpose in MARKETING]
    assert client("POST", "/v1/consents", said)[0] == 200
    return name


def ago(seconds: float) -> str:
    return iso(now_us() - round(seconds * 1_000_000))


def message(subject: str, text: str, at: str | None = None, **data: Any) -> dict[str, Any]:
    return signal("message", subject, text=text, **data) | ({} if at is None else {"time": at})


def send(client: Client, event: dict[str, Any]) -> dict[str, Any]:
    """Return the result of one event."""
    return dict(client("POST", "/v1/signals", event)[1]["results"][0])


def words(client: Client, customer: str) -> list[tuple[str, str, str]]:
    """Return (channel, status, source) of what counts about marketing."""
    held = client("GET", f"/v1/customers/{customer}")[1]["consents"]
    return [(c["channel"], c["status"], c["source"]) for c in held if c["purpose"] == "marketing"]


def sells(client: Client, customer: str, channel: str) -> bool:
    """Tell whether a decision lets any action pass that needs the purpose of marketing."""
    decided = client("POST", "/v1/decisions", ask(f"r-{next(NAMES)}", customer, channel))[1]
    candidates = client("GET", f"/v1/decisions/{decided['decision_id']}")[1]["candidates"]
    return any(c["passed"] and "marketing" in c["cites"] for c in candidates)


@pytest.mark.promise("messages.objections")
def test_an_objection_is_recorded_at_once_for_its_channel_and_confirmed(client: Client, customer: str) -> None:
    event = message(f"customer:{customer}", STOP_MAIL, language="en")
    result = send(client, event)
    assert result["objection"] == {
        "status": "objected",
        "channels": ["email"],
        "text": "We have recorded that you want no more offers by e-mail. Is that not right? Please tell us.",
    }
    assert words(client, customer) == [("*", "granted", "test"), ("email", "objected", f"message:{event['id']}")]
    assert not sells(client, customer, "email")
    assert sells(client, customer, "web")


@pytest.mark.promise("messages.objections")
def test_an_objection_to_everything_is_confirmed_in_the_customers_language(client: Client, customer: str) -> None:
    assert sells(client, customer, "web")
    told = send(client, message(f"customer:{customer}", STOP_ALL))["objection"]
    assert told["channels"] == [None]
    assert told["text"].startswith("Wij hebben vastgelegd dat u van ons geen aanbiedingen meer wilt.")
    assert [status for _, status, _ in words(client, customer)] == ["objected"]
    assert not any(sells(client, customer, channel) for channel in ("web", "email", "agent", "store"))


@pytest.mark.promise("messages.objections")
def test_an_event_records_one_objection_however_often_it_comes(client: Client, customer: str) -> None:
    event = message(f"customer:{customer}", STOP_MAIL, ago(30))
    assert [send(client, event)["status"] for _ in range(3)] == ["accepted", "duplicate", "duplicate"]
    assert send(client, event)["objection"]["channels"] == ["email"]
    records = client("GET", f"/v1/customers/{customer}/export")[1]["records"]
    assert sum(r["kind"] == "consent" and r["body"]["status"] == "objected" for r in records) == 1


@pytest.mark.promise("messages.objections")
def test_a_later_word_undoes_it_and_a_late_event_does_not_undo_that_word(client: Client, customer: str) -> None:
    send(client, message(f"customer:{customer}", STOP_MAIL, ago(30)))
    granted = consent(customer, "marketing", channel="email", occurred_at=ago(10))
    assert client("POST", "/v1/consents", granted)[0] == 200
    send(client, message(f"customer:{customer}", "stop emailing me offers", ago(20)))
    assert ("email", "granted", "test") in words(client, customer)


def test_an_objection_of_a_visitor_binds_the_person_behind_it(client: Client, customer: str) -> None:
    assert client("POST", "/v1/identities", identity(customer, customer))[0] == 200
    assert sells(client, customer, "web")
    assert send(client, message(f"cookie:{customer}", STOP_ALL))["objection"]["channels"] == [None]
    assert not sells(client, customer, "web")
    other = willing(client)
    assert client("POST", "/v1/identities", identity(customer, customer, "unlinked"))[0] == 200
    assert client("POST", "/v1/identities", identity(other, customer))[0] == 200
    assert sells(client, other, "web"), "the next person on the device did not object"


def test_an_objection_under_one_id_binds_a_joined_customer(client: Client, customer: str) -> None:
    other = willing(client)
    joined = {"customer_id": customer, "identifier": {"kind": "customer", "value": other}, "status": "linked"}
    assert client("POST", "/v1/identities", {**joined, "source": "test"})[0] == 200
    send(client, message(f"customer:{other}", STOP_ALL))
    assert not sells(client, customer, "web")


def test_agents_accounts_and_other_languages_object_to_nothing(client: Client, customer: str) -> None:
    assert "objection" not in send(client, message(f"customer:{customer}", STOP_ALL, author="agent"))
    assert "objection" not in send(client, message(f"account:{customer}", STOP_ALL))
    assert "objection" not in send(client, message(f"customer:{customer}", "Bitte keine Werbung mehr", language="de"))
    assert [status for _, status, _ in words(client, customer)] == ["granted"]


def test_an_erased_customer_stays_erased(client: Client, customer: str) -> None:
    event = message(f"customer:{customer}", STOP_ALL)
    send(client, event)
    assert client("DELETE", f"/v1/customers/{customer}")[0] == 200
    assert client("POST", "/v1/signals", event)[0] in (410, 422)


@pytest.mark.promise("messages.objections")
def test_the_company_words_the_confirmation(client: Client) -> None:
    release = client.brain.snapshot.release
    settings = release.catalogue.settings.model_copy(update={"objection_text": TEXT})
    worded = release.catalogue.model_copy(update={"settings": settings})
    ours = objections.confirmation(worded, Objection("sms", "en"))
    assert ours == "We have recorded that you want no more offers by text message. Is that not right? Please tell us."
    assert objections.confirmation(worded, Objection("sms", "nl")) == "Genoteerd: niets meer per sms."
    assert objections.confirmation(worded, Objection("sms", "fr")) == "Genoteerd: niets meer per sms."


@pytest.mark.promise("messages.objections")
@settings(max_examples=15, deadline=None)
@given(st.sampled_from(TEXTS), st.sampled_from(["web", "email", "agent", "store"]))
def test_after_an_objection_nothing_is_sold_on_its_channels(client: Client, text: str, channel: str) -> None:
    customer = willing(client)
    told = send(client, message(f"customer:{customer}", text)).get("objection")
    assert (told is not None) == ("objection" in score(text).heard)
    if told is not None and (None in told["channels"] or channel in told["channels"]):
        assert not sells(client, customer, channel)


def undo(event: dict[str, Any], customer: str, channel: str | None) -> dict[str, Any]:
    about = {"customer_id": customer, "purpose": "marketing", "channel": channel, "status": "granted"}
    return {**about, "source": "agent", "undoes": f"message:{event['id']}"}


@pytest.mark.promise("messages.objections")
def test_undoing_an_objection_restores_the_grant_that_held_before(client: Client, customer: str) -> None:
    event = message(f"customer:{customer}", STOP_ALL, ago(30))
    send(client, event)
    assert client("POST", "/v1/consents", undo(event, customer, None))[0] == 200
    assert sells(client, customer, "web")
    (word,) = (c for c in client("GET", f"/v1/customers/{customer}")[1]["consents"] if c["purpose"] == "marketing")
    assert (word["status"], word["source"], word["notice_version"]) == ("granted", "agent", "2026-01")
    assert word["expires_at"] is not None, "it ends when the earlier grant would have ended"
    assert client("POST", "/v1/consents", undo(event, customer, None))[0] == 409
    assert send(client, event)["status"] == "duplicate"
    assert sells(client, customer, "web"), "the same event again objects no more"


def test_what_was_said_since_and_what_never_was_is_not_undone(client: Client, customer: str) -> None:
    event = message(f"customer:{customer}", STOP_MAIL, ago(30))
    send(client, event)
    assert client("POST", "/v1/consents", consent(customer, "marketing", "withdrawn", channel="email"))[0] == 200
    status, answer = client("POST", "/v1/consents", undo(event, customer, "email"))
    assert status == 409
    assert "was not heard in that message" in answer["detail"]
    early = message(f"customer:{customer}", STOP_ALL)
    send(client, early)
    assert "try again then" in client("POST", "/v1/consents", undo(early, customer, None))[1]["detail"]
    silent = message("customer:silent", STOP_ALL, ago(30))
    send(client, silent)
    refused = client("POST", "/v1/consents", undo(silent, "silent", None))
    assert refused[0] == 409
    assert "no grant held before it" in refused[1]["detail"]


def test_an_objection_to_a_channel_that_this_release_lacks_waits_for_one_that_has_it(
    client: Client, customer: str
) -> None:
    assert send(client, message(f"customer:{customer}", "Bel me niet meer met aanbiedingen"))["objection"][
        "channels"
    ] == ["phone"]
    assert ("phone", "objected") in [word[:2] for word in words(client, customer)]
    assert sells(client, customer, "web")
