"""What is told under an id: repeats, corrections, and words about another subject."""

import pytest

from decisioning.errors import NotFound
from serving.brain.runtime import Brain
from serving.commands.offline import erase_customer
from serving.commands.verifying import verify
from tests.serving.told_help import gates, offered, shown_to, states, tell, telling_workspace, told
from tests.serving.workspaces import Client, consent, signal, welcome

AT = {"occurred_at": "2026-11-01T10:00:00Z"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(Brain(telling_workspace(tmp_path_factory.mktemp("told") / "ws")))


def suppressed_for(client: Client, account: str, person: str) -> str:
    """Return what stops `family-data` for a person of the account whom nobody asked before."""
    welcome(client, person)
    return gates(client, person, account_id=account).get("family-data", "")


@pytest.mark.promise("ledger.outcome-ids")
def test_seen_and_then_accepted_under_one_id_keeps_the_acceptance(client: Client) -> None:
    offer = offered(client, "c-seen", "tv-bundle")
    assert tell(client, "o-seen", "seen", offer_id=offer) == (200, {"recorded": 1, "repeated": 0})
    assert tell(client, "o-seen", "accepted", offer_id=offer) == (200, {"recorded": 1, "repeated": 0})
    assert told(client, "c-seen") == ["tv-bundle:accepted"]
    assert gates(client, "c-seen")["tv-bundle"] == "suppressed:accepted"
    for repeat in ("seen", "accepted"):
        assert tell(client, "o-seen", repeat, offer_id=offer) == (200, {"recorded": 0, "repeated": 1})
    assert told(client, "c-seen") == ["tv-bundle:accepted"]


@pytest.mark.promise("ledger.outcome-ids")
def test_accepted_and_then_a_late_seen_under_one_id_keeps_the_acceptance(client: Client) -> None:
    offer = offered(client, "c-late", "tv-bundle")
    tell(client, "o-late", "accepted", offer_id=offer)
    assert tell(client, "o-late", "seen", offer_id=offer)[0] == 200
    assert tell(client, "o-late", "pitched", offer_id=offer)[0] == 200
    assert (told(client, "c-late"), states(client, "c-late")["tv-bundle"]) == (["tv-bundle:accepted"], "pitched")
    assert tell(client, "o-late", "retracted", offer_id=offer)[1]["corrected"] == 1
    assert (told(client, "c-late"), states(client, "c-late")["tv-bundle"]) == ([], "reserved")


@pytest.mark.promise("ledger.outcome-ids")
def test_seen_that_is_corrected_to_not_delivered_frees_the_contact(client: Client) -> None:
    offer = offered(client, "c-free", "tv-bundle")
    tell(client, "o-free", "seen", offer_id=offer)
    assert "tv-bundle" not in shown_to(client, "c-free", "free-2")
    assert tell(client, "o-free", "not_delivered", offer_id=offer)[1]["corrected"] == 1
    assert states(client, "c-free")["tv-bundle"] == "not_delivered"
    assert "tv-bundle" in shown_to(client, "c-free", "free-3")


def test_what_another_id_told_of_an_offer_stays_after_a_correction(client: Client) -> None:
    offer = offered(client, "c-two", "tv-bundle")
    tell(client, "o-two-a", "delivered", offer_id=offer)
    tell(client, "o-two-b", "seen", offer_id=offer)
    assert states(client, "c-two")["tv-bundle"] == "seen"
    tell(client, "o-two-b", "retracted", offer_id=offer)
    assert states(client, "c-two")["tv-bundle"] == "delivered"


@pytest.mark.promise("ledger.outcome-ids")
def test_one_id_for_another_customer_is_refused_with_409_and_leaves_no_trace(client: Client) -> None:
    for customer in ("c-one", "c-other"):
        welcome(client, customer)
    about = {"action": "tv-bundle", "customer_id": "c-one"}
    assert tell(client, "o-mine", "declined", **about)[0] == 200
    version = client("GET", "/v1/customers/c-other/export")[1]["version"]
    for outcome in ("declined", "accepted"):
        status, problem = tell(client, "o-mine", outcome, **{**about, "customer_id": "c-other"})
        assert (status, problem["type"], problem["field"]) == (409, "/problems/told-of-another", "outcome_id")
    assert (told(client, "c-one"), told(client, "c-other")) == (["tv-bundle:declined"], [])
    assert client("GET", "/v1/customers/c-other/export")[1]["version"] == version


@pytest.mark.promise("ledger.outcome-ids")
def test_a_correction_from_an_accounts_offer_to_a_persons_frees_the_account(client: Client) -> None:
    offer = offered(client, "c-acc", "family-data", account_id="a-acc")
    own = shown_to(client, "c-acc", "acc-own", placements=[{"name": "sidebar", "limit": 2}])["welcome-tour"]
    tell(client, "o-acc", "accepted", offer_id=offer)
    assert suppressed_for(client, "a-acc", "c-acc-b") == "suppressed:accepted"
    assert tell(client, "o-acc", "accepted", offer_id=own)[1]["corrected"] == 1
    assert told(client, "c-acc") == ["welcome-tour:accepted"]
    assert not suppressed_for(client, "a-acc", "c-acc-c").startswith("suppressed")
    assert {c["offer_id"]: c["state"] for c in client("GET", "/v1/customers/c-acc")[1]["contacts"]}[offer] == "reserved"


def test_a_correction_from_a_persons_offer_to_an_accounts_suppresses_for_the_account(client: Client) -> None:
    offer = offered(client, "c-up", "family-data", account_id="a-up")
    tell(client, "o-up", "accepted", customer_id="c-up", action="tv-bundle")
    assert not suppressed_for(client, "a-up", "c-up-b").startswith("suppressed")
    assert tell(client, "o-up", "declined", offer_id=offer)[1]["corrected"] == 1
    assert (told(client, "c-up"), suppressed_for(client, "a-up", "c-up-c")) == (
        ["family-data:declined"],
        "suppressed:declined",
    )


@pytest.mark.promise("ledger.outcomes-corrected")
def test_a_repeat_of_what_was_corrected_says_that_the_correction_holds(client: Client) -> None:
    welcome(client, "c-back")
    about = {"customer_id": "c-back", "action": "tv-bundle"}
    tell(client, "o-back", "declined", **about)
    tell(client, "o-back", "accepted", **about)
    items = [{"outcome_id": "o-back", "outcome": o, **about} for o in ("declined", "accepted")]
    status, answer = client("POST", "/v1/outcomes", items)
    assert (status, answer["repeated"], told(client, "c-back")) == (200, 2, ["tv-bundle:accepted"])
    assert ["detail" in result for result in answer["results"]] == [True, False]


@pytest.mark.promise("ledger.outcome-ids")
def test_an_id_with_a_number_sign_is_not_a_revision_of_another(client: Client) -> None:
    for customer in ("c-77", "c-78"):
        welcome(client, customer)
    first, second = ({"customer_id": c, "action": "tv-bundle"} for c in ("c-77", "c-78"))
    assert tell(client, "order-77", "declined", **first)[1] == {"recorded": 1, "repeated": 0}
    assert tell(client, "order-77", "accepted", **first)[1]["corrected"] == 1
    assert tell(client, "order-77#1", "declined", **second) == (200, {"recorded": 1, "repeated": 0})
    assert tell(client, "order-77#1", "accepted", **second)[1]["corrected"] == 1
    assert tell(client, "outcome-revision:1:order-77", "declined", **second)[1] == {"recorded": 1, "repeated": 0}
    assert (told(client, "c-77"), set(told(client, "c-78"))) == (
        ["tv-bundle:accepted"],
        {"tv-bundle:accepted", "tv-bundle:declined"},
    )


@pytest.mark.promise("serving.item-by-item")
def test_an_array_of_outcomes_is_answered_item_by_item(client: Client) -> None:
    welcome(client, "c-items")
    about = {"customer_id": "c-items", "action": "tv-bundle"}
    items = [
        {"outcome_id": "i-1", "outcome": "declined", **about},
        {"outcome_id": "i-2", "outcome": "danced", **about},
        {"outcome_id": "i-3", "outcome": "seen", "offer_id": "d-none.0"},
        {"outcome_id": "i-4", "outcome": "accepted", "wrong": 1, **about},
        {"outcome_id": "i-1", "outcome": "declined", **about},
        "not an object",
    ]
    status, answer = client("POST", "/v1/outcomes", items)
    assert (status, answer["recorded"], answer["repeated"], answer["refused"]) == (200, 1, 1, 4)
    results = [(r["index"], r["status"], r.get("field")) for r in answer["results"]]
    assert results == [
        (0, "recorded", None),
        (1, "refused", "outcome"),
        (2, "refused", "offer_id"),
        (3, "refused", "wrong"),
        (4, "repeated", None),
        (5, "refused", "body"),
    ]
    assert told(client, "c-items") == ["tv-bundle:declined"]


@pytest.mark.promise("serving.item-by-item")
def test_an_array_of_consents_is_answered_item_by_item(client: Client) -> None:
    items = [
        consent("c-ci", "marketing", "withdrawn"),
        consent("c-ci", "nothing"),
        consent("c-ci", "profiling", "maybe"),
        consent("c-ci", "profiling", "refused"),
    ]
    status, answer = client("POST", "/v1/consents", items)
    assert (status, answer["recorded"], answer["refused"]) == (200, 2, 2)
    assert [r["status"] for r in answer["results"]] == ["recorded", "refused", "refused", "recorded"]
    held = {c["purpose"]: c["status"] for c in client("GET", "/v1/customers/c-ci")[1]["consents"]}
    assert held == {"marketing": "withdrawn", "profiling": "refused"}


@pytest.mark.promise("serving.item-by-item")
@pytest.mark.parametrize(
    ("path", "item"),
    [
        ("/v1/consents", consent("c-none", "nothing")),
        ("/v1/outcomes", {"outcome_id": "n", "outcome": "x", "customer_id": "c-none", "action": "tv-bundle"}),
    ],
)
def test_an_array_of_which_nothing_was_taken_is_refused_with_each_reason(client: Client, path: str, item: dict) -> None:
    status, problem = client("POST", path, [item, {**item, "nonsense": True}])
    assert (status, problem["status"], problem["refused"]) == (422, 422, 2)
    assert problem["field"].startswith("0.")
    assert all(result["detail"] for result in problem["results"])
    assert client("GET", "/v1/customers/c-none/export")[1]["version"] == 0


@pytest.mark.promise("outcomes.contact-states")
def test_suppression_after_seen_works_by_offer(client: Client) -> None:
    offer = offered(client, "c-router", "fix-router")
    assert gates(client, "c-router")["fix-router"] == ""
    tell(client, "o-router", "seen", offer_id=offer)
    assert gates(client, "c-router")["fix-router"] == "suppressed:seen"
    assert (told(client, "c-router"), states(client, "c-router")["fix-router"]) == (["fix-router:seen"], "seen")
    tell(client, "o-router", "accepted", offer_id=offer)
    assert set(told(client, "c-router")) == {"fix-router:seen", "fix-router:accepted"}
    tell(client, "o-router", "retracted", offer_id=offer)
    assert gates(client, "c-router")["fix-router"] == ""


@pytest.mark.promise("outcomes.contact-states")
def test_suppression_after_seen_works_by_customer_and_action(client: Client) -> None:
    welcome(client, "c-router-2")
    assert tell(client, "o-router-2", "seen", customer_id="c-router-2", action="fix-router")[0] == 200
    assert gates(client, "c-router-2")["fix-router"] == "suppressed:seen"


@pytest.mark.promise("outcomes.of-accounts")
def test_an_outcome_by_customer_and_action_suppresses_for_the_account_it_names(client: Client) -> None:
    welcome(client, "c-house")
    about = {"customer_id": "c-house", "action": "family-data"}
    assert tell(client, "o-house", "accepted", **about, account_id="a-house")[0] == 200
    assert suppressed_for(client, "a-house", "c-house-b") == "suppressed:accepted"
    assert told(client, "c-house") == ["family-data:accepted"]
    assert tell(client, "o-house", "accepted", **about, account_id="a-house")[1]["repeated"] == 1
    assert tell(client, "o-house", "retracted", **about, account_id="a-house")[1]["corrected"] == 1
    assert not suppressed_for(client, "a-house", "c-house-c").startswith("suppressed")


@pytest.mark.promise("outcomes.of-accounts")
def test_an_outcome_by_customer_and_action_suppresses_for_the_account_that_is_known(client: Client) -> None:
    welcome(client, "c-known")
    shown_to(client, "c-known", "known-1", account_id="a-known", placements=[{"name": "sidebar"}])
    assert tell(client, "o-known", "declined", customer_id="c-known", action="family-data")[0] == 200
    assert suppressed_for(client, "a-known", "c-known-b") == "suppressed:declined"


@pytest.mark.promise("outcomes.of-accounts")
def test_an_outcome_of_an_accounts_action_names_the_account_where_it_is_not_known(client: Client) -> None:
    welcome(client, "c-unknown")
    status, problem = tell(client, "o-unknown", "accepted", customer_id="c-unknown", action="family-data")
    assert (status, problem["field"]) == (422, "account_id")
    for n in range(2):
        shown_to(client, "c-unknown", f"unknown-{n}", account_id=f"a-{n}", placements=[{"name": "sidebar"}])
    assert tell(client, "o-unknown", "accepted", customer_id="c-unknown", action="family-data")[0] == 422
    assert told(client, "c-unknown") == []


def test_a_value_of_a_contact_state_is_refused_and_not_dropped(client: Client) -> None:
    offer = offered(client, "c-value", "tv-bundle")
    status, problem = tell(client, "o-value", "seen", offer_id=offer, value_eur=5.0)
    assert (status, problem["field"]) == (422, "value_eur")


@pytest.mark.promise("erasure.told-after")
def test_outcomes_and_consents_of_an_erased_customer_are_answered_410(client: Client) -> None:
    offer = offered(client, "c-gone", "tv-bundle")
    assert client("DELETE", "/v1/customers/c-gone")[0] == 200
    version = client("GET", "/v1/customers/c-gone/export")[1]["version"]
    for status, problem in (
        tell(client, "o-gone", "declined", customer_id="c-gone", action="tv-bundle"),
        tell(client, "o-gone-2", "declined", offer_id=offer),
        client("POST", "/v1/consents", consent("c-gone", "marketing")),
        client("PATCH", "/v1/customers/c-gone", {"facts": {"age": 30}}),
        client("PATCH", "/v1/customers/c-gone", {"restricted": True}),
    ):
        assert (status, problem["type"]) == (410, "/problems/erased")
        assert "new id" in problem["detail"]
    items = [consent("c-gone", "marketing"), consent("c-not-gone", "marketing")]
    status, answer = client("POST", "/v1/consents", items)
    assert (status, answer["recorded"], answer["results"][0]["type"]) == (200, 1, "/problems/erased")
    assert client("GET", "/v1/customers/c-gone/export")[1]["version"] == version


@pytest.mark.promise("erasure.told-after")
def test_a_correction_for_an_erased_customer_is_answered_410_at_any_moment_of_the_erasure(client: Client) -> None:
    offer = offered(client, "c-soon", "tv-bundle")
    tell(client, "o-soon", "seen", offer_id=offer)
    stream = client.brain.subject_stream("c-soon")
    client.brain.ledger.erase(stream)
    assert tell(client, "o-soon", "not_delivered", offer_id=offer)[0] == 410
    client.brain.ledger.erasures.empty(stream)
    assert tell(client, "o-soon", "not_delivered", offer_id=offer)[0] == 410


@pytest.mark.promise("erasure.told-after")
def test_erase_says_what_was_held_of_a_customer_without_records(client: Client) -> None:
    workspace = client.brain.workspace
    assert client("PATCH", "/v1/customers/c-quiet", {"facts": {"age": 30}})[0] == 200
    assert client("POST", "/v1/signals", signal("page-view", "customer:c-quiet", page="home"))[1]["accepted"] == 1
    assert client("POST", "/v1/consents", consent("c-loud", "marketing"))[0] == 200
    assert erase_customer(workspace, "c-loud")["held"]["records"] == 1
    assert erase_customer(workspace, "c-loud")["held"]["records"] == 0
    held = erase_customer(workspace, "c-quiet")["held"]
    assert {name for name, n in held.items() if n} == {"facts", "statements", "signals", "signal_states", "moments"}
    assert client("GET", "/v1/customers/c-quiet")[1]["facts"] == {}
    assert set(erase_customer(workspace, "c-quiet")["held"].values()) == {0}
    with pytest.raises(NotFound, match="nothing is held"):
        erase_customer(workspace, "c-never-heard-of")


def test_everything_that_was_told_still_recomputes(client: Client) -> None:
    results = verify(client.brain.workspace, None)
    assert results["flaws"] == results["different"] == []
    assert results["recomputed"] >= 10
