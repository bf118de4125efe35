"""One customer is one customer: by id, by cookie, and under two ids that turn out to be one person."""

import asyncio
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json

from decisioning.deciding.arms import unit_of
from decisioning.deciding.record import Decision
from decisioning.facts.standing import Link
from features.ledger import now_us
from features.ledger.links import MAX_LINKED, join_entries
from serving.brain import releasing
from serving.brain.blocks import commit_all
from serving.brain.explaining import recomputes
from serving.brain.runtime import Brain
from serving.commands.offline import export_customer
from serving.commands.verifying import verify
from serving.contract import Ask, parse
from serving.customers.erasing import clean
from serving.settings import Workspace
from tests.serving.workspaces import Client, Json, ask, consent, offers, signal, small_workspace, welcome

TV = "tv-bundle"
CAPS = "caps: [{id: once, count: action, limit: 1, per: month}]\n\n"
TEXT = "{name: text, dtype: string}"
KEEPING = '{id: message-text, notice_version: "2026-01"}'
NUMBERS = count()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that offers television to everybody, visitors too, once a month."""
    workspace = small_workspace(tmp_path_factory.mktemp("one") / "ws")
    catalogue = workspace.root / "catalogue"
    policies = (catalogue / "policies.yaml").read_text()
    policies = re.sub(r"(?s)^policies:\n.*?\n\n", "", policies)
    policies = re.sub(r'when: "\w+"', 'when: "default(hardship, false)"', policies)
    (catalogue / "policies.yaml").write_text(re.sub(r"(?s)caps:\n.*?\n\n", CAPS, policies))
    actions = (catalogue / "actions.yaml").read_text()
    (catalogue / "actions.yaml").write_text(actions.replace("{monthly_fee_eur}", "something"))
    features, settings = catalogue / "features.yaml", catalogue / "settings.yaml"
    features.write_text(
        features.read_text().replace("fields: [{name: sentiment,", f"fields: [{TEXT}, {{name: sentiment,")
    )
    settings.write_text(settings.read_text().replace("purposes:\n", f"purposes:\n  - {KEEPING}\n", 1))
    (catalogue / "personas.yaml").unlink()
    releasing.release(workspace, "test")
    return workspace


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[Client]:
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


def body(who: str, **more: Any) -> Json:
    """Return a request of a customer, or of a visitor whose id begins with `cookie:`."""
    request = ask(f"one-{next(NUMBERS)}", who, placements=[{"name": "hero", "limit": 5}], **more)
    if who.startswith("cookie:"):
        request["visitor_id"] = request.pop("customer_id")
    return request


def tv(client: Client, who: str, **more: Any) -> bool:
    """Ask, and tell whether television was offered."""
    status, answer = client("POST", "/v1/decisions", body(who, **more))
    assert status == 200
    return TV in {o["action"] for o in offers(answer)}


def gate(client: Client, who: str) -> tuple[str, str]:
    """Return what withholds television from somebody now, and why."""
    answer = client("POST", "/v1/decisions", body(who))[1]
    why = client("GET", f"/v1/decisions/{answer['decision_id']}")[1]
    candidate = {c["treatment"]: c for c in why["candidates"]}[f"{TV}.web-hero"]
    return candidate["gate"], candidate["why"]


def allow(client: Client, *whos: str) -> None:
    """Record everything that an offer needs for customers, and for visitors."""
    for who in whos:
        if not who.startswith("cookie:"):
            welcome(client, who)
            continue
        for purpose in ("marketing", "profiling"):
            granted = consent(who, purpose)
            granted["visitor_id"] = granted.pop("customer_id")
            assert client("POST", "/v1/consents", granted)[0] == 200


def link(client: Client, customer: str, other: str, status: str = "linked", **more: Any) -> Json:
    """Link a cookie, or join another customer."""
    kind, _, value = other.rpartition(":")
    identifier = {"kind": kind or "customer", "value": value}
    about = {"customer_id": customer, "identifier": identifier, "status": status, "source": "test", **more}
    code, answer = client("POST", "/v1/identities", about)
    assert code == 200, answer
    return answer


def decline(client: Client, who: str) -> None:
    told = {"outcome_id": f"one-{next(NUMBERS)}", "customer_id": who, "action": TV, "outcome": "declined"}
    assert client("POST", "/v1/outcomes", told)[1]["recorded"] == 1


@pytest.mark.promise("identity.one-customer")
def test_a_customer_known_first_by_id_and_then_by_cookie_gets_one_of_a_cap_of_one(client: Client) -> None:
    allow(client, "id-first", "cookie:id-first")
    link(client, "id-first", "cookie:id-first")
    assert (tv(client, "id-first"), tv(client, "cookie:id-first")) == (True, False)
    assert gate(client, "cookie:id-first")[0] == "cap:once"


@pytest.mark.promise("identity.one-customer")
def test_a_customer_known_first_by_cookie_and_then_by_id_gets_one_of_a_cap_of_one(client: Client) -> None:
    allow(client, "cookie-first", "cookie:cookie-first")
    link(client, "cookie-first", "cookie:cookie-first")
    assert (tv(client, "cookie:cookie-first"), tv(client, "cookie-first")) == (True, False)


@pytest.mark.promise("identity.one-customer")
@pytest.mark.parametrize("first", ["late", "cookie:late"])
def test_what_was_shown_before_the_link_counts_after_it(client: Client, first: str) -> None:
    customer = "late-" + first.partition(":")[0]
    allow(client, customer, f"cookie:{customer}")
    shown, other = (customer, f"cookie:{customer}") if first == "late" else (f"cookie:{customer}", customer)
    assert tv(client, shown)
    assert tv(client, other, mode="preview")
    link(client, customer, f"cookie:{customer}")
    assert not tv(client, other)


@pytest.mark.promise("identity.one-customer")
def test_two_cookies_of_one_customer_get_one_of_a_cap_of_one(client: Client) -> None:
    allow(client, "two", "cookie:two-a", "cookie:two-b")
    link(client, "two", "cookie:two-a")
    link(client, "two", "cookie:two-b")
    assert (tv(client, "cookie:two-a"), tv(client, "cookie:two-b"), tv(client, "two")) == (True, False, False)


@pytest.mark.promise("identity.one-customer")
def test_what_a_customer_declined_by_id_is_suppressed_for_their_cookie(client: Client) -> None:
    allow(client, "said-no", "cookie:said-no")
    link(client, "said-no", "cookie:said-no")
    decline(client, "said-no")
    assert gate(client, "cookie:said-no")[0] == "suppressed:declined"


@pytest.mark.promise("identity.one-customer")
def test_once_unlinked_a_cookie_counts_alone_again(client: Client) -> None:
    allow(client, "left", "cookie:left")
    link(client, "left", "cookie:left")
    decline(client, "left")
    link(client, "left", "cookie:left", "unlinked")
    assert tv(client, "cookie:left")


@pytest.mark.promise("identity.one-customer")
def test_a_decision_for_a_linked_cookie_comes_out_again(client: Client) -> None:
    """It read the person's contacts, and neither their refusal nor their history."""
    allow(client, "again", "cookie:again")
    link(client, "again", "cookie:again")
    assert client("POST", "/v1/consents", consent("again", "marketing", "withdrawn"))[0] == 200
    answer = client("POST", "/v1/decisions", body("cookie:again"))[1]
    assert TV in {o["action"] for o in offers(answer)}
    link(client, "again", "cookie:again", "unlinked")
    record = client.brain.ledger.lookup(f"decision:{answer['decision_id']}")
    assert record is not None
    assert recomputes(client.brain, record)


def test_a_visitor_is_told_nothing_that_only_their_person_did(client: Client) -> None:
    """The person's consents, facts and signals stay theirs: a device may be shared."""
    allow(client, "private")
    link(client, "private", "cookie:private")
    client("POST", "/v1/signals", signal("page-view", "customer:private", page="paid-tv"))
    answer = client("POST", "/v1/decisions", body("cookie:private"))[1]
    why = client("GET", f"/v1/decisions/{answer['decision_id']}")[1]
    assert gate(client, "cookie:private") == ("consent:marketing", "no record")
    assert not {"age", "monthly_fee_eur"} & set(why["facts"])
    assert list(why["read"].get("signals", {})) == []


@pytest.mark.promise("identity.joined")
@pytest.mark.parametrize("first", [0, 1])
def test_two_ids_of_one_person_share_their_caps(client: Client, first: int) -> None:
    ids = [f"cap-{first}-{n}" for n in range(2)]
    allow(client, *ids)
    link(client, *ids)
    assert tv(client, ids[first])
    assert gate(client, ids[1 - first])[0] == "cap:once"


@pytest.mark.promise("identity.joined")
@pytest.mark.parametrize("first", [0, 1])
def test_what_one_id_declined_is_suppressed_for_the_other(client: Client, first: int) -> None:
    ids = [f"no-{first}-{n}" for n in range(2)]
    allow(client, *ids)
    decline(client, ids[first])
    link(client, *ids)
    assert gate(client, ids[1 - first])[0] == "suppressed:declined"


@pytest.mark.promise("identity.joined")
@pytest.mark.parametrize("status", ["withdrawn", "objected", "refused"])
def test_what_one_id_refused_binds_the_other_and_a_grant_gives_the_other_nothing(client: Client, status: str) -> None:
    ids = [f"{status}-{n}" for n in range(2)]
    allow(client, *ids)
    link(client, *ids)
    assert client("POST", "/v1/consents", consent(ids[0], "marketing", status))[0] == 200
    assert gate(client, ids[0]) == ("consent:marketing", status)
    assert gate(client, ids[1]) == ("consent:marketing", f"{status} under a joined id")
    allow(client, f"{status}-granted")
    link(client, f"{status}-granted", f"{status}-silent")
    assert gate(client, f"{status}-silent") == ("consent:marketing", "no record")
    assert tv(client, f"{status}-granted")


@pytest.mark.promise("identity.joined")
def test_a_restriction_of_one_id_holds_for_the_other(client: Client) -> None:
    allow(client, "free", "restricted")
    link(client, "free", "restricted")
    assert client("PATCH", "/v1/customers/restricted", {"restricted": True})[0] == 200
    assert gate(client, "free")[0] == "subject:restricted"


@pytest.mark.promise("identity.joined")
@pytest.mark.parametrize("told", [0, 1])
def test_a_protection_of_one_id_holds_for_the_other(client: Client, told: int) -> None:
    ids = [f"hard-{told}-{n}" for n in range(2)]
    asked = ids[1 - told]
    allow(client, *ids)
    link(client, *ids)
    assert client("PATCH", f"/v1/customers/{ids[told]}", {"facts": {"hardship": True}})[0] == 200
    assert gate(client, asked)[0].startswith("protection:")
    assert tv(client, asked, mode="preview", overrides={"hardship": False})
    link(client, *ids, status="unlinked")
    assert tv(client, asked)


@pytest.mark.promise("identity.joined")
def test_signals_of_either_id_are_seen_by_decisions_for_either(client: Client) -> None:
    allow(client, "signal-a", "signal-b")
    link(client, "signal-a", "signal-b")
    client("POST", "/v1/signals", signal("page-view", "customer:signal-b", page="paid-tv"))
    answer = client("POST", "/v1/decisions", body("signal-a"))[1]
    assert client("GET", f"/v1/decisions/{answer['decision_id']}")[1]["facts"]["paid_tv_views_30s"] == 1


@pytest.mark.promise("identity.joined")
def test_a_message_is_not_kept_against_a_refusal_under_a_joined_id(client: Client) -> None:
    allow(client, "text-a", "text-b")
    for customer in ("text-a", "text-b"):
        assert client("POST", "/v1/consents", consent(customer, "message-text"))[0] == 200
    for status, kept in (("granted", True), ("withdrawn", False)):
        assert client("POST", "/v1/consents", consent("text-b", "message-text", status))[0] == 200
        link(client, "text-a", "text-b")
        said = signal("message", "customer:text-a", text="This is terrible.", language="en")
        assert client("POST", "/v1/signals", said)[1]["accepted"] == 1
        event = client("GET", "/v1/customers/text-a/export")[1]["events"][-1]
        assert ("text" in event["fields"]) is kept


@pytest.mark.promise("identity.joined")
def test_joining_reaches_over_a_third_id_and_the_cookies_of_all(client: Client) -> None:
    allow(client, "chain-a", "chain-b", "chain-c", "cookie:chain-c")
    link(client, "chain-a", "chain-b")
    link(client, "chain-c", "chain-b")
    link(client, "chain-c", "cookie:chain-c")
    assert tv(client, "chain-a")
    assert [gate(client, who)[0] for who in ("chain-b", "chain-c", "cookie:chain-c")] == ["cap:once"] * 3
    link(client, "chain-b", "chain-a", "unlinked")
    assert (tv(client, "cookie:chain-c"), tv(client, "chain-b")) == (True, False)


@pytest.mark.promise("identity.joined")
def test_a_join_is_undone_from_either_id_and_what_was_decided_comes_out_again(
    client: Client, workspace: Workspace
) -> None:
    allow(client, "undo-a", "undo-b")
    link(client, "undo-a", "undo-b")
    assert tv(client, "undo-a")
    withheld = client("POST", "/v1/decisions", body("undo-b"))[1]
    link(client, "undo-b", "undo-a", "unlinked")
    assert tv(client, "undo-b")
    record = client.brain.ledger.lookup(f"decision:{withheld['decision_id']}")
    assert record is not None
    assert record.body is not None
    assert list(record.body["read"]["linked"]) == [client.brain.subject_stream("undo-a")]
    assert recomputes(client.brain, record)
    assert verify(workspace, None)["different"] == []


def test_an_older_word_never_undoes_a_newer_and_the_same_is_kept_once(client: Client) -> None:
    read, at = client.brain.ledger.read, "2026-02-01T00:00:00Z"
    streams = [client.brain.subject_stream(name) for name in ("word-a", "word-b")]
    for _ in range(2):
        link(client, "word-a", "word-b", "unlinked", occurred_at=at)
    link(client, "word-b", "word-a", "unlinked", occurred_at=at)
    assert [s.version for s in read(*streams)] == [1, 1]
    older = link_status(client, "word-b", "word-a", occurred_at="2026-01-01T00:00:00Z")
    assert (older, [s.joined for s in read(*streams)]) == ("unlinked", [(), ()])
    assert link_status(client, "word-b", "word-a") == "linked"
    assert [s.joined for s in read(*streams)] == [(streams[1],), (streams[0],)]


def link_status(client: Client, customer: str, other: str, **more: Any) -> Any:
    return link(client, customer, other, **more)["status"]


@pytest.mark.promise("identity.joined")
def test_an_export_of_either_id_has_what_is_held_under_both(client: Client) -> None:
    allow(client, "export-a", "export-b", "cookie:export")
    link(client, "export-a", "export-b")
    link(client, "export-b", "cookie:export")
    client("POST", "/v1/signals", signal("page-view", "customer:export-b", page="paid-tv"))
    assert tv(client, "export-b")
    for own, other in (("export-a", "export-b"), ("export-b", "export-a")):
        content = client("GET", f"/v1/customers/{own}/export")[1]
        assert [c["customer"] for c in content["customers"]] == [client.brain.subject_stream(other)]
        assert content["customers"][0]["facts"]["age"] == content["facts"]["age"] == 40
        assert {p["feature"] for p in content["customers"][0]["profile"]} == {p["feature"] for p in content["profile"]}
        assert [v["visitor"] for v in content["visitors"]] == [client.brain.subject_stream(None, "cookie:export")]
        assert len({r["subject"] for r in content["records"]}) == 3
        assert len(content["events"]) == 1


@pytest.mark.promise("identity.joined")
@pytest.mark.parametrize("asked", [0, 1])
def test_erasing_either_id_erases_both_with_their_cookies(client: Client, workspace: Workspace, asked: int) -> None:
    ids = [f"erase-{asked}-{n}" for n in range(2)]
    cookies = [f"cookie:{name}" for name in ids]
    allow(client, *ids, *cookies)
    for customer, cookie in zip(ids, cookies, strict=True):
        link(client, customer, cookie)
    link(client, *ids)
    assert client("DELETE", f"/v1/customers/{ids[asked]}")[0] == 200
    streams = [client.brain.subject_stream(i) for i in ids] + [client.brain.subject_stream(None, c) for c in cookies]
    assert all(standing.erased for standing in client.brain.ledger.read(*streams))
    assert all(not stored.raw for stored in client.brain.snapshot.profiles.read(streams, now_us=now_us()))
    assert verify(workspace, None)["flaws"] == []


@pytest.mark.parametrize("other", ["filed-b", "cookie:filed"])
def test_a_file_of_an_export_goes_with_every_identifier_that_was_in_it(
    client: Client, workspace: Workspace, tmp_path: Path, other: str
) -> None:
    customer = f"filed-{other.partition(':')[0]}"
    allow(client, customer, other)
    link(client, customer, other)
    file = tmp_path / "export.json"
    export_customer(workspace, customer, file)
    link(client, customer, other, "unlinked")
    whose, name = ("visitors", other) if other.startswith("cookie:") else ("customers", other)
    assert client("DELETE", f"/v1/{whose}/{name}")[0] == 200
    clean(client.brain)
    assert not file.exists()


def test_after_undoing_a_join_erasing_one_id_leaves_the_other(client: Client) -> None:
    allow(client, "part-a", "part-b")
    link(client, "part-a", "part-b")
    link(client, "part-a", "part-b", "unlinked")
    assert client("DELETE", "/v1/customers/part-a")[0] == 200
    assert tv(client, "part-b")
    for one, other, code, field in (
        ("part-b", "part-a", 410, "identifier"),
        ("part-a", "part-b", 410, "customer_id"),
    ):
        about = {"customer_id": one, "identifier": {"kind": "customer", "value": other}}
        status, problem = client("POST", "/v1/identities", {**about, "status": "linked", "source": "test"})
        assert (status, problem["field"]) == (code, field)


@pytest.mark.promise("identity.joined", "caps.exact-in-races")
@pytest.mark.parametrize("other", ["customer", "cookie"])
def test_a_cap_is_exact_while_both_identifiers_are_decided_at_once(client: Client, other: str) -> None:
    for n in range(4):
        one, two = f"race-{other}-{n}", f"{'cookie:' if other == 'cookie' else ''}race-{other}-{n}-b"
        allow(client, one, two)
        link(client, one, two)
        bodies = [body(who) for who in (one, two, one, two)]

        async def at_once(bodies: list[Json] = bodies) -> list[tuple[int, Json]]:
            return await asyncio.gather(*(client.ask("POST", "/v1/decisions", b) for b in bodies))

        answers = asyncio.run(at_once())
        assert {status for status, _ in answers} <= {200, 503}
        shown = [o["action"] for status, answer in answers if status == 200 for o in offers(answer)]
        assert shown.count(TV) == 1


@pytest.mark.promise("identity.joined")
def test_a_join_between_reading_and_committing_is_not_missed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(client, "meanwhile-a", "meanwhile-b")
    decline(client, "meanwhile-b")
    known, readings = client.brain.known, count(1)

    def then_joined(*arguments: Any, **more: Any) -> Any:
        result = known(*arguments, **more)
        if next(readings) == 1:
            stream, other = (client.brain.subject_stream(f"meanwhile-{n}") for n in "ab")
            word = Link(other, "customer", "test", now_us(), True)
            client.brain.ledger.append(
                join_entries(*client.brain.ledger.read(stream, other), link=word, now_us=now_us())
            )
        return result

    monkeypatch.setattr(client.brain, "known", then_joined)
    assert not tv(client, "meanwhile-a")
    assert next(readings) > 2


@pytest.mark.promise("identity.joined")
def test_a_batch_of_both_ids_offers_once(client: Client) -> None:
    allow(client, "batch-a", "batch-b")
    link(client, "batch-a", "batch-b")
    asks = [parse(Ask, to_json(body(who))) for who in ("batch-a", "batch-b")]
    committed = commit_all(client.brain, asks)
    answers = [one.answer if isinstance(one, Decision) else one for one in committed]
    assert all(isinstance(answer, dict) for answer in answers)
    assert [o["action"] for answer in answers for o in offers(answer)].count(TV) == 1
    assert len(answers) == 2


def test_both_ids_are_in_one_control_group(client: Client) -> None:
    allow(client, "arm-a", "arm-b", "cookie:arm")
    link(client, "arm-b", "cookie:arm")
    link(client, "arm-b", "arm-a")
    brain = client.brain
    asks = [parse(Ask, to_json(body(who))) for who in ("arm-a", "arm-b", "cookie:arm")]
    units = {unit_of(brain.known(ask, brain.snapshot, now_us()), "person") for ask in asks}
    assert units == {min(brain.subject_stream("arm-a"), brain.subject_stream("arm-b"))}


def test_so_many_identifiers_are_one_person_and_no_more(client: Client) -> None:
    for n in range(MAX_LINKED // 2):
        link(client, "many-a", f"cookie:many-a-{n}")
        link(client, "many-b", f"cookie:many-b-{n}")
    about = {"customer_id": "many-a", "identifier": {"kind": "customer", "value": "many-b"}, "status": "linked"}
    code, problem = client("POST", "/v1/identities", {**about, "source": "test"})
    assert (code, f"{MAX_LINKED} linked identifiers" in problem["detail"]) == (422, True)
    link(client, "many-b", "cookie:many-b-0", "unlinked")
    link(client, "many-a", "many-b")
    about["identifier"] = {"kind": "cookie", "value": "many-c"}
    assert client("POST", "/v1/identities", {**about, "source": "test"})[0] == 422


@pytest.mark.parametrize(
    ("identifier", "field"),
    [
        ({"kind": "customer", "value": "self"}, "identifier"),
        ({"kind": "customer", "value": "é"}, "identifier.value"),
        ({"kind": "person", "value": "x"}, "identifier.kind"),
    ],
)
def test_what_cannot_be_joined_is_refused(client: Client, identifier: Json, field: str) -> None:
    about = {"customer_id": "self", "identifier": identifier, "status": "linked", "source": "test"}
    code, problem = client("POST", "/v1/identities", about)
    assert (code, problem["field"]) == (422, field)
