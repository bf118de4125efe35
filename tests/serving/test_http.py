"""The HTTP contract over a real workspace: decisions, outcomes, repetitions, erasures and refusals."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from decisioning.catalogue.files import pack, unpack
from serving.brain.explaining import recomputes
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.permits import activate, set_paused
from tests.serving.workspaces import FACTS, Client, ask, consent, offers, small_workspace, welcome


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return small_workspace(tmp_path_factory.mktemp("http") / "ws")


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[Client]:
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


def rows(client: Client) -> int:
    """Return how many records the ledger has."""
    kinds = ("consent", "decision", "account_decision", "contact", "outcome", "observation", "flag")
    return len(client.brain.ledger.scan(kinds, 0, 10**6))


def test_a_customer_nobody_knows_is_decided_with_an_empty_profile(client: Client) -> None:
    status, answer = client("POST", "/v1/decisions", ask("unknown-1", "stranger"))
    assert status == 200
    assert answer["customer_id"] == "stranger"
    assert "grow" not in {o["issue"] for o in offers(answer)}


@pytest.mark.promise("decisions.recomputed-from-ledger")
def test_an_offer_is_committed_explained_and_recomputed(client: Client) -> None:
    welcome(client, "c-offer")
    body = ask("offer-1", "c-offer", placements=[{"name": "hero", "limit": 5}])
    status, answer = client("POST", "/v1/decisions", body)
    assert status == 200
    assert {"tv-bundle", "fix-router"} <= {o["action"] for o in offers(answer)}
    assert all(1 <= len(o["reasons"]) <= 4 for o in offers(answer))
    status, why = client("GET", f"/v1/decisions/{answer['decision_id']}")
    assert status == 200
    candidates = {c["treatment"]: c for c in why["candidates"]}
    assert candidates["tv-bundle.web-hero"]["passed"]
    assert {c["gate"] for c in why["candidates"] if not c["passed"]} >= {"action:account"}
    assert len([c for c in why["candidates"] if not c["passed"]]) == answer["withheld"]
    record = client.brain.ledger.lookup(f"decision:{answer['decision_id']}")
    assert record is not None
    assert recomputes(client.brain, record)


@pytest.mark.promise("decisions.repeated-request")
def test_repeating_a_request_returns_what_was_recorded(client: Client) -> None:
    welcome(client, "c-repeat")
    first = client("POST", "/v1/decisions", ask("repeat-1", "c-repeat"))
    before = rows(client)
    assert client("POST", "/v1/decisions", ask("repeat-1", "c-repeat")) == first
    assert rows(client) == before
    status, problem = client("POST", "/v1/decisions", ask("repeat-1", "c-repeat", locale="en"))
    assert (status, problem["field"]) == (409, "request_id")


@pytest.mark.promise("consent.withdrawal-binds")
def test_a_repeated_request_is_decided_anew_once_its_permission_is_gone(client: Client) -> None:
    welcome(client, "c-gone")
    body = ask("gone-1", "c-gone", placements=[{"name": "hero", "limit": 5}])
    _, first = client("POST", "/v1/decisions", body)
    assert "tv-bundle" in {o["action"] for o in offers(first)}
    assert client("POST", "/v1/consents", consent("c-gone", "marketing", "withdrawn"))[0] == 200
    _, second = client("POST", "/v1/decisions", body)
    assert second["supersedes"] == first["decision_id"]
    assert not {"grow", "retain", "nurture"} & {o["issue"] for o in offers(second)}
    assert client("POST", "/v1/decisions", body)[1] == second


@pytest.mark.promise("caps.freed")
def test_caps_count_what_was_shown_and_free_what_was_not(client: Client) -> None:
    welcome(client, "c-cap")
    hero = ask("cap-w", "c-cap", placements=[{"name": "hero", "limit": 5}])
    first = {o["action"]: o for o in offers(client("POST", "/v1/decisions", hero)[1])}
    again = {o["action"] for o in offers(client("POST", "/v1/decisions", {**hero, "request_id": "cap-w2"})[1])}
    assert "tv-bundle" in first
    assert "tv-bundle" not in again, "once a week"
    released = {"outcome_id": "cap-o", "offer_id": first["tv-bundle"]["offer_id"], "outcome": "not_delivered"}
    assert client("POST", "/v1/outcomes", released) == (200, {"recorded": 1, "repeated": 0})
    assert client("POST", "/v1/outcomes", released) == (200, {"recorded": 0, "repeated": 1})
    freed = {o["action"] for o in offers(client("POST", "/v1/decisions", {**hero, "request_id": "cap-w3"})[1])}
    assert "tv-bundle" in freed


def test_an_agents_outcomes_suppress(client: Client) -> None:
    welcome(client, "c-agent")
    body = ask("agent-1", "c-agent", "agent", placements=[{"name": "suggestion", "limit": 5}])
    suggested = {o["action"]: o for o in offers(client("POST", "/v1/decisions", body)[1])}
    outcomes = [
        {"outcome_id": f"agent-{o}", "offer_id": suggested["tv-bundle"]["offer_id"], "outcome": o}
        for o in ("pitched", "declined")
    ]
    assert client("POST", "/v1/outcomes", outcomes)[0] == 200
    customer = client("GET", "/v1/customers/c-agent")[1]
    assert {c["action"]: c["state"] for c in customer["contacts"]}["tv-bundle"] == "pitched"
    _, answer = client("POST", "/v1/decisions", {**body, "request_id": "agent-2"})
    assert "tv-bundle" not in {o["action"] for o in offers(answer)}
    _, why = client("GET", f"/v1/decisions/{answer['decision_id']}")
    assert {c["treatment"]: c.get("gate") for c in why["candidates"]}["tv-bundle.agent"] == "suppressed:declined"


def test_account_actions_need_an_account_and_share_its_caps(client: Client) -> None:
    for customer in ("c-anna", "c-bert"):
        welcome(client, customer)
    body = {"placements": [{"name": "hero", "limit": 5}], "account_id": "a-1"}
    first = {o["action"] for o in offers(client("POST", "/v1/decisions", ask("acc-1", "c-anna", **body))[1])}
    second = {o["action"] for o in offers(client("POST", "/v1/decisions", ask("acc-2", "c-bert", **body))[1])}
    other = {o["action"] for o in offers(client("POST", "/v1/decisions", ask("acc-3", "c-bert"))[1])}
    assert "family-data" in first
    assert "family-data" not in second | other


def everything(workspace: Workspace) -> str:
    """Return one hash over every row of every database of the workspace."""
    digest = hashlib.sha256()
    for file in sorted(workspace.data.rglob("*.db")):
        with closing(sqlite3.connect(file)) as database:
            for line in database.iterdump():
                digest.update(line.encode())
    return digest.hexdigest()


@pytest.mark.promise("decisions.previews-write-nothing")
def test_a_preview_of_a_thousand_personas_changes_no_row_anywhere(client: Client, workspace: Workspace) -> None:
    for n in range(20):
        welcome(client, f"p-{n}", purposes=("marketing", "profiling")[: n % 3])
    before = everything(workspace)
    for n in range(1000):
        body = ask(f"pre-{n}", f"p-{n % 20}", mode="preview", overrides={"age": n % 100, "has_tv": n % 7 == 0})
        assert client("POST", "/v1/decisions", body)[0] == 200
    assert everything(workspace) == before
    client("POST", "/v1/decisions", ask("pre-live", "p-0"))
    assert everything(workspace) != before


@pytest.mark.promise("decisions.previews-write-nothing")
@pytest.mark.parametrize("channel", ["web", "agent", "email"])
def test_a_preview_equals_the_live_decision_for_the_same_state_seed_and_time(client: Client, channel: str) -> None:
    """Two customers with the same data: one decision is live, the other a preview with its draws and time."""
    for n in range(12):
        purposes = ("marketing", "profiling", "email")[: n % 4]
        for kind in ("live", "twin"):
            welcome(client, f"{kind}-{channel}-{n}", purposes=purposes)
        _, live = client("POST", "/v1/decisions", ask(f"live-{channel}-{n}", f"live-{channel}-{n}", channel))
        same = {"mode": "preview", "seed": live["decision_id"], "as_of": live["decided_at"]}
        _, twin = client("POST", "/v1/decisions", ask(f"twin-{channel}-{n}", f"twin-{channel}-{n}", channel, **same))
        own = ("customer_id", "mode")
        assert {k: v for k, v in twin.items() if k not in own} == {k: v for k, v in live.items() if k not in own}


def test_a_preview_takes_other_facts(client: Client) -> None:
    welcome(client, "c-what-if")
    body = ask("if-1", "c-what-if", mode="preview", placements=[{"name": "hero", "limit": 5}])
    _, usual = client("POST", "/v1/decisions", body)
    _, in_need = client("POST", "/v1/decisions", {**body, "overrides": {"vulnerable": True}})
    assert "grow" in {o["issue"] for o in offers(usual)}
    assert "grow" not in {o["issue"] for o in offers(in_need)}


def test_everything_held_is_exported_and_erased(client: Client) -> None:
    welcome(client, "c-erase")
    client("POST", "/v1/decisions", ask("erase-1", "c-erase"))
    status, export = client("GET", "/v1/customers/c-erase/export")
    assert status == 200
    assert export["facts"]["age"] == FACTS["age"]
    assert [r["kind"] for r in export["records"]] == ["consent"] * 3 + ["decision"]
    assert client("DELETE", "/v1/customers/c-erase")[0] == 200
    _, export = client("GET", "/v1/customers/c-erase/export")
    assert (export["facts"], export["erased"], {r["body"] for r in export["records"][:4]}) == ({}, True, {None})
    _, answer = client("POST", "/v1/decisions", ask("erase-2", "c-erase"))
    assert offers(answer) == []
    assert client("PATCH", "/v1/customers/c-erase", {"facts": {"age": 3}})[0] == 410


def test_pauses_are_taken_up(client: Client) -> None:
    welcome(client, "c-pause")
    hero = ask("pause-1", "c-pause", placements=[{"name": "hero", "limit": 5}], mode="preview")
    assert "tv-bundle" in {o["action"] for o in offers(client("POST", "/v1/decisions", hero)[1])}
    set_paused(client.brain.ledger, "tv-bundle", paused=True)
    client.brain.refresh_paused()
    assert "tv-bundle" not in {o["action"] for o in offers(client("POST", "/v1/decisions", hero)[1])}
    set_paused(client.brain.ledger, "tv-bundle", paused=False)
    client.brain.refresh_paused()


@pytest.mark.promise("serving.pause", "releases.rollback")
def test_a_pause_waits_for_no_release_that_is_being_loaded_and_holds_with_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    brain, before = client.brain, client.brain.snapshot.release.hash
    during: list[tuple[str, frozenset[str]]] = []

    load = brain._models

    def slowly(*about: Any) -> Any:
        set_paused(brain.ledger, "tv-bundle", paused=True)
        brain.refresh_paused()
        during.append((brain.snapshot.release.hash, brain.snapshot.paused))
        return load(*about)

    files = {name: f"{text}# released again\n" for name, text in unpack(brain.ledger.get_release(before)).items()}
    after = brain.ledger.put_release(pack(files))
    activate(brain.ledger, brain.environment, after, "test")
    with monkeypatch.context() as patched:
        patched.setattr(brain, "_models", slowly)
        brain.refresh_release()
    assert during == [(before, frozenset({"tv-bundle"}))]
    assert (brain.snapshot.release.hash, brain.snapshot.paused) == (after, frozenset({"tv-bundle"}))
    set_paused(brain.ledger, "tv-bundle", paused=False)
    activate(brain.ledger, brain.environment, before, "test")
    brain.refresh_release()
    assert (brain.snapshot.release.hash, brain.snapshot.paused) == (before, frozenset())


@pytest.mark.promise("caps.exact-in-races")
def test_concurrent_requests_for_one_customer_never_overrun_a_cap(client: Client) -> None:
    welcome(client, "c-race")

    async def all_at_once() -> list[tuple[int, dict[str, Any]]]:
        return await asyncio.gather(
            *(client.ask("POST", "/v1/decisions", ask(f"race-{n}", "c-race")) for n in range(4))
        )

    answers = asyncio.run(all_at_once())
    assert {status for status, _ in answers} <= {200, 503}
    shown = [o["action"] for status, answer in answers if status == 200 for o in offers(answer)]
    commercial = [a for a in shown if a in ("tv-bundle", "sports-channel")]
    assert len(commercial) == len(set(commercial))


BAD: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/decisions", b"{", "body"),
    ("POST", "/v1/decisions", b"", "body"),
    ("POST", "/v1/decisions", b"[]", "body"),
    ("POST", "/v1/decisions", b"\xff\xfe", "body"),
    ("POST", "/v1/decisions", b"[" * 100_000, "body"),
    ("POST", "/v1/decisions", ask("b", wrong=1), "wrong"),
    ("POST", "/v1/decisions", ask("b", channel="fax"), "channel"),
    ("POST", "/v1/decisions", ask("b", placements=[{"name": "nowhere"}]), "placements.0.name"),
    ("POST", "/v1/decisions", ask("b", placements=[{"name": "hero", "limit": "1"}]), "placements.0.limit"),
    ("POST", "/v1/decisions", ask("b", placements=[{"name": "hero", "limit": 10**9}]), "placements.0.limit"),
    ("POST", "/v1/decisions", ask("b", placements=[]), "placements"),
    ("POST", "/v1/decisions", ask("b", placements=[{"name": "hero"}] * 2), "placements"),
    ("POST", "/v1/decisions", ask("b", placements=[{"name": f"p{n}"} for n in range(10_000)]), "placements"),
    ("POST", "/v1/decisions", ask("x" * 10_000), "request_id"),
    ("POST", "/v1/decisions", ask("b", customer="x" * 10_000), "customer_id"),
    ("POST", "/v1/decisions", ask("b", customer="é"), "customer_id"),
    ("POST", "/v1/decisions", ask("b", customer=""), "customer_id"),
    ("POST", "/v1/decisions", ask("b", customer=7), "customer_id"),
    ("POST", "/v1/decisions", json.dumps(ask("b", context={"page": float("nan")})).encode(), "context.page"),
    ("POST", "/v1/decisions", json.dumps(ask("b", context={"page": float("inf")})).encode(), "context.page"),
    ("POST", "/v1/decisions", ask("b", context={"page": 3}), "context.page"),
    ("POST", "/v1/decisions", ask("b", context={"page": "elsewhere"}), "context.page"),
    ("POST", "/v1/decisions", ask("b", context={"age": 3}), "context.age"),
    ("POST", "/v1/decisions", ask("b", context={"now": 3}), "context.now"),
    ("POST", "/v1/decisions", ask("b", mode="preview", as_of="9999-01-01T00:00:00Z0"), "as_of"),
    ("POST", "/v1/decisions", ask("b", as_of="2026-01-01"), "mode"),
    ("POST", "/v1/decisions", ask("b", mode="preview", release="sha256:0"), "release"),
    ("POST", "/v1/decisions", ask("b", mode="preview", overrides={"nothing": 1}), "overrides.nothing"),
    ("POST", "/v1/consents", consent("b", "world-domination"), "purpose"),
    ("POST", "/v1/consents", consent("b", "marketing", "perhaps"), "status"),
    ("POST", "/v1/consents", consent("b", "marketing", channel="fax"), "channel"),
    ("POST", "/v1/consents", consent("b", "marketing", occurred_at="9999-01-01T00:00:00Z"), "occurred_at"),
    ("POST", "/v1/consents", consent("b", "marketing", occurred_at="2026-01-01T00:00:00"), "occurred_at"),
    ("POST", "/v1/consents", consent("b", "marketing", occurred_at="2100-01-01T00:00:00Z"), "occurred_at"),
    ("POST", "/v1/consents", [consent("b", "nothing"), consent("b", "marketing", "?")], "0.purpose"),
    ("POST", "/v1/consents", [], "body"),
    ("POST", "/v1/consents", [consent("b", "marketing")] * 1001, "body"),
    ("POST", "/v1/outcomes", {"outcome_id": "b", "outcome": "accepted"}, "offer_id"),
    ("POST", "/v1/outcomes", {"outcome_id": "b", "offer_id": "d-0.0", "outcome": "accepted"}, "offer_id"),
    ("POST", "/v1/outcomes", {"outcome_id": "b", "customer_id": "b", "action": "x", "outcome": "accepted"}, "action"),
    ("POST", "/v1/outcomes", {"outcome_id": "b", "customer_id": "b", "action": "tv-bundle", "outcome": "x"}, "outcome"),
    (
        "POST",
        "/v1/outcomes",
        {"outcome_id": "b", "customer_id": "b", "action": "tv-bundle", "outcome": "accepted", "value_eur": 1e300},
        "value_eur",
    ),
    ("PATCH", "/v1/customers/b", {"facts": {}}, "facts"),
    ("PATCH", "/v1/customers/b", {"facts": {"shoe_size": 43}}, "facts.shoe_size"),
    ("PATCH", "/v1/customers/b", {"facts": {"age": "old"}}, "facts.age"),
    ("PATCH", "/v1/customers/b", {"facts": {"age": -4}}, "facts.age"),
    ("PATCH", "/v1/customers/b", {"facts": {"contract": "weekly"}}, "facts.contract"),
    ("PATCH", "/v1/customers/b", {"facts": {"age": 4}, "as_of": "9999-12-31T23:59:59Z"}, "as_of"),
    ("GET", "/v1/decisions/d-nothing", None, "decision_id"),
]


@pytest.mark.promise("serving.bad-input")
@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_input_names_the_field_and_writes_nothing(client: Client, case: int) -> None:
    method, path, body, field = BAD[case]
    before = rows(client)
    status, problem = client(method, path, body)
    assert 400 <= status < 500, problem
    assert problem["status"] == status
    assert problem.get("field", "body").startswith(field), problem
    assert problem["detail"]
    assert rows(client) == before


@pytest.mark.promise("serving.bad-input")
def test_a_body_of_ten_megabytes_is_refused(client: Client) -> None:
    status, problem = client("POST", "/v1/decisions", b" " * 10_000_000)
    assert (status, problem["status"]) == (413, 413)


@pytest.mark.promise("ledger.unreachable")
def test_ledger_out_of_reach_gives_503_and_the_static_fallback_only(client: Client, workspace: Workspace) -> None:
    brain = Brain(workspace)
    brain.ledger.close()
    body = ask("down-1", "c-1", placements=[{"name": "hero", "fallback": "static-hero"}])
    status, problem = Client(brain)("POST", "/v1/decisions", body)
    assert status == 503
    assert problem["fallbacks"] == {"hero": "static-hero"}
    assert "c-1" not in str(problem)


def test_health_readiness_metrics_and_the_page_of_the_contract(client: Client) -> None:
    assert client("GET", "/healthz")[0] == 200
    assert client("GET", "/readyz")[1]["model"] == "prior@0"
    status, described = client("GET", "/openapi.json")
    assert status == 200
    assert {"/v1/decisions", "/v1/outcomes", "/v1/consents", "/v1/customers/{customer_id}"} <= described["paths"].keys()


def test_a_decision_that_cannot_be_committed_in_time_is_answered_by_its_fallback(workspace: Workspace) -> None:
    http = workspace.settings.http.model_copy(update={"request_timeout_s": 0.0001})
    hurried = Workspace(workspace.root, workspace.settings.model_copy(update={"http": http}))
    brain = Brain(hurried)
    body = ask("late-1", "c-late", placements=[{"name": "hero", "fallback": "static-hero"}])
    with sqlite3.connect(workspace.ledger_file) as other:
        other.execute("BEGIN IMMEDIATE")  # another program holds the ledger
        status, problem = Client(brain)("POST", "/v1/decisions", body)
    assert (status, problem["fallbacks"]) == (503, {"hero": "static-hero"})
    brain.close()
