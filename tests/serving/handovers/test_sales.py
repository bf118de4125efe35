"""Sales by voice: no agreement without what must be said, the last step is learned, and no click counts twice."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from decisioning.catalogue.people.selling import version_of
from decisioning.errors import BrainError, NotFound, RequestError, WrongState
from decisioning.facts.sales import SaleStep, check_sale, sale_of
from decisioning.times import DAY_US, iso
from features.decisions.log import DecisionLog
from features.ledger import now_us
from serving.access.looks import Doer
from serving.brain.runtime import Brain
from serving.commands.verifying import verify
from serving.pages.desk.sales import steps
from serving.pages.desk.sales.steps import Click, Ticks, must_say, sales_of, take_step, undo
from serving.people.handovers import row_of
from tests.serving.conftest import NewDatabase
from tests.serving.workspaces import Client, Json, ask, offers, small_workspace, welcome

ME = Doer("person:1", "agent")
UNDO_US = 10_000_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("sales") / "shop", database=database()))
    yield Client(brain)
    brain.close()


class Talk:
    """A conversation with a customer to whom something was offered."""

    def __init__(self, client: Client, customer: str) -> None:
        self.brain, self.client, self.customer = client.brain, client, customer
        welcome(client, customer)
        about = {"customer_id": customer, "conversation_id": f"t-{customer}", "channel": "phone"}
        opened = client("POST", "/v1/handovers", {"request_id": f"r-{customer}", "reason": "calls", **about})[1]
        self.handover = str(opened["handover_id"])
        asked = {**ask(f"d-{customer}", customer, "agent"), "placements": [{"name": "suggestion", "limit": 4}]}
        answer = client("POST", "/v1/decisions", asked)[1]
        self.offer = next(one for one in offers(answer) if one["issue"] != "service")
        self.texts = must_say(self.brain.snapshot.release, self.offer["action"])

    def step(self, step: SaleStep, once: str, said: tuple[str, ...] | None = None, **more: Any) -> None:
        every = tuple(one.id for one in self.texts)
        ticks = Ticks(every if said is None else said, more.get("texts", version_of(self.texts)))
        click = Click(more.get("handover", self.handover), f"{self.customer}-{once}", ME)
        asyncio.run(take_step(self.brain, self.offer["offer_id"], step, ticks, click))

    def undone(self, once: str, within_us: int = UNDO_US) -> bool | None:
        click = Click(self.handover, f"{self.customer}-{once}", ME)
        return asyncio.run(undo(self.brain, click, within_us))

    @property
    def outcomes(self) -> list[str]:
        held = self.client("GET", f"/v1/customers/{self.customer}")[1]["outcomes"]
        return [one["outcome"] for one in held]

    @property
    def sale(self) -> list[str]:
        return [one["step"] for one in sales_of(self.brain, row_of(self.brain, self.handover).stream)]

    def records(self) -> list[Json]:
        exported = self.client("GET", f"/v1/customers/{self.customer}/export")[1]["records"]
        return [one["body"] for one in exported if one["kind"] == "sale"]


@pytest.mark.promise("desk.sales")
def test_nobody_agrees_before_all_that_must_be_said_was_ticked(client: Client) -> None:
    talk = Talk(client, "c-1")
    assert [one.id for one in talk.texts] == ["price", "term", "leaving", "withdrawal"]
    for one in talk.texts:
        with pytest.raises(RequestError, match=one.id):
            talk.step("agreed", "o-1", tuple(other.id for other in talk.texts if other is not one))
    with pytest.raises(RequestError, match="changed meanwhile"):
        talk.step("agreed", "o-1", texts="older")
    with pytest.raises(WrongState, match="did not agree"):
        talk.step("confirmed", "o-1")
    other = Talk(client, "c-2")
    with pytest.raises(NotFound):
        talk.step("agreed", "o-1", handover=other.handover)
    assert (talk.records(), talk.outcomes, talk.sale) == ([], [], [])


@pytest.mark.promise("desk.sales")
def test_the_outcome_is_always_that_of_the_last_step_and_no_click_counts_twice(client: Client) -> None:
    talk = Talk(client, "c-3")
    for once in ("o-1", "o-1", "o-2"):  # the same click again, and the same words from another tab
        talk.step("agreed", once)
    assert (talk.sale, talk.outcomes) == (["agreed"], ["accepted"])
    assert [talk.undone("o-1"), talk.undone("o-1"), talk.undone("o-2")] == [True, True, None]
    assert (talk.sale, talk.outcomes) == ([], [])
    talk.step("agreed", "o-3")
    talk.step("confirmed", "o-4")
    assert talk.undone("o-3") is False, "another step followed"
    assert (talk.sale, talk.outcomes) == (["confirmed"], ["accepted"])
    talk.step("withdrawn", "o-5")
    assert (talk.sale, talk.outcomes) == (["withdrawn"], ["declined"])
    assert [talk.undone("o-5", -1), talk.undone("o-5")] == [False, True]
    assert (talk.sale, talk.outcomes) == (["confirmed"], ["accepted"])
    talk.step("withdrawn", "o-6")
    with pytest.raises(WrongState, match="withdrawn"):
        talk.step("confirmed", "o-7")
    kept = talk.records()
    assert [one["step"] for one in kept] == [
        *("agreed", "undone", "agreed", "confirmed", "withdrawn", "undone", "withdrawn"),
    ]
    assert {one["role"] for one in kept} == {"agent"}
    assert not any("who" in one for one in kept), "an export tells the role, not who"
    assert kept[0]["said"] == ["price", "term", "leaving", "withdrawal"]


@pytest.mark.promise("desk.sales")
def test_who_withdraws_after_the_cooling_off_time_is_refused_with_its_end(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = Talk(client, "c-4")
    talk.step("agreed", "o-1")
    talk.step("confirmed", "o-2")
    (ends,) = [one["until"] for one in sales_of(client.brain, row_of(client.brain, talk.handover).stream)]
    monkeypatch.setattr(steps, "now_us", lambda: now_us() + 14 * DAY_US + 1_000_000)
    with pytest.raises(WrongState, match=f"is over: it ended at {ends}"):
        talk.step("withdrawn", "o-3")
    assert (talk.sale, talk.outcomes) == (["confirmed"], ["accepted"])


@pytest.mark.promise("desk.sales")
def test_systems_tell_what_became_of_a_sale_and_never_that_it_was_agreed(client: Client) -> None:
    talk, shop = Talk(client, "c-8"), client.of_scope("decide")

    def told(step_id: str, step: str) -> tuple[int, Any]:
        status, answer = shop(
            "POST", "/v1/sales", {"step_id": step_id, "offer_id": talk.offer["offer_id"], "step": step}
        )
        return status, answer.get("recorded", answer.get("field"))

    assert told("s-1", "agreed") == (422, "step")
    assert told("s-1", "confirmed") == (409, "step"), "nobody agreed"
    talk.step("agreed", "o-1")
    assert [told("s-1", "confirmed"), told("s-1", "confirmed"), told("s-2", "confirmed")] == [
        (200, 1),
        (200, 0),
        (200, 0),
    ]
    assert told("s-1", "withdrawn") == (409, "step_id"), "an id means one thing told"
    assert told("s-3", "withdrawn") == (200, 1)
    assert (talk.sale, talk.outcomes) == (["withdrawn"], ["declined"])
    assert [one.get("handover_id") for one in talk.records()] == [talk.handover, None, None]


@pytest.mark.promise("desk.sales")
def test_a_letter_that_comes_late_withdraws_as_of_when_it_was_sent(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk, shop = Talk(client, "c-15"), client.of_scope("decide")
    talk.step("agreed", "o-1")
    talk.step("confirmed", "o-2")
    sent_us = now_us()
    monkeypatch.setattr(steps, "now_us", lambda: now_us() + 15 * DAY_US)

    def told(at_us: int | None) -> tuple[int, Any]:
        when = {} if at_us is None else {"occurred_at": iso(at_us)}
        said = {"step_id": "letter", "offer_id": talk.offer["offer_id"], "step": "withdrawn", **when}
        status, answer = shop("POST", "/v1/sales", said)
        return status, answer.get("recorded", answer.get("field"))

    assert told(None) == (409, "step"), "the time is over"
    assert told(sent_us - DAY_US) == (422, "occurred_at"), "nobody had agreed then"
    assert told(sent_us + DAY_US) == (422, "occurred_at"), "that is still to come"
    assert [told(sent_us), told(sent_us), told(None), told(sent_us + 1)] == [
        *((200, 1), (200, 0), (200, 0)),
        (409, "step_id"),
    ]
    assert (talk.sale, talk.outcomes) == (["withdrawn"], ["declined"])
    assert not list(client.brain.ledger.verify())


@pytest.mark.promise("desk.sales")
def test_a_sale_that_was_withdrawn_is_learned_as_no_acceptance(client: Client, tmp_path: Path) -> None:
    kept, withdrawn = Talk(client, "c-5"), Talk(client, "c-6")
    for talk in (kept, withdrawn):
        talk.step("agreed", "o-1")
        talk.step("confirmed", "o-2")
    withdrawn.step("withdrawn", "o-3")
    log, release = DecisionLog(tmp_path), client.brain.snapshot.release
    log.update(client.brain.ledger, release, now_us() + 400 * DAY_US)
    labels = {row["_id"]: row["_label"] for row in log.query("SELECT _id, _label FROM log", release).to_pylist()}
    assert [labels[talk.offer["offer_id"]] for talk in (kept, withdrawn)] == [True, False]


@pytest.mark.promise("desk.sales")
def test_twenty_clicks_at_once_are_one_step_and_sales_go_with_the_customer(client: Client) -> None:
    talk = Talk(client, "c-7")
    ticks = Ticks(tuple(one.id for one in talk.texts), version_of(talk.texts))

    async def at_once() -> None:
        clicks = (Click(talk.handover, f"many-{n}", ME) for n in range(20))
        await asyncio.gather(*(take_step(client.brain, talk.offer["offer_id"], "agreed", ticks, c) for c in clicks))

    asyncio.run(at_once())
    assert ([one["step"] for one in talk.records()], talk.outcomes) == (["agreed"], ["accepted"])
    checked = verify(client.brain.workspace, None)
    assert checked["flaws"] == checked["different"] == []
    assert client("DELETE", f"/v1/customers/{talk.customer}")[0] == 200
    with pytest.raises(BrainError):
        talk.step("confirmed", "o-2")
    stream = client.brain.ledger.stream_of("person", talk.customer)
    assert sales_of(client.brain, stream) == []
    assert verify(client.brain.workspace, None)["flaws"] == []


def test_records_that_are_no_steps_are_refused_and_what_was_undone_does_not_count() -> None:
    body = {"sale_id": "o", "action": "a", "who": "person:1", "role": "agent", "step": "agreed", "said": ["price"]}
    check_sale(body)
    for wrong in ({"step": "sold"}, {"said": []}, {"who": ""}, {"sale_id": ""}):
        with pytest.raises(ValueError, match=r"step of a sale|nobody agrees"):
            check_sale({**body, **wrong})
    assert sale_of([body, {"step": "undone"}, {"step": "undone"}]).step is None
    confirmed = sale_of([body, {"step": "confirmed", "until_us": 10}])
    assert (confirmed.misfit("withdrawn", 10), bool(confirmed.misfit("withdrawn", 11))) == ("", True)
