"""Signal, then decide: on any replica and under load, every decision saw what was acknowledged, and nothing else.

The k-th signal about a customer carries the number 2**k, so that the sum a decision was given says which ones it saw.
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
    """Two devices of one person: whose signals were sent, and which were acknowledged, as sums of 2**k."""

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
    """One in three is late, by up to twenty hours; the first is repeated now and then."""
    made = []
    for number in numbers:
        late_us = rng.randrange(20 * HOUR_US) if rng.random() < 0.3 else 0
        data = {"number": 2**number, "shop": rng.choice(["Delft", "Gouda", "Hoorn", "Zwolle", "Breda"])}
        about = {"specversion": "1.0", "id": f"{customer.id}-{number}", "source": "/pairs", "type": "visit"}
        subject = rng.choice(customer.subjects)
        made.append({**about, "subject": subject, "time": written(now_us() - late_us), "data": data})
    return [*made, made[0]] if rng.random() < 0.1 else made


async def pair(one: Client, other: Client, customer: Customer, rng: random.Random) -> Json:
    """A signal to one replica, then a decision of the other; the record of the decision."""
    numbers = [next(customer.number)]
    bits = sum(2**number for number in numbers)
    customer.sent |= bits
    status, told = await one.ask("POST", "/v1/signals", signals(customer, rng, numbers))
    assert (status, told["accepted"]) == (200, len(numbers))
    customer.acknowledged |= bits
    must = customer.acknowledged
    answer = await decided(other, customer)
    record = other.brain.ledger.lookup(f"decision:{answer['decision_id']}")
    assert record is not None
    assert record.body is not None
    saw = int(record.body["facts"]["visits"])
    assert saw & must == must, "a decision did not see what was acknowledged"
    assert saw | customer.sent == customer.sent, "a decision saw what was never sent"
    assert record.body["degraded"] == []
    return record.body


async def decided(client: Client, customer: Customer) -> Json:
    """Where others for the same customer came first five times, it is asked again, as a caller would."""
    status, body = 503, ask(f"pair-{next(NUMBERS)}", customer.id)
    while status == 503:
        status, answer = await client.ask("POST", "/v1/decisions", body)
    assert status == 200, answer
    return answer


async def run_pairs(replicas: list[Client], customers: list[Customer], at_once: int) -> list[Json]:
    """All pairs of some customers, in random order and so many at once; two about one customer may overlap."""
    rng = random.Random(len(customers))
    waiting = [customer for customer in customers for _ in range(PAIRS)]
    rng.shuffle(waiting)
    records: list[Json] = []

    async def worker() -> None:
        while waiting:
            one, other = rng.sample(replicas, 2)
            records.append(await pair(one, other, waiting.pop(), rng))

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return records


def linked(client: Client, name: str) -> Customer:
    customer = Customer(name)
    for kind, value in (("cookie", f"{name}-phone"), ("visitor", f"{name}-tablet")):
        about = {"customer_id": name, "identifier": {"kind": kind, "value": value}, "status": "linked"}
        assert client("POST", "/v1/identities", {**about, "source": "login"})[0] == 200
    return customer


def pairs(replicas: list[Client], many: int, run: str) -> list[Json]:
    """Two threads, each with an event loop of its own, about the same customers and others."""
    customers = [linked(replicas[0], f"{run}-{n}") for n in range(many)]
    halves = [customers[::2], customers[1::2]]
    with ThreadPoolExecutor(2) as pool:
        done = pool.map(lambda half: asyncio.run(run_pairs(replicas, half, 8)), halves)
        records = [record for half in done for record in half]
    assert len(records) == many * PAIRS
    return records


def no_skew(brain: Brain, records: list[Json]) -> None:
    """Signal features as recorded, against the log at the versions that were read, however it was read."""
    release = brain.snapshot.release
    names = {f.name for f in release.schema.of_source("signal")}
    several = 0
    for record in records:
        versions = record["read"]["signals"]
        several += len(versions) > 1
        told = point_in_time(brain.ledger, versions, release, record["decided_us"])
        served = {name: value for name, value in record["facts"].items() if name in names}
        assert served.keys() == told.keys()
        assert not {name: (served[name], told[name]) for name in told if not _same(served[name], told[name])}
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
