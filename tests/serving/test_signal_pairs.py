"""Signals, then decisions, on any replica and under load: every decision sees exactly what was acknowledged.

The k-th signal about a customer carries the number 2**k, so that the sum in a decision says which signals it saw.
"""

import asyncio
import math
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from features.ledger import now_us
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.features.signals.places import written
from tests.features.signals.recomputed import point_in_time
from tests.serving.workspaces import Client, Json, ask, small_workspace

FEATURES = """
signals:
  - id: visit
    retention_days: 30
    fields:
      - {name: number, dtype: int, min: 1, required: true}
      - {name: shop, dtype: string}
features:
  - {name: visits, dtype: float, source: signal, model_input: false,
     signal: {of: visit, compute: sum, field: number, window: 7d}}
  - {name: visits_30s, dtype: int, source: signal, signal: {of: visit, compute: count, window: 30s}}
  - {name: visits_24h, dtype: int, source: signal, signal: {of: visit, compute: count, window: 24h}}
  - {name: shops_24h, dtype: int, source: signal,
     signal: {of: visit, compute: distinct, field: shop, window: 24h, max_keys: 3}}
  - {name: last_shop, dtype: string, source: signal, model_input: false,
     signal: {of: visit, compute: last, field: shop}}
  - {name: visit_heat, dtype: float, source: signal,
     signal: {of: [visit, page-view], compute: intensity, half_life_s: 60}}
  - {name: since_visit_s, dtype: float, source: signal, signal: {of: visit, compute: seconds_since}}
  - {name: session_s, dtype: float, source: signal, signal: {of: [visit, page-view], compute: session_seconds}}
"""
PAIRS = 25
"""About one customer, of the pairs of a run; a number's 2**k must stay whole in a float."""
HOUR_US = 3_600_000_000
NUMBERS = count()


@dataclass
class Customer:
    """One person with two devices; the signals sent and those acknowledged, as sums of 2**k."""

    id: str
    sent: int = 0
    acknowledged: int = 0
    number: Iterator[int] = field(default_factory=count)

    @property
    def subjects(self) -> tuple[str, ...]:
        return f"customer:{self.id}", f"cookie:{self.id}-phone", f"visitor:{self.id}-tablet"


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Client]]:
    """Two brains on one workspace."""
    workspace = small_workspace(tmp_path_factory.mktemp("pairs") / "ws")
    (workspace.root / "catalogue/visits.yaml").write_text(FEATURES)
    releasing.release(Workspace.open(workspace.root), "test")
    brains = [Brain(workspace) for _ in range(2)]
    yield [Client(brain) for brain in brains]
    for brain in brains:
        brain.close()


def signals(customer: Customer, rng: random.Random, numbers: list[int]) -> list[Json]:
    """Return the signals of these numbers: one in three is up to 20 hours late, the first is repeated at times."""
    events = []
    for number in numbers:
        late_us = rng.randrange(20 * HOUR_US) if rng.random() < 0.3 else 0
        data = {"number": 2**number, "shop": rng.choice(["Delft", "Gouda", "Hoorn", "Zwolle", "Breda"])}
        about = {"specversion": "1.0", "id": f"{customer.id}-{number}", "source": "/pairs", "type": "visit"}
        subject = rng.choice(customer.subjects)
        events.append({**about, "subject": subject, "time": written(now_us() - late_us), "data": data})
    return [*events, events[0]] if rng.random() < 0.1 else events


async def pair(first: Client, second: Client, customer: Customer, rng: random.Random) -> Json:
    """Send a signal to one replica, then ask another for a decision; return the decision's record."""
    numbers = [next(customer.number)]
    bits = sum(2**number for number in numbers)
    customer.sent |= bits
    status, result = await first.ask("POST", "/v1/signals", signals(customer, rng, numbers))
    assert (status, result["accepted"]) == (200, len(numbers))
    customer.acknowledged |= bits
    acknowledged = customer.acknowledged
    answer = await decided(second, customer)
    record = second.brain.ledger.lookup(f"decision:{answer['decision_id']}")
    assert record is not None
    assert record.body is not None
    visits = int(record.body["facts"]["visits"])
    assert visits & acknowledged == acknowledged, "a decision did not see what was acknowledged"
    assert visits | customer.sent == customer.sent, "a decision saw what was never sent"
    assert record.body["degraded"] == []
    return record.body


async def decided(client: Client, customer: Customer) -> Json:
    """Return the answer to a request, which is repeated after a 503, as a caller would."""
    status, body = 503, ask(f"pair-{next(NUMBERS)}", customer.id)
    while status == 503:
        status, answer = await client.ask("POST", "/v1/decisions", body)
    assert status == 200, answer
    return answer


async def run_pairs(replicas: list[Client], customers: list[Customer], at_once: int) -> list[Json]:
    """Run all pairs of some customers in random order, so many at once; two of one customer may overlap."""
    rng = random.Random(len(customers))
    waiting = [customer for customer in customers for _ in range(PAIRS)]
    rng.shuffle(waiting)
    records: list[Json] = []

    async def worker() -> None:
        while waiting:
            first, second = rng.sample(replicas, 2)
            records.append(await pair(first, second, waiting.pop(), rng))

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return records


def linked(client: Client, name: str) -> Customer:
    customer = Customer(name)
    for kind, value in (("cookie", f"{name}-phone"), ("visitor", f"{name}-tablet")):
        about = {"customer_id": name, "identifier": {"kind": kind, "value": value}, "status": "linked"}
        assert client("POST", "/v1/identities", {**about, "source": "login"})[0] == 200
    return customer


def pairs(replicas: list[Client], many: int, run: str) -> list[Json]:
    """Run the pairs of all customers in two threads, each with an event loop of its own."""
    customers = [linked(replicas[0], f"{run}-{n}") for n in range(many)]
    halves = [customers[::2], customers[1::2]]
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda half: asyncio.run(run_pairs(replicas, half, 8)), halves)
        records = [record for half in results for record in half]
    assert len(records) == many * PAIRS
    return records


def no_skew(brain: Brain, records: list[Json]) -> None:
    """Check recorded signal features against those computed from the log at the versions that were read."""
    release = brain.snapshot.release
    names = {f.name for f in release.schema.of_source("signal")}
    several = 0
    for record in records:
        versions = record["read"]["signals"]
        several += len(versions) > 1
        recomputed = point_in_time(brain.ledger, versions, release, record["decided_us"])
        served = {name: value for name, value in record["facts"].items() if name in names}
        assert served.keys() == recomputed.keys()
        assert not {
            name: (served[name], recomputed[name]) for name in recomputed if not _same(served[name], recomputed[name])
        }
    assert several > len(records) / 2, "few decisions were about linked visitors"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, str):
        return bool(a == b)
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.promise("signals.point-in-time")
def test_500_decisions_saw_their_signals_and_equal_the_log(replicas: list[Client]) -> None:
    records = pairs(replicas, 20, "short")
    no_skew(replicas[0].brain, records)


@pytest.mark.promise("signals.point-in-time")
@pytest.mark.long
def test_10000_decisions_saw_their_signals_and_equal_the_log(replicas: list[Client]) -> None:
    records = pairs(replicas, 400, "long")
    no_skew(replicas[0].brain, records)
