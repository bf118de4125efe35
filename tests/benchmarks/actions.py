"""What a decision costs with 10 to 10,000 actions under 30 rules in all: decide(), and the whole decision in process.

Up to 2,500 actions each have trees: forests that were trained once, copied under each id. At 10,000 the catalogue's
priors score. Read, decide and commit are the product's own; there is no HTTP.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_core import from_json

from decisioning.facts.forms import Ask
from features.ledger import now_us
from serving.brain import releasing
from serving.brain.runtime import Brain, new_id
from serving.contract import parse
from serving.settings import Workspace
from tests.benchmarks import catalogue, models
from tests.benchmarks.cases import score_by
from tests.benchmarks.measures import Figures, Line, Measure, Suite, quantile
from tests.benchmarks.world import fill
from training.model.model import PropensityModel

WITH_TREES, WITH_PRIORS = (10, 100, 1_000, 2_500), 10_000
BASE, MANY, GOAL = 100, 2_500, 10.0
WARM = 3
DECISIONS = {10: 300, 100: 300, 1_000: 100}
FEWEST = 40
"""Decisions that are timed with more actions than those."""


@dataclass
class ActionsWorld:
    """A model of few actions, to be copied."""

    model: PropensityModel
    figures: Figures = field(default_factory=dict)


@contextmanager
def open_actions() -> Iterator[ActionsWorld]:
    """Yield the fitted model."""
    yield ActionsWorld(models.small_model())


def measure_actions(world: ActionsWorld, n_actions: int, decisions: int) -> Figures:
    """Return wall and CPU time of decide() and of the whole decision in a workspace of so many actions."""
    with tempfile.TemporaryDirectory(prefix="bench-actions-") as folder:
        root = Path(folder) / "brain"
        releasing.new(root, catalogue.files(n_actions=n_actions))
        workspace = Workspace.open(root)
        released = releasing.release(workspace, "bench")
        assert (released["actions"], released["policies"]) == (n_actions, catalogue.N_POLICIES)
        fill(workspace, models.profiles()[: decisions + WARM])  # one decision each, so that nobody has a past
        brain = Brain(workspace)
        try:
            if n_actions != WITH_PRIORS:
                score_by(brain, models.copied(world.model, n_actions))
            figures = {**_deciding(brain, decisions), **asyncio.run(_answering(brain, n_actions, decisions))}
        finally:
            brain.close()
    return {f"actions_{n_actions}_{name}": value for name, value in figures.items()}


def _ask(n: int, run: str) -> Ask:
    return parse(Ask, models.request(n, f"{run}-{n}"))


def _deciding(brain: Brain, decisions: int) -> Figures:
    snapshot, at_us = brain.snapshot, now_us()
    asks = [_ask(n, "decided") for n in range(decisions + WARM)]
    known = [brain.known(ask, snapshot, at_us) for ask in asks]
    wall, cpu = list[float](), list[float]()
    for ask, customer in zip(asks, known, strict=True):
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        brain.decide(ask, customer, snapshot, at_us, new_id())
        cpu.append(1000 * (time.process_time() - start_cpu_s))
        wall.append(1000 * (time.perf_counter() - start_s))
    return {"decide_ms": quantile(wall[WARM:], 0.5), "decide_cpu_ms": quantile(cpu[WARM:], 0.5)}


async def _answering(brain: Brain, n_actions: int, decisions: int) -> Figures:
    wall, cpu, answers = list[float](), list[float](), list[bytes]()
    for n in range(decisions + WARM):
        ask = _ask(n, "answered")
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        answers.append(await brain.answer(ask))
        cpu.append(1000 * (time.process_time() - start_cpu_s))
        wall.append(1000 * (time.perf_counter() - start_s))
    _check(brain, n_actions, answers)
    return {"answer_ms": quantile(wall[WARM:], 0.5), "answer_cpu_ms": quantile(cpu[WARM:], 0.5)}


def _check(brain: Brain, n_actions: int, answers: list[bytes]) -> None:
    """Assert that at least half of the candidates passed their filters and were scored, and that nearly all offer."""
    offering = 0
    for answer in map(from_json, answers):
        record = brain.ledger.lookup(f"decision:{answer['decision_id']}")
        assert record is not None
        assert record.body is not None
        assert record.body["model"] == brain.snapshot.model, record.body["model"]
        assert len(record.body["scores"]["candidates"]) >= n_actions / 2
        assert answer["withheld"] <= n_actions / 2
        offering += any(p["offers"] for p in answer["placements"])
    assert offering >= 0.9 * len(answers), offering


def _measure(n_actions: int) -> Measure:
    scored = "priors" if n_actions == WITH_PRIORS else "trees each"
    decisions = DECISIONS.get(n_actions, FEWEST)
    return Measure(f"{n_actions:,} actions, {scored}", lambda world: measure_actions(world, n_actions, decisions))


def _lines(name: str, about: str) -> Iterator[Line]:
    for n in (*WITH_TREES, WITH_PRIORS):
        scored = "priors" if n == WITH_PRIORS else "trees"
        goal = GOAL if n == MANY else None
        yield Line(f"{about}, {n:,} actions ({scored})", f"actions_{n}_{name}_ms", f"actions_{BASE}_{name}_ms", goal)


ACTIONS = Suite(
    open_actions,
    tuple(map(_measure, (*WITH_TREES, WITH_PRIORS))),
    (
        *_lines("decide", "decide(), median"),
        *_lines("decide_cpu", "decide(), CPU"),
        *_lines("answer", "read, decide, commit, median"),
        *_lines("answer_cpu", "read, decide, commit, CPU"),
    ),
)
