"""One type of id: every route, body, signal and command refuses the same, and what is decided for can be erased."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner

import brain as command_line
from decisioning.facts.forms import Ask, canonical, recorded_ask
from decisioning.facts.ids import BAD_FORM, IS_ABSENT, IS_FORMULA, IS_ROUNDED, IS_UNADDRESSABLE
from features.ledger import Entry, now_us
from serving.brain.runtime import Brain
from serving.commands.verifying import verify
from tests.serving.workspaces import Client, ask, consent, signal, small_workspace

NO_IDS = {
    " a": BAD_FORM,
    "a ": BAD_FORM,
    "a\0b": BAD_FORM,
    "a\r\nb": BAD_FORM,
    "a\n": BAD_FORM,
    "é": BAD_FORM,
    "�": BAD_FORM,
    "x" * 129: BAD_FORM,
    "null": IS_ABSENT,
    "NaN": IS_ABSENT,
    "None": IS_ABSENT,
    "NA": IS_ABSENT,
    "#N/A": IS_ABSENT,
    "undefined": IS_ABSENT,
    "cookie:null": IS_ABSENT,
    ".": IS_UNADDRESSABLE,
    "..": IS_UNADDRESSABLE,
    "1.23457E+15": IS_ROUNDED,
    "1,23457E+15": IS_ROUNDED,
    "1.234567890123456e+15": IS_ROUNDED,
    '="00777"': IS_FORMULA,
}
IDS = (
    *(
        "00777",
        "777",
        "1e5",
        "1.10",
        "1E10",
        "-5",
        "0",
        "a/b",
        "x/export",
        "/",
        "//",
        "a/../b",
        "a%2Fb",
        "%",
        "%ff",
        "~",
    ),
    *("?", "#", "a b", "a+b", "'", '"', '"a"', "\\", "c:d", "=", "null2", "shop:1", "[", "{}", ";", "&", "x" * 128),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("ids") / "ws"))
    yield Client(brain)
    brain.close()


def _path(id_: str) -> str:
    return quote(id_, safe="")


FACT = {"facts": {"age": 40}}
OUTCOME = {"action": "tv-bundle", "outcome": "accepted"}


def _link(customer: str, value: str, kind: str = "visitor") -> dict[str, Any]:
    identifier = {"kind": kind, "value": value}
    return {"customer_id": customer, "identifier": identifier, "status": "linked", "source": "login"}


PLACES: dict[str, Callable[[str], tuple[str, str, Any]]] = {
    "customer_id of GET customers": lambda i: ("GET", f"/v1/customers/{_path(i)}", None),
    "customer_id of PATCH customers": lambda i: ("PATCH", f"/v1/customers/{_path(i)}", FACT),
    "customer_id of GET export": lambda i: ("GET", f"/v1/customers/{_path(i)}/export", None),
    "customer_id of DELETE customers": lambda i: ("DELETE", f"/v1/customers/{_path(i)}", None),
    "visitor_id of GET export": lambda i: ("GET", f"/v1/visitors/{_path(i)}/export", None),
    "visitor_id of PATCH visitors": lambda i: ("PATCH", f"/v1/visitors/{_path(i)}", {"restricted": False}),
    "visitor_id of DELETE visitors": lambda i: ("DELETE", f"/v1/visitors/{_path(i)}", None),
    "decision_id of GET decisions": lambda i: ("GET", f"/v1/decisions/{_path(i)}", None),
    "customer_id of the stream": lambda i: ("GET", f"/v1/moments/stream?channel=web&customer_id={_path(i)}", None),
    "request_id of decisions": lambda i: ("POST", "/v1/decisions", ask(i)),
    "customer_id of decisions": lambda i: ("POST", "/v1/decisions", ask("r", i)),
    "account_id of decisions": lambda i: ("POST", "/v1/decisions", ask("r", account_id=i)),
    "visitor_id of decisions": lambda i: ("POST", "/v1/decisions", ask("r", None, visitor_id=i)),  # type: ignore[arg-type]
    "customer_id of consents": lambda i: ("POST", "/v1/consents", consent(i, "marketing")),
    "visitor_id of consents": lambda i: (
        "POST",
        "/v1/consents",
        {**consent("", "marketing"), "customer_id": None, "visitor_id": i},
    ),
    "outcome_id of outcomes": lambda i: ("POST", "/v1/outcomes", {"outcome_id": i, "customer_id": "c-1", **OUTCOME}),
    "offer_id of outcomes": lambda i: ("POST", "/v1/outcomes", {"outcome_id": "o", "offer_id": i, "outcome": "seen"}),
    "customer_id of outcomes": lambda i: ("POST", "/v1/outcomes", {"outcome_id": "o", "customer_id": i, **OUTCOME}),
    "customer_id of identities": lambda i: ("POST", "/v1/identities", _link(i, "v-1")),
    "identifier.value of identities": lambda i: ("POST", "/v1/identities", _link("c-1", i)),
    "subject of a customer's signals": lambda i: ("POST", "/v1/signals", signal("page-view", f"customer:{i}")),
    "subject of an account's signals": lambda i: ("POST", "/v1/signals", signal("page-view", f"account:{i}")),
    "subject of a visitor's signals": lambda i: ("POST", "/v1/signals", signal("page-view", f"visitor:{i}")),
    "subject of a cookie's signals": lambda i: ("POST", "/v1/signals", signal("page-view", f"cookie:{i}")),
}


@pytest.mark.promise("identity.one-type-of-id")
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_id_is_refused_at_every_place(client: Client, place: str) -> None:
    for id_, reason in NO_IDS.items():
        status, problem = client(*PLACES[place](id_))
        assert status == 422, (place, id_, problem)
        told = problem["results"][0] if "results" in problem else problem
        assert told["field"] == place.partition(" ")[0], (id_, told)
        assert id_ not in told["detail"] or len(id_) < 3, told
        if reason != BAD_FORM:
            assert told["detail"].endswith(reason), (id_, told)


@pytest.mark.promise("identity.one-type-of-id")
@pytest.mark.parametrize("command", [("export",), ("erase", "--yes"), ("restrict",)], ids=lambda c: c[0])
def test_what_is_no_id_is_refused_by_every_command(client: Client, command: tuple[str, ...]) -> None:
    for id_, reason in NO_IDS.items():
        where = ["--workspace", str(client.brain.workspace.root)]
        result = CliRunner().invoke(command_line.main, [command[0], *command[1:], *where, "--", id_])
        assert (result.exit_code, result.stderr) == (1, f"customer_id: {reason}\n"), (id_, result.output)


@pytest.mark.promise("identity.one-type-of-id")
@pytest.mark.parametrize("id_", ["é", "NA", " x ", "1.23457E+15"])
def test_who_was_recorded_under_an_id_that_is_refused_now_can_be_exported_and_erased(client: Client, id_: str) -> None:
    """Earlier versions took such ids."""
    brain, where = client.brain, ["--json", "--workspace", str(client.brain.workspace.root)]
    stream = brain.subject_stream(id_)
    brain.ledger.append([Entry(stream, "flag", {"restricted": True}, now_us())])
    for command in (["export"], ["erase", "--yes"]):
        result = CliRunner().invoke(command_line.main, [*command, *where, "--", id_])
        assert result.exit_code == 0, result.output
    assert brain.ledger.read(stream)[0].erased


@pytest.mark.parametrize("encoded", ["%ff%fe", "a%ff", "%C3%28", "a%c0%afb"])
def test_bytes_that_are_not_utf_8_do_not_become_an_id(client: Client, encoded: str) -> None:
    for method, rest in (("GET", ""), ("GET", "/export"), ("DELETE", "")):
        status, problem = client(method, f"/v1/customers/{encoded}{rest}")
        assert (status, problem["field"], problem["detail"]) == (422, "customer_id", BAD_FORM)
    raw = json.dumps(ask("r", "x")).encode().replace(b'"x"', b'"x\xff"')
    assert client("POST", "/v1/decisions", raw)[0] == 422


@pytest.mark.promise("identity.one-type-of-id")
def test_every_id_that_can_be_decided_for_can_be_read_exported_and_erased(client: Client) -> None:
    for n, id_ in enumerate(IDS):
        path = f"/v1/customers/{_path(id_)}"
        assert client("POST", "/v1/decisions", ask(f"decided-{n}", id_))[0] == 200, id_
        assert client("PATCH", path, {"facts": {"age": 20 + n}})[0] == 200, id_
    for n, id_ in enumerate(IDS):
        path = f"/v1/customers/{_path(id_)}"
        status, known = client("GET", path)
        assert (status, known["customer_id"], known["facts"]["age"]) == (200, id_, 20 + n), id_
        status, export = client("GET", f"{path}/export")
        assert (status, export["customer_id"], export["facts"]["age"]) == (200, id_, 20 + n), id_
        assert [r["body"]["request"]["customer_id"] for r in export["records"] if r["kind"] == "decision"] == [id_]
    for n, id_ in enumerate(IDS):
        path = f"/v1/customers/{_path(id_)}"
        assert client("DELETE", path) == (200, {"customer_id": id_, "erased": True})
        assert client("GET", path)[1]["erased"]
        assert all(client("GET", f"/v1/customers/{_path(i)}")[1]["facts"] for i in IDS[n + 1 : n + 2]), id_


def test_what_needs_no_encoding_may_be_encoded_all_the_same(client: Client) -> None:
    assert client("PATCH", "/v1/customers/plain-1", FACT)[0] == 200
    assert client("GET", "/v1/%63ustomers/pl%61in%2d1")[1]["facts"] == {"age": 40}


def test_a_decision_recorded_for_what_was_an_id_then_replays(tmp_path: Any) -> None:
    """`NA` and `null` could be decided for, and such records replay byte for byte."""
    workspace = small_workspace(tmp_path / "ws")
    brain = Brain(workspace)
    old = recorded_ask(ask("NaN", "NA", account_id="null"))
    with pytest.raises(ValueError, match="where there is no id"):
        Ask.model_validate_json(canonical(old.model_dump()))
    asyncio.run(brain.answer(old))
    brain.close()
    assert verify(workspace, None)["recomputed"] == 1
    assert verify(workspace, None)["different"] == []


TWICE: dict[str, tuple[str, str, str, str]] = {
    "decisions": ("POST", "/v1/decisions", '{"customer_id": "c-2", %s', "customer_id"),
    "decisions, in context": ("POST", "/v1/decisions", '{"context": {"page": "help", "page": "home"}, %s', "page"),
    "consents": ("POST", "/v1/consents", '{"status": "withdrawn", %s', "status"),
    "outcomes": ("POST", "/v1/outcomes", '{"outcome": "declined", %s', "outcome"),
    "identities": ("POST", "/v1/identities", '{"customer_id": "c-2", %s', "customer_id"),
    "a profile": ("PATCH", "/v1/customers/c-1", '{"facts": {"age": 1}, %s', "facts"),
    "a visitor": ("PATCH", "/v1/visitors/v-1", '{"restricted": true, %s', "restricted"),
    "signals": ("POST", "/v1/signals", '{"subject": "customer:c-2", %s', "subject"),
}
BODIES: dict[str, Any] = {
    "/v1/decisions": ask("twice"),
    "/v1/consents": consent("c-1", "marketing"),
    "/v1/outcomes": {"outcome_id": "o", "customer_id": "c-1", **OUTCOME},
    "/v1/identities": _link("c-1", "v-twice"),
    "/v1/customers/c-1": FACT,
    "/v1/visitors/v-1": {"restricted": False},
    "/v1/signals": signal("page-view", "customer:c-1", page="help"),
}


@pytest.mark.promise("serving.keys-once")
@pytest.mark.parametrize("case", TWICE)
def test_a_key_that_stands_twice_is_refused_in_every_body(client: Client, case: str) -> None:
    method, path, start, field = TWICE[case]
    content = {k: v for k, v in BODIES[path].items() if not (k == "context" and field == "page")}
    body = json.dumps(content | ({"request_id": case} if "request_id" in content else {}))
    twice = start % body[1:]
    forms = [
        twice,
        twice.replace('": ', '" : '),
        twice.replace(f'"{field}"', f'"\\u{ord(field[0]):04x}{field[1:]}"', 1),
    ]
    if path in ("/v1/consents", "/v1/outcomes", "/v1/signals"):
        forms += [f"[{body}, {twice}]"]
    for form in forms:
        status, problem = client(method, path, form.encode())
        assert (status, problem["field"], problem["detail"]) == (422, field, "stands twice in one object"), form
    assert client(method, path, body.encode())[0] == 200
