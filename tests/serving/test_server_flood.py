"""The real server in a flood of decisions: withdrawals are taken and bind, decisions are refused before they wait."""

import asyncio
import time
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic_core import from_json, to_json

from tests.serving.load import Answer, Load, closed_loop, once, open_loop
from tests.serving.server import Server
from tests.serving.test_server_load import asking, customers
from tests.serving.workspaces import ask, consent, offers

pytestmark = pytest.mark.server

__all__ = ["customers"]
COMMERCIAL = {"grow", "retain", "nurture"}
OVERLOADED = b'"/problems/overloaded"'
WITHDRAWALS = 200
TWO_MINUTES_S = 120.0
AT_ONCE = 8
"""How many connections measure the capacity: as many decisions as are made at once."""


@dataclass(frozen=True)
class Withdrawal:
    """What was answered, in how many seconds, and the wall clock then."""

    customer: str
    status: int
    latency_s: float
    acknowledged_s: float


async def withdraw(server: Server, customers: Sequence[str], every_s: float) -> list[Withdrawal]:
    """Withdraw the consent of one customer after the other to marketing, one each `every_s`."""
    began, withdrawals = time.perf_counter(), []
    for n, customer in enumerate(customers):
        await asyncio.sleep(max(0.0, began + n * every_s - time.perf_counter()))
        request = server.post("/v1/consents", to_json(consent(customer, "marketing", "withdrawn")))
        answer = await once(server.port, request)
        withdrawals.append(Withdrawal(customer, answer.status, answer.latency_s, time.time()))
    return withdrawals


def decided(server: Server, customer: str) -> tuple[int, bool]:
    """Return how many candidates are withheld from a customer now, and whether something is sold to them."""
    wide = {**ask(uuid.uuid4().hex, customer, placements=[{"name": "hero", "limit": 5}]), "mode": "preview"}
    status, decision = server("POST", "/v1/decisions", wide)
    assert status == 200
    return decision["withheld"], any(offer["issue"] in COMMERCIAL for offer in offers(decision))


def check_withdrawals(server: Server, withdrawals: Sequence[Withdrawal], load: Load, permitted: int) -> None:
    """Check that each was taken, and that marketing was withheld from then on, in the flood and after it.

    :param permitted: how many candidates are withheld from a customer who permits marketing
    """
    assert {w.status for w in withdrawals} == {200}
    acknowledged_s = {w.customer: w.acknowledged_s for w in withdrawals}
    for answer in (a for a in load.answers if a.status == 200):
        decision = from_json(answer.body)
        decided_s = datetime.fromisoformat(decision["decided_at"]).timestamp()
        if decided_s > acknowledged_s.get(decision["customer_id"], time.time()):
            assert decision["withheld"] > permitted
    for customer in acknowledged_s:
        assert not decided(server, customer)[1]


def check_refusals(refused: Sequence[Answer]) -> None:
    """Check that each refusal says when to ask again, and that some name the fallbacks."""
    assert {a.status for a in refused} == {503}
    assert all(b"retry-after: 1" in a.head and b"application/problem+json" in a.head for a in refused)
    assert any(OVERLOADED in a.body and b'"fallbacks":{"hero":' in a.body for a in refused)


def shed(server: Server) -> dict[str, float]:
    """Return how many requests were refused, by kind."""
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/metrics", headers=server.headers)) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {s.labels["kind"]: s.value for f in families for s in f.samples if s.name == "brain_requests_shed_total"}


@pytest.mark.promise("serving.flood")
def test_in_a_flood_of_decisions_withdrawals_are_taken_and_bind(server: Server, customers: list[str]) -> None:
    withdrawing, before = customers[-10:], shed(server)
    permitted, sold = decided(server, withdrawing[0])
    assert sold

    async def flooded() -> tuple[Load, list[Withdrawal]]:
        flood = closed_loop(server.port, asking(server, "short-flood", customers), connections=64, count=1_500)
        return await asyncio.gather(flood, withdraw(server, withdrawing, every_s=0.0))

    load, withdrawals = asyncio.run(flooded())
    assert set(load.statuses) == {200, 503}
    check_refusals([a for a in load.answers if a.status == 503])
    check_withdrawals(server, withdrawals, load, permitted)
    after, overloaded = shed(server), sum(OVERLOADED in a.body for a in load.answers)
    assert after["decision"] - before["decision"] == overloaded > 0
    assert after["right"] == 0.0


@pytest.mark.long
@pytest.mark.promise("serving.flood")
def test_at_200_percent_for_two_minutes_what_is_accepted_keeps_its_p99(
    server: Server, customers: list[str], record_property: Callable[[str, object], None]
) -> None:
    """The capacity is measured first, then the same server gets half of it and twice of it, for two minutes each."""
    assert len(customers) == WITHDRAWALS
    permitted = decided(server, customers[0])[0]
    capacity = asyncio.run(
        closed_loop(server.port, asking(server, "flood-capacity", customers), connections=AT_ONCE, count=1_500)
    )
    assert capacity.statuses == {200: 1_500}

    async def steady(share: float) -> Load:
        per_second = share * capacity.rate
        return await open_loop(
            server.port,
            asking(server, f"at-{share}", customers),
            per_second=per_second,
            count=round(TWO_MINUTES_S * per_second),
        )

    async def flooded() -> tuple[Load, list[Withdrawal]]:
        return await asyncio.gather(steady(2.0), withdraw(server, customers, TWO_MINUTES_S / WITHDRAWALS))

    half = asyncio.run(steady(0.5))
    load, withdrawals = asyncio.run(flooded())
    figures = {
        "capacity": f"{capacity.rate:.0f}/s",
        "at 50%": _figures(half),
        "at 200%": _figures(load),
        "refused": f"p99 {load.quantile_ms(0.99, status=503):.1f} ms",
        "withdrawals": f"{len(withdrawals)}, slowest {1000 * max(w.latency_s for w in withdrawals):.0f} ms",
    }
    for name, figure in figures.items():
        record_property(name, figure)
    check_refusals([a for a in load.answers if a.status != 200])
    check_withdrawals(server, withdrawals, load, permitted)
    assert load.quantile_ms(0.99) <= 2 * half.quantile_ms(0.99), figures


def _figures(load: Load) -> str:
    accepted, refused = load.statuses[200], load.statuses[503]
    return (
        f"p50 {load.quantile_ms(0.5):.1f}, p99 {load.quantile_ms(0.99):.1f} ms, {accepted} accepted, {refused} refused"
    )
