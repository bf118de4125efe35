"""Decisions for many customers at once: as each alone, and as safe against what comes in between."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from decisioning.deciding.record import Decision
from decisioning.errors import BrainError, RequestError
from decisioning.facts.forms import Ask, PlacementAsk
from features.ledger import Entry, ledger, now_us
from serving.brain import blocks, runtime
from serving.brain.blocks import commit_all
from serving.brain.reading import Subjects
from serving.brain.runtime import Brain
from serving.brain.together import Made
from serving.contract import ConsentIn
from tests.serving.test_identities import link
from tests.serving.workspaces import Client, consent, signal, small_workspace, welcome


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A brain with customers of every kind: unknown, refusing, with visitors, signals, an account, restricted."""
    brain = Brain(small_workspace(tmp_path_factory.mktemp("blocks") / "ws"))
    client = Client(brain)
    for n in range(12):
        welcome(client, f"c-{n}", purposes=("marketing", "profiling") if n % 3 else ())
        if n % 4 == 1:
            link(client, f"c-{n}", f"cookie-{n}")
            client("POST", "/v1/signals", signal("page-view", f"cookie:cookie-{n}", page="paid-tv"))
        if n % 5 == 2:
            client("POST", "/v1/signals", signal("page-view", f"customer:c-{n}", page="paid-tv"))
    client("PATCH", "/v1/customers/c-7", {"restricted": True})
    client("DELETE", "/v1/customers/c-8")
    yield client
    brain.close()


def ask(n: int, run: str) -> Ask:
    placements = (PlacementAsk(name="hero"), PlacementAsk(name="sidebar", limit=2))
    return Ask(request_id=f"{run}-{n}", customer_id=f"c-{n}", channel="web", placements=placements)


def answered(brain: Brain, asks: Sequence[Ask]) -> list[dict[str, Any] | BrainError]:
    """Return the answers to live requests that are decided in blocks."""
    return [made.answer if isinstance(made, Decision) else made for made in commit_all(brain, asks)]


def test_a_block_knows_of_each_customer_what_is_read_of_that_customer_alone(client: Client) -> None:
    brain, at_us = client.brain, now_us()
    streams = [brain.subject_stream(f"c-{n}") for n in range(14)]
    account = brain.ledger.stream_of("account", "a-1")
    every = [Subjects((s, account) if n % 2 else (s,), {"page": "home"}) for n, s in enumerate(streams)]
    alone = [brain.customers.read([one], brain.snapshot, at_us)[0] for one in every]
    assert brain.customers.read(every, brain.snapshot, at_us) == alone
    assert len({len(known.facts) for known in alone}) > 2
    assert any(known.linked for known in alone)
    assert any(known.signals for known in alone)


def test_a_block_decides_the_same_bytes_as_each_request_alone(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    brain, at_us = client.brain, now_us()
    decided: list[Decision] = []

    def kept(*arguments: Any) -> list[Decision]:
        decided.extend(Brain.decide_block(brain, *arguments))
        return decided

    monkeypatch.setattr(brain, "decide_block", kept)
    monkeypatch.setattr(runtime, "now_us", lambda: at_us)
    asks = [ask(n, "same") for n in range(12)]
    knowns = [brain.known(one, brain.snapshot, at_us) for one in asks]
    answers = answered(brain, asks)
    ids = [a["decision_id"] for a in answers if isinstance(a, dict)]
    alone = [
        Brain.decide(brain, one, known, brain.snapshot, at_us, decision_id)
        for one, known, decision_id in zip(asks, knowns, ids, strict=True)
    ]
    assert [d.to_bytes() for d in decided] == [d.to_bytes() for d in alone]
    assert [d.answer for d in alone] == answers
    assert any(d.record["contacts"] for d in alone)


def test_what_comes_between_reading_and_committing_binds_in_a_block_too(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    brain = client.brain
    welcome(client, "c-100")
    welcome(client, "c-101")
    body = ConsentIn.model_validate(consent("c-100", "marketing", "withdrawn")).body()
    withdrawal = Entry(brain.subject_stream("c-100"), "consent", body, now_us())
    submit_each = brain.submit_each

    def after_the_withdrawal(asks: Sequence[Ask], every: Sequence[Made]) -> Any:
        if asks[0].customer_id == "c-100":
            brain.ledger.append([withdrawal])
        return submit_each(asks, every)

    monkeypatch.setattr(brain, "submit_each", after_the_withdrawal)
    first, second = answered(brain, [ask(100, "race"), ask(101, "race")])
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    issues = [[o["issue"] for p in a["placements"] for o in p["offers"]] for a in (first, second)]
    assert ("grow" in issues[0], "grow" in issues[1]) == (False, True)
    assert answered(brain, [ask(101, "race")]) == [second]


def test_one_request_that_cannot_be_decided_holds_none_up(client: Client) -> None:
    unknown = ask(1, "unknown").model_copy(update={"placements": (PlacementAsk(name="nowhere"),)})
    asks = [ask(n, "unknown") if n != 1 else unknown for n in range(3)]
    first, refused, last = answered(client.brain, asks)
    assert isinstance(refused, RequestError)
    assert refused.field == "placements.0.name"
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert answered(client.brain, []) == []


def test_more_requests_than_a_block_holds_are_answered_in_their_order(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 5)
    monkeypatch.setattr(ledger, "_BLOCK", 2)
    asks = [ask(n, "many") for n in range(200, 200 + 2 * blocks.BLOCK + 1)]
    answers = answered(client.brain, asks)
    assert [a["customer_id"] for a in answers if isinstance(a, dict)] == [a.customer_id for a in asks]


def test_requests_that_wait_together_are_decided_in_one_block_and_a_wrong_one_alone_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    brain, sizes = client.brain, list[int]()
    make_block = brain._together._make_block

    def counted(asks: Sequence[Ask]) -> Sequence[Made]:
        sizes.append(len(asks))
        return make_block(asks)

    monkeypatch.setattr(brain._together, "_make_block", counted)

    async def all_at_once(*bodies: Any) -> list[Any]:
        return await asyncio.gather(*(client.ask("POST", "/v1/decisions", body) for body in bodies))

    bodies = [ask(n, "together").model_dump(mode="json", exclude_defaults=True) for n in range(6)]
    answers = asyncio.run(all_at_once(*bodies))
    assert [(status, answer["customer_id"]) for status, answer in answers] == [(200, f"c-{n}") for n in range(6)]
    assert asyncio.run(all_at_once(*bodies)) == answers
    assert max(sizes) == 6
    wrong = {**bodies[0], "request_id": "wrong", "placements": [{"name": "nowhere"}]}
    right = {**bodies[1], "request_id": "right"}
    refused, decided = asyncio.run(all_at_once(wrong, right))
    assert (refused[0], refused[1]["field"], decided[0]) == (422, "placements.0.name", 200)


def test_a_customer_who_asks_twice_at_once_gets_no_more_than_the_caps_leave(client: Client) -> None:
    welcome(client, "c-twice")
    bodies = [
        {
            **ask(0, "twice").model_dump(mode="json", exclude_defaults=True),
            "customer_id": "c-twice",
            "request_id": f"t-{n}",
        }
        for n in range(8)
    ]

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(client.ask("POST", "/v1/decisions", body) for body in bodies))

    answers = asyncio.run(all_at_once())
    decided = [answer for status, answer in answers if status == 200]
    ids = [a["decision_id"] for a in decided]
    records = [client.brain.ledger.lookup(f"decision:{one}") for one in ids]
    versions = [r.body["read"]["person"] for r in records if r is not None and r.body is not None]
    assert sorted(versions) == list(range(min(versions), min(versions) + len(ids)))
    assert len(set(ids)) == len(ids) >= 5
