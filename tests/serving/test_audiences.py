"""What a key's answers hold: the customer's, the agent's or the company's. The tables here are written by hand."""

import asyncio
import json
import re
from collections.abc import Iterator

import pytest

from decisioning.records import wording_1
from decisioning.records.audiences import AUDIENCES, REASONS, is_reason_for
from serving.access.table import TABLE
from serving.brain.runtime import Brain
from serving.events import streams
from serving.events.feed import Viewer
from serving.events.moments import Watcher
from tests.serving.test_keys import REACH, SCOPES
from tests.serving.workspaces import Client, Json, ask, decide_and_send, offers, signal, small_workspace, welcome

FOR_ALL = {"offer_id", "action", "treatment", "issue", "tier", "rank", "price_eur", "tone", "automation", "content"} | {
    "content_ref",
    "expires_at",
    "reasons",
}
FOR_AGENTS = FOR_ALL | {"propensity", "confidence"}
FOR_THE_COMPANY = FOR_AGENTS | {"value_eur", "priority", "probability"}
OFFER = {"decide": FOR_ALL, "agent": FOR_AGENTS, "admin": FOR_THE_COMPANY}
PREVIEW = {"data-science": FOR_THE_COMPANY, "publish": FOR_THE_COMPANY}
CANDIDATE = {"treatment", "passed", "cites", "propensity", "chosen"}
COMPANYS = {"evidence", "value_eur", "cost_eur", "context_weight", "lever", "priority", "probability"}
FOR_CUSTOMERS = ["tier.mandatory", "tier.service", "context.page"]
KINDS = {"decide": FOR_CUSTOMERS, "agent": FOR_CUSTOMERS, "admin": [*FOR_CUSTOMERS, "lever", "value.expected"]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("audiences") / "shop"))
    client = Client(brain)
    for customer in ("c-0", "c-1", "c-2", *(f"c-{scope}" for scope in OFFER)):
        welcome(client, customer)
    yield client
    brain.close()


def decided(client: Client, scope: str, request: Json) -> Json:
    """Return the answer to a request for up to three offers."""
    request["placements"][0]["limit"] = 3
    status, answer = client.of_scope(scope)("POST", "/v1/decisions", request)
    assert (status, len(offers(answer))) == (200, 3), answer
    return answer


@pytest.mark.promise("keys.audiences")
def test_every_scope_has_an_audience_and_every_kind_of_reason_too() -> None:
    assert {scope: TABLE.audience_of(scope) for scope in TABLE.scopes} == {
        **dict.fromkeys(("decide", "signal", "consent", "operate"), "customer"),
        **dict.fromkeys(("agent", "lead", "privacy"), "agent"),
        **dict.fromkeys(("data-science", "publish", "audit", "admin"), "company"),
    }
    kinds = wording_1._REASONS["en"].keys()
    assert kinds == REASONS.keys() | {"propensity.prior"}
    assert not [kind for kind in kinds if " euro" in wording_1._REASONS["en"][kind] and is_reason_for("agent", kind)]
    assert not is_reason_for("agent", "a kind that has no line")


@pytest.mark.promise("keys.audiences")
@pytest.mark.parametrize("scope", OFFER)
def test_an_offer_has_the_figures_and_reasons_that_its_key_may_see(client: Client, scope: str) -> None:
    shown = offers(decided(client, scope, ask(f"r-{scope}", "c-" + scope)))
    assert [offer.keys() for offer in shown] == [OFFER[scope]] * 3
    assert [reason["code"] for offer in shown for reason in offer["reasons"]] == KINDS[scope]


@pytest.mark.promise("keys.audiences")
@pytest.mark.parametrize("scope", PREVIEW)
def test_who_tries_the_rules_sees_all(client: Client, scope: str) -> None:
    shown = offers(decided(client, scope, ask("r-preview", "c-0", mode="preview")))
    assert [offer.keys() for offer in shown] == [PREVIEW[scope]] * 3


@pytest.mark.promise("keys.audiences")
def test_a_request_may_ask_for_less_than_its_key_sees_and_never_for_more(client: Client) -> None:
    seen = {"decide": "customer", "agent": "agent", "admin": "company"}
    for scope, most in seen.items():
        for n, detail in enumerate(AUDIENCES):
            request = ask(f"r-{scope}-{detail}", detail=detail)
            status, answer = client.of_scope(scope)("POST", "/v1/decisions", request)
            if n <= AUDIENCES.index(most):
                assert offers(answer)[0].keys() == [FOR_ALL, FOR_AGENTS, FOR_THE_COMPANY][n]
            else:
                assert (status, answer["field"]) == (403, "detail"), answer
    assert client("POST", "/v1/decisions", ask("r-0", detail="everybody"))[0] == 422


@pytest.mark.promise("keys.audiences")
def test_for_whom_an_answer_was_changes_neither_its_record_nor_a_repeat(client: Client) -> None:
    """What a website asked for, an agent may ask for again, and the other way round."""
    website = decided(client, "decide", ask("r-shared", "c-1"))
    agent = decided(client, "agent", ask("r-shared", detail="agent"))
    assert agent["decision_id"] == website["decision_id"]
    record = client.brain.ledger.lookup(f"decision:{agent['decision_id']}")
    assert record is not None
    assert record.body is not None
    assert "detail" not in record.body["request"]
    assert offers(record.body["answer"])[0].keys() == FOR_THE_COMPANY


@pytest.mark.promise("keys.audiences")
def test_an_agent_hears_why_without_what_it_is_worth_to_the_company(client: Client) -> None:
    decision_id = decided(client, "decide", ask("r-why", "c-2"))["decision_id"]
    whole = client("GET", f"/v1/decisions/{decision_id}")[1]
    told = client.of_scope("agent")("GET", f"/v1/decisions/{decision_id}")[1]
    assert client.of_scope("audit")("GET", f"/v1/decisions/{decision_id}")[1] == whole
    assert told.keys() == whole.keys()
    for candidate, of_agent in zip(whole["candidates"], told["candidates"], strict=True):
        assert candidate.keys() - of_agent.keys() == (COMPANYS if candidate["passed"] else set())
    for candidate in told["candidates"]:
        if candidate["passed"]:
            assert candidate.keys() == CANDIDATE | (set() if candidate["chosen"] else {"text"})
    assert "Expected value" in whole["text"]["en"]
    assert "Expected value" not in told["text"]["en"]
    assert not [word for word in ('"priority"', '"value_eur"', '"lever"', " euro") if word in json.dumps(told)]


@pytest.mark.promise("keys.audiences")
def test_a_customer_learns_that_a_person_is_called_and_not_why(client: Client) -> None:
    welcome(client, "c-angry", purposes=("marketing", "profiling", "email", "emotion"))
    message = signal("message", "customer:c-angry", text="Dit is belachelijk, ik ben woedend!!")
    assert client("POST", "/v1/signals", message)[0] == 200
    heard = {scope: client.of_scope(scope)("POST", "/v1/decisions", ask("r-call", "c-angry"))[1] for scope in OFFER}
    assert heard["admin"]["handover"]["reason"]
    assert heard["agent"]["handover"] == heard["admin"]["handover"]
    assert heard["decide"]["handover"] == {"reason": None}


@pytest.mark.promise("keys.audiences")
def test_a_stream_holds_what_its_key_may_see(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAM_S", 0.5)
    for _ in range(3):
        assert client("POST", "/v1/signals", signal("payment-failure", "customer:c-1"))[0] == 200
    decide_and_send(Watcher(client.brain))

    async def listen(audience: str) -> bytes:
        return b"".join([event async for event in Watcher(client.brain).listen("web", None, 0, Viewer(audience))])

    heard = {audience: asyncio.run(listen(audience)) for audience in AUDIENCES}
    assert all(b"event: moment" in events for events in heard.values())
    assert {a: b'"priority"' in events for a, events in heard.items()} == dict(zip(AUDIENCES, (0, 0, 1), strict=True))
    assert {a: b'"propensity"' in events for a, events in heard.items()} == dict(zip(AUDIENCES, (0, 1, 1), strict=True))


AGENTS, COMPANYS_ALONE = (
    {"propensity", "confidence"},
    {"value_eur", "cost_eur", "priority", "probability", "lever", "context_weight", "uplift", "evidence"},
)
TOLD = {
    ("POST", "/v1/decisions"): {
        "decide": "customer",
        "agent": "agent",
        **dict.fromkeys(("data-science", "publish", "admin"), "company"),
    },
    ("GET", "/v1/decisions/{decision_id}"): {"agent": "agent", "audit": "company", "admin": "company"},
    ("GET", "/v1/customers/{customer_id}/export"): {"privacy": "company", "admin": "company"},
}
"""For whom the figures are that an answer holds, by route and scope; every other answer holds none.

An export is whole: a customer has a right to all that is kept of them, the figures of their decisions included.
"""


def _figures(content: object) -> set[str]:
    """Return the names of all fields that have a value, at any depth."""
    if isinstance(content, dict):
        below = [_figures(value) for value in content.values()]
        return set().union(*below, {name for name, value in content.items() if value is not None})
    return set().union(*map(_figures, content)) if isinstance(content, list) else set()


def _told_to(content: bytes) -> str:
    """Return for whom an answer is by the figures in it."""
    try:
        names = _figures(json.loads(content or b"null"))
    except ValueError:
        return "customer"  # a page, a stream or metrics
    return "company" if names & COMPANYS_ALONE else "agent" if names & AGENTS else "customer"


@pytest.mark.promise("keys.audiences")
@pytest.mark.parametrize("scope", SCOPES)
def test_no_answer_of_any_route_holds_more_than_its_scope_may_see(client: Client, scope: str) -> None:
    """Every cell of the table of routes and scopes that is answered, about a customer for whom was decided."""
    customer, caller = f"c-cell-{scope}", client.of_scope(scope)
    welcome(client, customer)
    decision = decided(client, "decide", ask(f"r-cell-{scope}", customer))
    known = {"{decision_id}": decision["decision_id"], "{customer_id}": customer}
    told: dict[tuple[str, str], str] = {}
    for method, route, body, scopes in REACH:
        if scopes is None or (scope != "admin" and scope not in scopes):
            continue
        path = re.sub(r"\{\w+\}", lambda name: known.get(name[0], "x"), route) if method == "GET" else _of_nobody(route)
        mode = {key: value for key, value in (body or {}).items() if key == "mode"}
        sent = ask(f"r-cell-{scope}-{len(mode)}", customer, **mode) if route == "/v1/decisions" else body
        status, _, content = caller.raw(method, path + ("?channel=none" if "stream" in route else ""), sent)
        if status < 300:
            told[method, route] = _told_to(content)
    assert told == {cell: TOLD.get(cell, {}).get(scope, "customer") for cell in told}
    assert told or scope == "lead"


def _of_nobody(route: str) -> str:
    return re.sub(r"\{\w+\}", "x", route)
