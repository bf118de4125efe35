"""Who looked at a customer, when and why: every route that shows one is found from the table, and tried by requests."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from pydantic import ValidationError
from yaml import safe_load

import brain as command_line
from decisioning.errors import Unavailable
from features.ledger import Duplicate, Entry, Ledger
from features.people import read_people
from serving.access import looks as access_looks
from serving.access import table
from serving.access.looks import EXPECTED, looker_here
from serving.access.table import NOTHING, TABLE, ScopeTable
from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.commands.offline import export_customer
from serving.commands.verifying import add_ledger_flaws
from serving.customers import looking
from serving.http import routes
from serving.settings import Workspace
from tests.serving.people.browser import Browser
from tests.serving.workspaces import Client, Json, ask, offers, signal, small_workspace, welcome

WHO = ("decide", "agent", "privacy", "audit", "admin")
SUBJECT = re.compile(r"\{(?!agent)([a-z]+)_id\}")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("looks") / "shop"))
    yield Client(brain)
    brain.close()


def known(client: Client, name: str) -> dict[str, str]:
    """Make a customer, an account and a visitor known, and return what the parameters of paths name of them."""
    welcome(client, f"c-{name}")
    answer = client("POST", "/v1/decisions", ask(f"r-{name}", f"c-{name}", account_id=f"a-{name}"))[1]
    assert offers(answer)
    visitor = f"cookie:{name}"
    assert client("POST", "/v1/signals", signal("page-view", visitor, page="home"))[0] == 200
    assert client("PATCH", f"/v1/accounts/a-{name}", {"restricted": True})[0] == 200
    ids = {"customer": f"c-{name}", "account": f"a-{name}", "visitor": visitor}
    asked = {
        "request_id": f"h-{name}",
        "customer_id": f"c-{name}",
        "conversation_id": f"chat-{name}",
        "channel": "chat",
    }
    handover = client("POST", "/v1/handovers", {**asked, "reason": "asks for a person"})[1]["handover_id"]
    return {**ids, "decision": answer["decision_id"], "handover": handover}


def listed(client: Client, query: str = "") -> list[Json]:
    """Return every look, as `audit` reads them."""
    looks: list[Json] = []
    after: int | None = 0
    while after is not None:
        status, page = client.of_scope("audit")("GET", f"/v1/looks?after={after}{query}")
        assert status == 200, page
        looks += page["looks"]
        after = page["next"]
    return looks


def size(client: Client) -> int:
    """Return how many records the ledger has of any kind."""
    with closing(sqlite3.connect(client.brain.workspace.ledger_file)) as database:
        return int(database.execute("SELECT count(*) FROM ledger_records").fetchone()[0])


def key_id(client: Client, scope: str) -> str:
    key = client.of_scope(scope).key
    assert key is not None
    return f"key:{key[4:12]}"


@pytest.mark.promise("looks.every-route")
def test_every_route_that_names_a_subject_records_who_looked_before_it_answers(client: Client) -> None:
    """Found from the OpenAPI document: a route that is added is tried here, too."""
    ids = known(client, "all")
    showing = [
        (path, operation)
        for path, methods in client("GET", "/openapi.json")[1]["paths"].items()
        for method, operation in methods.items()
        if method == "get" and SUBJECT.search(path)
    ]
    assert len(showing) >= 6
    for template, operation in showing:
        path = SUBJECT.sub(lambda m: ids[m[1]], template)
        assert "Look-Purpose" in {parameter["name"] for parameter in operation["parameters"]}, template
        for scope in WHO:
            before = len(listed(client))
            status, _ = client.of_scope(scope)("GET", path)
            new = listed(client)[before:]
            assert (status == 403) == (len(new) == 0), (template, scope, status, new)
            if new:
                (look,) = new
                assert (look["who"], look["role"]) == (key_id(client, scope), scope)
                assert look["what"] == TABLE.looks[f"GET {template}"]
                assert look["purpose"] == TABLE.default_purpose(scope)
                (subject,) = SUBJECT.findall(template)
                named = {"decision": "customer", "handover": "customer"}.get(subject, subject)
                assert look[f"{named}_id"] == ids[named]


@pytest.mark.promise("looks.every-route")
def test_a_route_that_shows_a_customer_without_a_look_answers_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = "GET /v1/customers/{customer_id}"

    def careless(app: FastAPI, brain: Brain) -> None:
        @app.get("/v1/customers/{customer_id}")
        async def customer(customer_id: str) -> Json:
            return {"customer_id": customer_id, "secret": "of a person"}

    assert TABLE.looks[route] == "glance"
    monkeypatch.setattr(routes, "_customer_routes", careless)
    status, _, content = Client(client.brain).raw("GET", "/v1/customers/c-1")
    assert (status, b"person" in content) == (500, False)


@pytest.mark.promise("looks.every-route")
def test_a_look_that_cannot_be_recorded_shows_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = known(client, "unwritten")

    def fail(*_: Any) -> None:
        raise Unavailable("the ledger cannot be written")

    monkeypatch.setattr(client.brain.ledger, "append", fail)
    status, answer = client("GET", f"/v1/customers/{ids['customer']}")
    assert (status, answer.keys() & {"facts", "consents", "customer_id"}) == (503, set())


@pytest.mark.promise("looks.every-route")
def test_a_route_that_does_not_say_what_it_shows_does_not_start() -> None:
    content = safe_load(Path(table.__file__).with_name("scopes.yaml").read_text())

    def refused(**changes: Any) -> str:
        with pytest.raises(ValidationError) as raised:
            ScopeTable.model_validate_json(json.dumps({**content, **changes}))
        return str(raised.value)

    for method in ("GET", "POST", "PATCH", "DELETE"):
        new = f"{method} /v1/customers/{{customer_id}}/new"
        assert f"what do these show of a customer: {new}" in refused(routes={**content["routes"], new: ["agent"]})
    for parameter in ("customer", "account", "visitor", "decision"):
        route = f"GET /v1/new/{{{parameter}_id}}"
        lines = {**content["looks"], route: NOTHING}
        assert f"the path names whom it shows: {route}" in refused(
            routes={**content["routes"], route: ["agent"]}, looks=lines
        )
    assert "no such route: GET /v1/none" in refused(looks={**content["looks"], "GET /v1/none": NOTHING})
    purposes = {name: {**p, "default_of": []} for name, p in content["purposes"].items()}
    assert "every scope that looks at customers has one default" in refused(purposes=purposes)


@pytest.mark.promise("looks.every-route")
def test_a_post_that_shows_a_customer_without_a_look_answers_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(app: FastAPI, brain: Brain) -> None:
        @app.post("/v1/consents")
        async def consents() -> Json:
            return {"secret": "of a person"}

    monkeypatch.setitem(TABLE.looks, "POST /v1/consents", "glance")
    monkeypatch.setattr(access_looks, "_METHODS", {"GET", "POST"})
    monkeypatch.setattr(routes, "_record_routes", careless)
    status, _, content = Client(client.brain).raw("POST", "/v1/consents", {}, content_type="application/json")
    assert (status, b"person" in content) == (500, False)


@pytest.mark.promise("looks.decision")
def test_a_look_at_an_explanation_names_the_decision(client: Client) -> None:
    ids = known(client, "explained")
    other = client("POST", "/v1/decisions", ask("r-again", ids["customer"]))[1]["decision_id"]
    before, agent = len(listed(client)), client.of_scope("agent")
    for _ in range(2):
        for decision in (ids["decision"], other):
            assert agent("GET", f"/v1/decisions/{decision}")[0] == 200
    looks = listed(client)[before:]
    assert [look["decision_id"] for look in looks] == [ids["decision"], other]
    assert {look["customer_id"] for look in looks} == {ids["customer"]}


@pytest.mark.promise("looks.bounded")
def test_a_program_that_asks_again_and_again_adds_one_record_an_hour(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, agent = known(client, "polled"), client.of_scope("agent")
    before = len(listed(client))
    for _ in range(5):
        assert agent("GET", f"/v1/decisions/{ids['decision']}")[0] == 200
    assert len(listed(client)) == before + 1
    ledger = client.brain.ledger
    now_us = ledger.clock()
    monkeypatch.setattr(ledger, "clock", lambda: now_us + 3_600_000_000)
    for _ in range(2):
        assert agent("GET", f"/v1/decisions/{ids['decision']}")[0] == 200
    assert len(listed(client)) == before + 2
    assert agent("GET", f"/v1/decisions/{ids['decision']}", look_purpose="complaint 1")[0] == 200
    assert client("GET", f"/v1/decisions/{ids['decision']}")[0] == 200
    assert len(listed(client)) == before + 4, "another purpose and another caller are looks of their own"


@pytest.mark.promise("looks.bounded")
def test_of_whom_nothing_is_held_nothing_is_recorded(client: Client) -> None:
    before = size(client), len(listed(client))
    for path in ("customers/nobody", "customers/nobody/export", "accounts/nobody", "visitors/nobody/export"):
        assert client("GET", f"/v1/{path}")[0] == 200, path
    assert client("GET", "/v1/decisions/d-none")[0] == 404
    assert (size(client), len(listed(client))) == before
    assert client("PATCH", "/v1/customers/c-facts", {"facts": {"age": 40}})[0] == 200
    assert client("GET", "/v1/customers/c-facts")[0] == 200
    assert [look["customer_id"] for look in listed(client)[before[1] :]] == ["c-facts"]


@pytest.mark.promise("looks.purpose")
def test_a_purpose_is_one_of_a_short_list_and_never_repeated(client: Client) -> None:
    ids, agent = known(client, "why"), client.of_scope("agent")
    path = f"/v1/customers/{ids['customer']}"
    before = len(listed(client))
    for wrong in ("", "jan de vries", "service 12", "complaint", "complaint jan", "COMPLAINT 1", "fraud " + "1" * 13):
        status, answer = agent("GET", path, look_purpose=wrong)
        assert (status, answer["field"], answer["detail"]) == (422, "Look-Purpose", EXPECTED)
    assert len(listed(client)) == before
    for name, purpose in TABLE.purposes.items():
        case = "4711" if purpose.needs_case else None
        assert agent("GET", path, look_purpose=f"{name} {case}" if case else name)[0] == 200
        look = listed(client)[-1]
        assert (look["purpose"], look.get("case")) == (name, case)


@pytest.mark.promise("looks.read")
def test_audit_reads_by_subject_and_by_caller_in_pages_and_writes_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = known(client, "read")
    everyone = len(listed(client))
    for scope in ("agent", "privacy"):
        assert client.of_scope(scope)("GET", f"/v1/customers/{ids['customer']}")[0] == 200
        assert client.of_scope(scope)("GET", f"/v1/accounts/{ids['account']}")[0] == 200
    before = size(client)
    monkeypatch.setattr(looking, "MAX_LISTED", 3)
    assert len(listed(client)) == everyone + 4
    of_customer = listed(client, f"&customer_id={ids['customer']}")
    assert [look["role"] for look in of_customer] == ["agent", "privacy"]
    assert {look["customer_id"] for look in of_customer} == {ids["customer"]}
    agent = key_id(client, "agent")
    assert [look["account_id"] for look in listed(client, f"&account_id={ids['account']}&who={agent}")] == [
        ids["account"]
    ]
    assert {look["who"] for look in listed(client, f"&who={agent}")} == {agent}
    assert listed(client, "&visitor_id=nobody") == listed(client, "&who=key:none") == []
    assert size(client) == before
    both = client.of_scope("audit")("GET", "/v1/looks?customer_id=c-1&account_id=a-1")
    assert (both[0], both[1]["field"]) == (422, "account_id")
    for scope in ("agent", "privacy", "lead", "operate"):
        assert client.of_scope(scope)("GET", "/v1/looks")[0] == 403


@pytest.mark.promise("looks.export")
def test_a_customer_learns_time_purpose_and_role_and_no_name(client: Client) -> None:
    ids = known(client, "told")
    assert client.of_scope("agent")("GET", f"/v1/decisions/{ids['decision']}", look_purpose="complaint 47")[0] == 200
    privacy = client.of_scope("privacy")
    for _ in range(2):
        export = privacy("GET", f"/v1/customers/{ids['customer']}/export")[1]
    assert [(x["role"], x["what"], x["purpose"]) for x in export["looks"]] == [
        ("agent", "explanation", "complaint"),
        ("privacy", "export", "rights"),
    ]
    assert {*export["looks"][0]} == {"subject", "at", "role", "what", "purpose"}
    text = json.dumps(export)
    assert not [scope for scope in WHO if key_id(client, scope)[4:] in text]


@pytest.mark.promise("looks.export")
def test_who_is_joined_is_looked_at_under_every_id(client: Client) -> None:
    one, other = known(client, "one"), known(client, "other")
    joined = {"customer_id": one["customer"], "identifier": {"kind": "customer", "value": other["customer"]}}
    assert client("POST", "/v1/identities", {**joined, "status": "linked", "source": "crm"})[0] == 200
    assert client.of_scope("privacy")("GET", f"/v1/customers/{one['customer']}/export")[0] == 200
    looks = listed(client)[-2:]
    streams = [client.brain.subject_stream(each["customer"]) for each in (one, other)]
    assert {look["subject"] for look in looks} == set(streams)
    assert [look.get("customer_id") for look in looks if look["subject"] == streams[1]] == [None]


@pytest.mark.promise("looks.export")
def test_a_person_who_signed_in_is_who_looked_in_the_role_that_let_them(client: Client) -> None:
    ids, password = known(client, "person"), "correct horse battery"
    people.add(client.brain.workspace, "jansen", ["lead", "privacy", "agent"], password, "root")
    browser = Browser(client)
    assert browser.sign_in("jansen", password)[0] == 303
    for _ in range(2):
        status, _, export = browser.api("GET", f"/v1/customers/{ids['customer']}/export")
        assert status == 200
    assert browser.api("GET", f"/v1/decisions/{ids['decision']}", look_purpose="fraud 3")[0] == 200
    (jansen,) = [person for person in read_people(client.brain.ledger) if person.name == "jansen"]
    exported, explained = listed(client, f"&who=person:{jansen.id}")
    assert (exported["role"], exported["purpose"]) == ("privacy", "rights")
    assert (explained["role"], explained["purpose"], explained["case"]) == ("agent", "fraud", "3")
    assert [look["role"] for look in json.loads(export)["looks"]] == ["privacy"]
    assert jansen.id not in export
    assert "jansen" not in export


@pytest.mark.promise("looks.erased")
def test_looks_are_erased_with_their_subject_and_none_follow(client: Client) -> None:
    ids = known(client, "gone")
    path = f"/v1/customers/{ids['customer']}"
    assert client("GET", path)[0] == 200
    before = len(listed(client))
    mark = ids["customer"].encode()
    assert client("DELETE", path)[0] == 200
    assert len(listed(client)) == before - 1
    after = size(client)
    for again in (path, f"{path}/export", f"/v1/decisions/{ids['decision']}"):
        client("GET", again)
    assert size(client) == after
    client.brain.ledger._database.truncate_log()
    assert mark not in client.brain.workspace.ledger_file.read_bytes()
    assert [str(flaw) for flaw in client.brain.ledger.verify()] == []


@pytest.mark.promise("looks.erased")
def test_who_is_erased_while_somebody_looks_is_not_shown(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = known(client, "race")
    stream = client.brain.subject_stream(ids["customer"])

    def erase_first(ledger: Ledger, looks: Any) -> bool:
        client.brain.ledger.erase(stream)
        client.brain.snapshot.profiles.forget(stream)
        return access_looks.record_looks(ledger, looks)

    monkeypatch.setattr(looking, "record_looks", erase_first)
    status, answer = client("GET", f"/v1/customers/{ids['customer']}")
    assert (status, answer["erased"], answer["facts"], answer["contacts"]) == (200, True, {}, [])


@pytest.mark.promise("looks.beside-decisions")
def test_a_look_changes_nothing_that_a_decision_reads(client: Client) -> None:
    """Neither a conflict between reading and appending, nor one statement or byte more, however many looks came."""
    ids = known(client, "calm")
    ledger, stream = client.brain.ledger, client.brain.subject_stream(ids["customer"])

    def read() -> tuple[Any, Any]:
        with closing(sqlite3.connect(client.brain.workspace.ledger_file)) as database:
            of_stream = "SELECT version, at_us, head_hash, body FROM ledger_standings WHERE stream = ?"
            return ledger.read(stream), database.execute(of_stream, (bytes.fromhex(stream),)).fetchall()

    before, (standing,) = read(), ledger.read(stream)
    for n in range(50):
        look = looker_here("glance", None).at(stream, {})
        ledger.append([look.entry(f"look:{n}")])
    assert client.of_scope("agent")("GET", f"/v1/customers/{ids['customer']}")[0] == 200
    assert read() == before
    flag = Entry(stream, "flag", {"restricted": False}, None, expected=standing.version)
    assert ledger.append([flag]) == (standing.version + 1,)


REMOVED = {
    "DELETE FROM ledger_looks": "the look is recorded, and its table does not say so",
    "UPDATE ledger_looks SET who = 'key:other'": "it is not the look that is recorded",
    "UPDATE ledger_looks SET stream = zeroblob(20)": "there is no record of this look",
    "DELETE FROM ledger_records WHERE kind = 'look'": "does not end where its standing says",
    "DELETE FROM ledger_standings WHERE stream IN (SELECT stream FROM ledger_records WHERE kind = 'look');"
    "DELETE FROM ledger_keys WHERE stream IN (SELECT stream FROM ledger_records WHERE kind = 'look');"
    "DELETE FROM ledger_records WHERE kind = 'look';"
    "DELETE FROM ledger_looks": "a checkpoint saw the stream up to here, and all of it is gone",
}
"""What is done past the ledger, and what `brain verify` says of it."""


@pytest.mark.promise("looks.verified")
def test_verify_names_a_look_that_was_removed(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path / "shop")
    brain = Brain(workspace)
    client = Client(brain)
    welcome(client, "c-1")
    assert client("GET", "/v1/customers/c-1")[0] == 200
    brain.checkpoint()
    brain.ledger._database.truncate_log()
    brain.close()
    assert flaws(workspace) == []
    kept = workspace.ledger_file.read_bytes()
    for statements, named in REMOVED.items():
        workspace.ledger_file.write_bytes(kept)
        with closing(sqlite3.connect(workspace.ledger_file)) as database:
            database.executescript(statements)
        assert named in " ".join(flaws(workspace)), statements


def flaws(workspace: Workspace) -> list[str]:
    found: list[str] = []
    add_ledger_flaws(workspace, found)
    return found


@pytest.mark.promise("looks.bounded")
def test_two_processes_record_the_same_look_once_and_both_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = known(client, "twice")
    other = Brain(client.brain.workspace)
    stream, before = client.brain.subject_stream(ids["customer"]), len(listed(client))
    look = looker_here("glance", None).at(stream, {})
    key = look.key(client.brain.ledger.clock())
    futures = [ledger.submit([look.entry(key)]) for ledger in (client.brain.ledger, other.ledger) for _ in range(3)]
    errors = [future.exception() for future in futures]
    assert [type(error) for error in errors if error is not None] == [Duplicate] * 5
    with monkeypatch.context() as patched:
        patched.setattr(other.ledger, "lookup", lambda _: None)  # it looked before the other one wrote
        assert access_looks.record_looks(other.ledger, [look])
    assert len(listed(client)) == before + 1
    both = [Client(brain, "agent") for brain in (client.brain, other)]
    assert [each("GET", f"/v1/customers/{ids['customer']}")[0] for each in both] == [200, 200]
    assert len(listed(client)) == before + 2
    other.close()


@pytest.mark.promise("looks.command-line")
def test_commands_record_the_user_of_the_system_and_list_looks(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ids, workspace = known(client, "command"), client.brain.workspace
    monkeypatch.setenv("LOGNAME", "somebody-else")
    who = looker_here("export", None).who
    assert (who.partition(":")[0], "somebody" in who) == ("user", False)
    export_customer(workspace, ids["customer"], tmp_path / "out.json", purpose="complaint 12")
    arguments = ["looks", ids["customer"], "--who", who, "--json", "--workspace", str(workspace.root)]
    shown = json.loads(CliRunner().invoke(command_line.main, arguments).stdout)
    (look,) = shown["looks"]
    assert shown["next"] is None
    assert (look["who"], look["role"], look["what"], look["purpose"], look["case"]) == (
        *(who, "admin", "export", "complaint", "12"),
    )
    wrong = ["export", ids["customer"], "--purpose", "jan de vries", "--workspace", str(workspace.root)]
    refused = CliRunner().invoke(command_line.main, wrong)
    assert (refused.exit_code, refused.output) == (1, f"--purpose: {EXPECTED}\n")
