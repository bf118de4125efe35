"""The rights of customers and the promises of the ledger: erasure, restriction, withdrawal and replay."""

import asyncio
import json
import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from decisioning.facts.forms import Ask, Scores
from features.ledger import Entry, now_us
from features.ledger.tables import DELIVERIES
from serving.brain.runtime import Brain
from serving.brain.trials import Model, Models
from serving.commands import batch
from serving.commands.offline import erase_customer, export_customer
from serving.commands.verifying import verify
from serving.contract import ConsentIn
from serving.customers import erasing
from serving.customers.recording import record_consent
from serving.events.moments import Watcher
from serving.settings import Workspace
from tests.promises.marked_customers import (
    WRITES,
    Marks,
    add_past,
    export,
    learning_context,
    marked_workspace,
    store_everything,
    traces_in,
    train,
    write_batch,
)
from tests.serving.workspaces import FACTS, Client, Json, ask, consent, decide_and_send, offers, signal, welcome
from training.learning.workflow import training_set

NUMBERS = count()


def check_erasure(root: Path, customers: int, *, learn: bool) -> None:
    """Store, use and erase customers in every way there is, and check that only the traces of one other stay."""
    workspace = marked_workspace(root / "ws")
    marks = [Marks(f"zxq{uuid.uuid4().hex[:12]}w") for _ in range(customers)]
    other = Marks("zxqstaysherew")
    brain = Brain(workspace)
    out = use_everywhere(brain, marks, other, learn=learn)
    everything = set().union(*(one.everything for one in marks))
    stored = {mark for _, mark in traces_in(workspace, everything)}
    assert stored == {one.mark.encode() for one in marks}, "all was stored, but addresses only as hashes"
    erase_all(brain, marks)
    assert traces_in(workspace, everything) == []
    assert not (workspace.root / "export.json").exists()
    assert set(pq.read_table(out)["customer_id"].to_pylist()) == {other.customer}
    assert traces_in(workspace, {other.mark.encode()})
    checked = verify(workspace, 20)
    assert (checked["flaws"], checked["different"], checked["checkpoints"] > 0) == ([], [], True)


def use_everywhere(brain: Brain, marks: list[Marks], other: Marks, *, learn: bool) -> Path:
    """Store all customers, decide for them, train on `marks` and export the first; return the file of a batch."""
    workspace, client = brain.workspace, Client(brain)

    async def store_all() -> None:
        for one in (*marks, other):
            await store_everything(client, one)
        await asyncio.to_thread(decide_and_send, Watcher(brain))

    asyncio.run(store_all())
    assert {client("GET", f"/v1/customers/{one.customer}")[0] for one in marks} == {200}
    brain.compact()
    if learn:
        add_past(brain, marks)
        train(workspace, brain)
    out = write_batch(workspace, [*marks, other])
    export_customer(workspace, marks[0].customer, workspace.root / "export.json")
    return out


def erase_all(brain: Brain, marks: list[Marks]) -> None:
    """Erase two customers by the command line, after the others over HTTP; closes the brain in between."""
    for one in marks[2:]:
        erase(Client(brain), one.customer)
    brain.checkpoint()
    brain.close()
    for one in marks[:2]:
        erase_customer(brain.workspace, one.customer)


@pytest.mark.promise("erasure.every-file")
def test_twelve_erased_customers_leave_no_plaintext_in_any_file(tmp_path: Path) -> None:
    check_erasure(tmp_path, 12, learn=False)


@pytest.mark.promise("erasure.every-file")
@pytest.mark.long
def test_a_thousand_erased_customers_leave_no_plaintext_in_any_file(tmp_path: Path) -> None:
    """Also in MLflow's files, after a model was trained on all of them."""
    check_erasure(tmp_path, 1000, learn=True)


@pytest.mark.promise("erasure.every-file")
def test_what_is_written_about_the_erased_meanwhile_is_gone_after_the_stated_time(
    client: Client, workspace: Workspace
) -> None:
    """A profile written at the same time as the erasure is removed by the next cleaning."""
    one, profiles = Marks("zxqmeanwhilew"), client.brain.snapshot.profiles
    asyncio.run(store_everything(client, one))
    stream = client.brain.ledger.stream_of("person", one.customer)
    assert client("DELETE", f"/v1/customers/{one.customer}")[0] == 200
    profiles.write(stream, {"nickname": one.mark}, now_us(), now_us=now_us())
    client.brain.compact()
    assert traces_in(workspace, {one.mark.encode()})
    assert erasing.clean(client.brain) == 1
    assert traces_in(workspace, {one.mark.encode()}) == []
    assert erasing.clean(client.brain) == 0
    assert workspace.settings.erasure.within_s <= 3600


@pytest.mark.promise("erasure.every-file")
def test_a_visitor_is_erased_and_left_alone(client: Client, workspace: Workspace) -> None:
    mark = "zxqvisitorw"
    visitor = f"cookie:{mark}"
    consent_body = {"visitor_id": visitor, "purpose": "marketing", "status": "granted", "source": mark}
    assert client("POST", "/v1/consents", {**consent_body, "notice_version": "2026-01"})[0] == 200
    assert client("POST", "/v1/signals", signal("search", visitor, words=mark))[0] == 200
    contents = json.dumps(client("GET", f"/v1/visitors/{visitor}/export")[1])
    assert contents.count(mark) >= 3
    assert client("DELETE", f"/v1/visitors/{visitor}") == (200, {"visitor_id": visitor, "erased": True})
    assert traces_in(workspace, {mark.encode()}) == []
    request = {**ask("erased-visitor"), "visitor_id": visitor}
    del request["customer_id"]
    status, answer = client("POST", "/v1/decisions", request)
    assert (status, offers(answer)) == (200, [])
    assert client("PATCH", f"/v1/visitors/{visitor}", {"restricted": True})[0] == 410


def test_a_file_that_is_no_longer_ours_is_left_alone(workspace: Workspace, client: Client) -> None:
    one = Marks("zxqsomebodysw")
    asyncio.run(store_everything(client, one))
    out = workspace.root / "mine.json"
    export_customer(workspace, one.customer, out)
    out.write_text(f"my own words about {one.mark}")
    erase_customer(workspace, one.customer)
    assert out.exists()
    out.unlink()


Stop = Callable[[Client, str], None]
"""Erases or restricts a customer."""


def erase(client: Client, customer: str) -> None:
    assert client("DELETE", f"/v1/customers/{customer}")[0] == 200


def restrict(client: Client, customer: str) -> None:
    assert client("PATCH", f"/v1/customers/{customer}", {"restricted": True})[0] == 200


@pytest.fixture(params=[erase, restrict])
def stop(request: pytest.FixtureRequest) -> Stop:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.promise("erasure.restricted-and-erased-unused")
def test_the_erased_and_the_restricted_are_never_scored_or_contacted(
    client: Client, workspace: Workspace, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a request, not in a batch, not at a moment; and none of their facts is read."""
    one = Marks(f"zxq{next(NUMBERS)}w")
    asyncio.run(store_everything(client, one))
    brain = client.brain
    assert client("POST", "/v1/signals", signal("search", f"customer:{one.customer}", words="again"))[0] == 200
    stop(client, one.customer)
    assert client("POST", "/v1/signals", signal("search", f"customer:{one.customer}", words="more"))[0] in (200, 410)

    def scored(*_: Any) -> Scores:
        raise AssertionError("scored")

    monkeypatch.setattr(brain, "snapshot", replace(brain.snapshot, models=Models(Model("m", scored))))
    stream = brain.ledger.stream_of("person", one.customer)
    decide_and_send(Watcher(brain))
    assert not brain.ledger.select(select(DELIVERIES).where(DELIVERIES.c.stream == stream))
    for channel in ("web", "email", "agent"):
        status, answer = client("POST", "/v1/decisions", ask(f"silent {next(NUMBERS)}", one.customer, channel))
        assert (status, offers(answer), answer["handover"]) == (200, [], None)
        record = brain.ledger.lookup(f"decision:{answer['decision_id']}")
        assert record is not None
        assert record.body is None or not set(record.body["facts"]) & {*FACTS, "last_words", "sentiment"}
    decider = batch.Decider(str(workspace.root), "web", ("sidebar",), f"silent {next(NUMBERS)}")
    assert decider(pa.table({"customer_id": [one.customer]}))["offer_id"].to_pylist() == [None]
    decider._brain.close()


@pytest.mark.promise("erasure.restricted-and-erased-unused")
def test_the_erased_and_the_restricted_are_never_trained_on(client: Client, stop: Stop) -> None:
    brain, marks = client.brain, [Marks(f"zxqlearn{next(NUMBERS)}w") for _ in range(4)]
    for one in marks:
        welcome(client, one.customer)
    add_past(brain, marks)
    context = learning_context(brain.workspace, brain)

    def rows() -> int:
        return len(training_set(context, now_us()))

    before = rows()
    stop(client, marks[0].customer)
    assert rows() == before - 1
    client("PATCH", f"/v1/customers/{marks[0].customer}", {"restricted": False})
    assert rows() == before - (stop is erase)


@pytest.mark.promise("erasure.restricted-and-erased-unused")
def test_a_restriction_is_lifted(client: Client) -> None:
    welcome(client, "c-lifted")
    before = offers(client("POST", "/v1/decisions", ask("lift-0", "c-lifted", mode="preview"))[1])
    restrict(client, "c-lifted")
    assert client("GET", "/v1/customers/c-lifted")[1]["restricted"]
    assert offers(client("POST", "/v1/decisions", ask("lift-1", "c-lifted", mode="preview"))[1]) == []
    assert client("PATCH", "/v1/customers/c-lifted", {"restricted": False})[0] == 200
    after = offers(client("POST", "/v1/decisions", ask("lift-0", "c-lifted", mode="preview"))[1])
    assert [o["treatment"] for o in after] == [o["treatment"] for o in before] != []


@pytest.mark.promise("consent.withdrawal-in-every-order")
@pytest.mark.parametrize("moment", ["known", "decide", "_entries"])
@pytest.mark.parametrize("repeated", [False, True])
def test_a_withdrawal_on_another_replica_binds_what_was_being_decided(
    client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, moment: str, repeated: bool
) -> None:
    """The withdrawal is acknowledged after each step of a request, which is new or repeated."""
    customer, brain, other = f"c-{moment}-{repeated}", client.brain, Brain(workspace)
    welcome(client, customer)
    body = ask(f"{moment} {repeated}", customer)
    if repeated:
        assert offers(client("POST", "/v1/decisions", body)[1])
    fields = ConsentIn.model_validate(consent(customer, "marketing", "withdrawn")).body()
    withdrawal = Entry(brain.ledger.stream_of("person", customer), "consent", fields, now_us())
    step, times, replica = getattr(brain, moment), count(), Client(other)

    def then_withdrawn(*arguments: Any, **more: Any) -> Any:
        result = step(*arguments, **more)
        if next(times) == 0:
            other.ledger.append([withdrawal])
        return result

    monkeypatch.setattr(brain, moment, then_withdrawn)
    answers = [client("POST", "/v1/decisions", body)[1] for _ in range(2)]
    answers.append(replica("POST", "/v1/decisions", body)[1])
    other.close()
    sold = [[o["action"] for o in offers(a) if o["issue"] == "grow"] for a in answers]
    assert sold[1:] == [[], []]
    records = list(brain.ledger.records(brain.ledger.stream_of("person", customer)))
    withdrawn = next(r.version for r in records if (r.body or {}).get("status") == "withdrawn")
    later = [c for r in records if r.version > withdrawn for c in (r.body or {}).get("contacts", ())]
    assert [c for c in later if c["issue"] == "grow"] == []
    assert repeated or sold[0] == []


@pytest.mark.promise("erasure.every-file")
def test_what_is_repeated_on_an_accounts_stream_names_nothing_of_the_person(
    client: Client, workspace: Workspace
) -> None:
    ledger, mark, customers = client.brain.ledger, "zxqaccountw", []
    account = ledger.stream_of("account", "a-shared")
    while not any(r.kind == "outcome" for r in ledger.records(account)):  # which offers come up is left to chance
        customers.append(f"id {mark} {len(customers)}")
        welcome(client, customers[-1])
        request = ask(f"account {len(customers)}", customers[-1], placements=[{"name": "hero", "limit": 5}])
        for offer in offers(client("POST", "/v1/decisions", {**request, "account_id": "a-shared"})[1]):
            outcome = {
                "offer_id": offer["offer_id"],
                "outcome": "declined",
                "outcome_id": f"{mark} {offer['offer_id']}",
            }
            assert client("POST", "/v1/outcomes", outcome)[0] == 200
    for customer in customers:
        erase(client, customer)
    assert traces_in(workspace, {mark.encode()}) == []


@pytest.mark.promise("ledger.unreachable")
def test_ledger_out_of_reach_writes_nothing_and_answers_503(
    client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every kind of request; the answer to a decision has only the placement's static fallback."""
    welcome(client, "c-away")
    monkeypatch.setattr("features.ledger.database.PATIENCE_S", 0.05)
    other = sqlite3.connect(workspace.ledger_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    request = ask("away", "c-away", placements=[{"name": "hero", "fallback": "static-hero"}])
    status, problem = client("POST", "/v1/decisions", request)
    assert (status, problem["fallbacks"]) == (503, {"hero": "static-hero"})
    assert not {"placements", "offers", "decision_id"} & set(problem)
    for method, path, body in (WRITES[way]("c-away", "zxq") for way in ("consent", "outcome", "signal", "link")):
        assert client(method, path, body)[0] == 503, path
    decider = batch.Decider(str(workspace.root), "web", ("sidebar",), "away")
    rows = decider(pa.table({"customer_id": ["c-away"]})).to_pylist()
    assert [(row["offer_id"], row["error"]) for row in rows] == [(None, "Unavailable")]
    other.close()
    assert [r["kind"] for r in export(client, "c-away")["records"]] == ["consent"] * 3
    decider._brain.close()


def check_replay(root: Path, decisions: int) -> None:
    """Decide for many customers on all channels, and check that all decisions are recomputed from the ledger alone."""
    workspace = marked_workspace(root / "ws")
    brain = Brain(workspace)
    client = Client(brain)
    rng = np.random.default_rng(5)
    for n in range(20):
        purposes = ("marketing", "profiling", "email", "service")[: n % 5]
        welcome(client, f"c-{n}", purposes=purposes)

    async def one(n: int) -> None:
        channel = ("web", "email", "agent", "store")[n % 4]
        placements = [{"name": "hero", "limit": 3}, {"name": "sidebar", "limit": 2}] if channel == "web" else None
        more: Json = {"placements": placements} if placements else {}
        body = {**ask(f"replay-{n}", f"c-{n % 20}", channel, **more), "account_id": f"a-{n % 7}"}
        await brain.commit(Ask.model_validate_json(json.dumps(body)))
        if n % 9 == 0:
            status = ("granted", "withdrawn")[int(rng.integers(2))]
            await record_consent(brain, ConsentIn.model_validate(consent(f"c-{n % 20}", "marketing", status)))

    async def all_of_them() -> None:
        for n in range(decisions):
            await one(n)

    asyncio.run(all_of_them())
    brain.checkpoint()
    brain.close()
    summary = verify(workspace, None)
    assert (summary["recomputed"], summary["different"], summary["flaws"]) == (decisions, [], [])


@pytest.mark.promise("replay.every-channel")
def test_three_hundred_decisions_replay_byte_for_byte(tmp_path: Path) -> None:
    check_replay(tmp_path, 300)


@pytest.mark.promise("replay.every-channel")
@pytest.mark.long
def test_ten_thousand_decisions_replay_byte_for_byte(tmp_path: Path) -> None:
    check_replay(tmp_path, 10_000)
