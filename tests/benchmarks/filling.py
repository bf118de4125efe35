"""Workspaces of many customers, and ledgers that are filled with real decisions: read, decided and committed."""

import asyncio
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic_core import from_json, to_json

from decisioning.facts.forms import Ask
from features.ledger import Entry, now_us
from features.profile.offline import History
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.contract import parse
from serving.settings import Workspace
from tests.benchmarks import catalogue, models
from tests.benchmarks.cases import score_by
from training.model.model import PropensityModel

AT_ONCE = 32
"""Decisions that wait for their commits at the same time, as in a replica under load."""
PURPOSES = ("marketing", "profiling")


@dataclass(frozen=True)
class Filled:
    """A released workspace; `brain` decides in this process, scored by a trained model."""

    workspace: Workspace
    brain: Brain


@contextmanager
def open_filled(model: PropensityModel, files: Mapping[str, str]) -> Iterator[Filled]:
    """Yield a workspace of this catalogue without customers in a temporary folder, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-filled-") as folder:
        root = Path(folder) / "brain"
        releasing.new(root, files)
        workspace = Workspace.open(root)
        releasing.release(workspace, "bench")
        brain = Brain(workspace)
        score_by(brain, model)
        try:
            yield Filled(workspace, brain)
        finally:
            brain.close()


def add_customers(brain: Brain, numbers: Iterable[int]) -> None:
    """Write profiles and consents of the customers with these numbers."""
    numbers, at_us = list(numbers), now_us()
    streams = [brain.subject_stream(customer_of(n)) for n in numbers]
    History(brain.snapshot.profiles).import_profiles(profile_table(streams, numbers, at_us))
    brain.ledger.append_many(_grant(stream, purpose, at_us) for stream in streams for purpose in PURPOSES)


def profile_table(subjects: Sequence[str], numbers: Sequence[int], at_us: int) -> pa.Table:
    """Return the customers' facts as columns, one row each, as a system of record would export them."""
    rows = models.profiles()[np.asarray(numbers) % models.N_CUSTOMERS]
    learned = {name: rows[:, i] for i, name in enumerate(catalogue.LEARNED)}
    flags = {name: np.zeros(len(rows), dtype=np.bool_) for name in catalogue.FLAGS}
    times = pa.array(np.full(len(rows), at_us), pa.timestamp("us", "UTC"))
    facts = {**learned, "age": learned["age"].astype(np.int64), **flags}
    return pa.table({"subject": pa.array(subjects), "event_timestamp": times, **facts})


def customer_of(n: int) -> str:
    """Return the id of customer `n`, of any number."""
    return f"c-{n:07d}"


def _grant(stream: str, purpose: str, at_us: int) -> Entry:
    about = {"channel": "*", "status": "granted", "source": "bench", "notice_version": "2026-01"}
    return Entry(stream, "consent", {"purpose": purpose, "expires_us": None, "asserted_by": None, **about}, at_us)


def decide_for(brain: Brain, customers: Iterable[int], run: str) -> int:
    """Decide once for every customer that is named, some at a time, and return how many decisions were committed.

    Asserts that at least half of the candidates passed and were scored, of one decision in a hundred.
    """
    asks = (parse(Ask, _request(n, f"{run}-{i}")) for i, n in enumerate(customers))
    return asyncio.run(_decide_all(brain, asks))


def _request(customer: int, request_id: str) -> bytes:
    request = from_json(models.request(0, "")) | {"customer_id": customer_of(customer), "request_id": request_id}
    return to_json(request)


async def _decide_all(brain: Brain, asks: Iterator[Ask]) -> int:
    done = 0

    async def work() -> None:
        nonlocal done
        for ask in asks:
            answer = await brain.commit(ask)
            if done % 100 == 0:
                _check(brain, answer["decision_id"])
            done += 1

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return done


def _check(brain: Brain, decision_id: str) -> None:
    record = brain.ledger.lookup(f"decision:{decision_id}")
    assert record is not None
    assert record.body is not None
    assert len(record.body["scores"]["candidates"]) >= catalogue.N_ACTIONS / 2
    assert record.body["model"] == brain.snapshot.model
