"""Times that lie ahead, that run out, and that no calendar has: told by every route, and what they change."""

from datetime import UTC, datetime, timedelta

import pytest

from serving.brain.runtime import Brain
from tests.serving.told_help import gates, telling_workspace
from tests.serving.workspaces import Client, Json, ask, consent, signal, welcome

CONSENT: Json = {"customer_id": "c-far", "purpose": "marketing", "status": "withdrawn", "source": "test"}
OUTCOME: Json = {"outcome_id": "o-far", "customer_id": "c-far", "action": "tv-bundle", "outcome": "declined"}
LINK: Json = {
    "customer_id": "c-far",
    "identifier": {"kind": "cookie", "value": "far"},
    "status": "linked",
    "source": "test",
}
SIGNAL = signal("page-view", "customer:c-far", page="home")
FACTS: Json = {"facts": {"hardship": True}}
TOLD = {
    "consent": ("POST", "/v1/consents", CONSENT, "occurred_at"),
    "outcome": ("POST", "/v1/outcomes", OUTCOME, "occurred_at"),
    "link": ("POST", "/v1/identities", LINK, "occurred_at"),
    "profile": ("PATCH", "/v1/customers/c-far", FACTS, "as_of"),
    "signal": ("POST", "/v1/signals", SIGNAL, "time"),
}
"""What can be told: method, path, body, and the field of its time."""
EXTREMES = (
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "1969-12-31T23:59:59Z",
    "2201-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(Brain(telling_workspace(tmp_path_factory.mktemp("times") / "ws")))


def ahead(**by: float) -> str:
    return (datetime.now(UTC) + timedelta(**by)).isoformat()


def field_of(problem: Json) -> str:
    """Return the field that a refusal names; signals are refused one by one."""
    return str(problem.get("field") or problem["results"][0]["field"])


def held(client: Client, customer: str) -> dict[str, str]:
    """Return purpose -> status of what holds for a customer."""
    return {c["purpose"]: c["status"] for c in client("GET", f"/v1/customers/{customer}")[1]["consents"]}


@pytest.mark.promise("time.ahead")
@pytest.mark.parametrize("what", TOLD)
def test_what_lies_more_than_five_seconds_ahead_is_refused_by_its_field(client: Client, what: str) -> None:
    method, path, body, field = TOLD[what]
    for at in (ahead(seconds=20), ahead(hours=2), ahead(hours=23), ahead(days=60_000)):
        status, problem = client(method, path, {**body, field: at})
        assert (status, field_of(problem)) == (422, field), at
        assert at not in str(problem)


@pytest.mark.promise("time.ahead")
def test_a_withdrawal_told_now_holds_against_a_grant_dated_ahead_of_it(client: Client) -> None:
    welcome(client, "c-wins", purposes=())
    assert client("POST", "/v1/consents", consent("c-wins", "marketing", occurred_at=ahead(seconds=3)))[0] == 200
    assert client("POST", "/v1/consents", consent("c-wins", "marketing", "withdrawn"))[0] == 200
    assert held(client, "c-wins")["marketing"] == "withdrawn"
    assert gates(client, "c-wins")["tv-bundle"] == "consent:marketing"


@pytest.mark.promise("time.ahead")
def test_an_objection_to_a_purpose_of_the_contract_holds_against_a_grant_dated_ahead_of_it(client: Client) -> None:
    welcome(client, "c-objects")
    assert gates(client, "c-objects")["fix-router"] == ""
    client("POST", "/v1/consents", consent("c-objects", "service", occurred_at=ahead(hours=23)))
    assert client("POST", "/v1/consents", consent("c-objects", "service", "objected"))[0] == 200
    assert gates(client, "c-objects")["fix-router"] == "consent:service"


@pytest.mark.promise("time.ahead")
def test_a_withdrawal_of_a_sender_whose_clock_lags_four_seconds_is_not_lost(client: Client) -> None:
    welcome(client, "c-lags")
    assert client("POST", "/v1/consents", consent("c-lags", "marketing", occurred_at=ahead()))[0] == 200
    no = consent("c-lags", "marketing", "withdrawn", occurred_at=ahead(seconds=-4))
    assert client("POST", "/v1/consents", no)[0] == 200
    assert held(client, "c-lags")["marketing"] == "withdrawn"


@pytest.mark.promise("time.ahead")
def test_a_link_dated_ahead_can_be_undone_now_and_blocks_no_other_login(client: Client) -> None:
    def link(customer: str, status: str, **more: str) -> tuple[int, Json]:
        identifier = {"kind": "cookie", "value": "shared"}
        body = {"customer_id": customer, "identifier": identifier, "status": status, "source": "test", **more}
        return client("POST", "/v1/identities", body)

    assert link("c-first", "linked", occurred_at=ahead(seconds=3))[0] == 200
    assert link("c-first", "unlinked")[1]["status"] == "unlinked"
    status, answer = link("c-second", "linked")
    assert (status, answer.get("status")) == (200, "linked")
    assert client("GET", "/v1/customers/c-second")[1]["links"][0]["status"] == "linked"


@pytest.mark.promise("time.ahead")
def test_hardship_told_now_holds_against_facts_dated_ahead_of_it(client: Client) -> None:
    welcome(client, "c-hard")
    path = "/v1/customers/c-hard"
    assert client("PATCH", path, {"facts": {"hardship": False}, "as_of": ahead(hours=2)})[0] == 422
    assert client("PATCH", path, {"facts": {"hardship": False}, "as_of": ahead(seconds=4)})[0] == 200
    assert client("PATCH", path, {"facts": {"hardship": True}})[0] == 200
    assert client("GET", path)[1]["facts"]["hardship"] is True
    assert gates(client, "c-hard")["tv-bundle"] == "protection:hardship"


@pytest.mark.promise("time.for-good")
@pytest.mark.parametrize("days", [801, 3000])
def test_an_acceptance_told_years_later_suppresses_for_good(client: Client, days: int) -> None:
    customer = f"c-good-{days}"
    welcome(client, customer)
    assert gates(client, customer)["tv-bundle"] == ""
    about = {"customer_id": customer, "action": "tv-bundle", "outcome_id": f"o-{customer}", "outcome": "accepted"}
    status, answer = client("POST", "/v1/outcomes", {**about, "occurred_at": ahead(days=-days)})
    assert (status, answer["recorded"]) == (200, 1)
    assert gates(client, customer)["tv-bundle"] == "suppressed:accepted"
    assert [o["outcome"] for o in client("GET", f"/v1/customers/{customer}")[1]["outcomes"]] == ["accepted"]


def test_an_outcome_dated_ahead_is_repeated_by_its_own_time_and_corrected_for_its_account(client: Client) -> None:
    welcome(client, "c-soon")
    about = {"customer_id": "c-soon", "account_id": "a-soon", "action": "family-data", "outcome_id": "o-soon"}
    soon = {"occurred_at": ahead(seconds=4)}
    told = client("POST", "/v1/outcomes", {**about, **soon, "outcome": "declined"})
    assert told[1]["recorded"] == 1
    assert client("POST", "/v1/outcomes", {**about, **soon, "outcome": "declined"})[1]["repeated"] == 1
    assert gates(client, "c-soon", account_id="a-soon")["family-data"] == "suppressed:declined"
    assert client("POST", "/v1/outcomes", {**about, "outcome": "retracted"})[1]["corrected"] == 1
    assert gates(client, "c-soon", account_id="a-soon")["family-data"] == ""


@pytest.mark.parametrize("at", [*EXTREMES, "9999-12-31", "2199-13-01T00:00:00Z", "soon"])
def test_a_preview_at_a_time_that_no_decision_has_is_refused_by_its_field(client: Client, at: str) -> None:
    status, problem = client("POST", "/v1/decisions", ask("far", "c-far", mode="preview", as_of=at))
    assert (status, problem["field"]) == (422, "as_of")


@pytest.mark.parametrize("at", ["1990-01-01", "2200-12-31T23:59:59Z"])
def test_a_preview_at_the_ends_of_the_years_of_decisions_is_answered(client: Client, at: str) -> None:
    assert client("POST", "/v1/decisions", ask("near", "c-far", mode="preview", as_of=at))[0] == 200


@pytest.mark.parametrize("at", EXTREMES)
@pytest.mark.parametrize("what", TOLD)
def test_no_route_fails_for_a_time_that_is_none(client: Client, what: str, at: str) -> None:
    method, path, body, field = TOLD[what]
    status, problem = client(method, path, {**body, field: at})
    assert (status, field_of(problem)) == (422, field)


@pytest.mark.parametrize("at", EXTREMES)
def test_a_consent_that_ends_at_a_time_that_is_none_is_refused(client: Client, at: str) -> None:
    status, problem = client("POST", "/v1/consents", consent("c-far", "marketing", expires_at=at))
    assert (status, problem["field"]) == (422, "expires_at")
