"""decide() alone beside that of an earlier commit, in alternation, by CPU time: right on a busy machine, in seconds.

`python -m tests.benchmarks decide`. Both decide for the same customers, by the same model over 100 actions.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from decisioning.deciding import engine
from decisioning.facts.forms import canonical
from tests.benchmarks import catalogue, models
from tests.benchmarks.cases import Cases, decision_id, make_cases
from tests.benchmarks.earlier.measure import COMMIT, check_out, next_message, program
from tests.benchmarks.measures import Figures, Line, Measure, Skipped, Suite, quantile
from tests.benchmarks.steps import WITHIN, measure_steps, measure_two_levels
from training.model.model import PropensityModel

ROUNDS, PER_ROUND = 12, 100
COLD_ROUNDS, COLD_PER_ROUND, OTHER_WORK_S = 5, 60, 0.003
STEPPED = 300
LEAST_MS = 0.005
"""Steps that take less are not shown."""
MODEL, CASES = "model", "cases.json"
_Cpu = tuple[float, float]
"""Milliseconds of decide() alone, and with the bytes of its record and of its answer."""
_PROGRAM = Path(__file__).parent / "earlier" / "deciding.py"


@dataclass
class DecidingWorld:
    """`earlier`: the program that decides by the files of the earlier commit in `tree`, or why there is none."""

    cases: Cases
    tree: Path
    earlier: "subprocess.Popen[str] | Skipped"
    figures: Figures = field(default_factory=dict)


@contextmanager
def open_deciding() -> Iterator[DecidingWorld]:
    """Yield the cases, with the earlier commit's program ready for them."""
    with tempfile.TemporaryDirectory(prefix="bench-decide-") as folder, ExitStack() as stack:
        earlier = _earlier(stack, Path(folder))  # imports its libraries while the model is fitted here
        model = models.copied(models.small_model(), catalogue.N_ACTIONS)
        cases = make_cases(catalogue.N_ACTIONS, model)
        model.save(Path(folder) / MODEL)
        (Path(folder) / CASES).write_bytes(_written(cases))
        trees = float(sum(f.size for f in model.forests if f))
        yield DecidingWorld(cases, Path(folder), earlier, {"trees": trees})


def _earlier(stack: ExitStack, tree: Path) -> "subprocess.Popen[str] | Skipped":
    try:
        check_out(tree)
    except Skipped as reason:
        return reason
    return stack.enter_context(program(tree, _PROGRAM))


def _written(cases: Cases) -> bytes:
    """Return what the earlier commit's program reads: requests, facts, ids and the time."""
    document = {
        "asks": [models.request(n, "in-memory").decode() for n in range(models.N_CUSTOMERS)],
        "facts": [dict(customer.facts) for customer in cases.customers],
        "ids": [decision_id(n) for n in range(models.N_CUSTOMERS)],
        "at_us": cases.at_us,
        "model": cases.model.name,
        "channel": catalogue.CHANNEL,
    }
    return json.dumps(document).encode()


def _beside(world: DecidingWorld) -> Figures:
    """Decide in rounds, here and there in turn; the first round of each warms up."""
    earlier = world.earlier
    if isinstance(earlier, Skipped):
        raise earlier
    _tell(earlier, "the cases are written")
    next_message(earlier, world.tree)
    hot = _in_rounds(world, earlier, ROUNDS, PER_ROUND, 0.0)
    cold = _in_rounds(world, earlier, COLD_ROUNDS, COLD_PER_ROUND, OTHER_WORK_S)
    return {
        **_figures("decide", hot[0]),
        **_figures("earlier_decide", hot[1]),
        **_figures("decide_cold", cold[0]),
        **_figures("earlier_decide_cold", cold[1]),
    }


def _in_rounds(
    world: DecidingWorld, earlier: "subprocess.Popen[str]", rounds: int, count: int, other_work_s: float
) -> tuple[list[_Cpu], list[_Cpu]]:
    """Return the CPU of decisions here and there.

    :param other_work_s: how long the process does something else before each decision, as a server's core does: what a
        decision needs has left the caches by then
    """
    present, before = list[_Cpu](), list[_Cpu]()
    for n in range(-1, rounds):
        here = [_decided(world.cases, (n * count + i) % models.N_CUSTOMERS, other_work_s) for i in range(count)]
        _tell(earlier, json.dumps([n * count, count, other_work_s]))
        there = next_message(earlier, world.tree)["cpu_ms"]
        if n >= 0:
            present += here
            before += there
    return present, before


def _decided(cases: Cases, n: int, other_work_s: float) -> _Cpu:
    """Return the CPU of one decision."""
    until_s = time.perf_counter() + other_work_s
    while time.perf_counter() < until_s:
        pass
    start_ns = time.process_time_ns()
    decision = cases.decide(n)
    decided_ns = time.process_time_ns()
    decision.to_bytes()
    canonical(decision.answer)
    return (decided_ns - start_ns) / 1e6, (time.process_time_ns() - start_ns) / 1e6


def _tell(earlier: "subprocess.Popen[str]", line: str) -> None:
    earlier.stdin.write(f"{line}\n")  # type: ignore[union-attr]
    earlier.stdin.flush()  # type: ignore[union-attr]


def _figures(name: str, cpu: list[_Cpu]) -> Figures:
    decided, written = ([float(both[n]) for both in cpu] for n in (0, 1))
    return {
        f"{name}_cpu_min_ms": min(decided),
        f"{name}_cpu_median_ms": quantile(decided, 0.5),
        f"{name}_written_cpu_median_ms": quantile(written, 0.5),
    }


def _steps(world: DecidingWorld) -> Figures:
    """Return the CPU of each step of decide(), of what each step calls, and of the record's bytes; each the median."""
    cases = world.cases
    decisions = [cases.decide(n) for n in range(models.N_CUSTOMERS)]
    assert sum(bool(d.record["contacts"]) for d in decisions) >= 0.98 * models.N_CUSTOMERS
    assert {len(d.record["scores"]["candidates"]) for d in decisions} == {catalogue.N_ACTIONS}
    steps = measure_two_levels(engine.decide, lambda n: cases.decide(n % models.N_CUSTOMERS), STEPPED)
    figures = {f"step_{name}_ms": value for name, value in steps.items()}
    every = cases.release.view(catalogue.CHANNEL).candidates

    def score(n: int) -> object:
        return cases.model.score(cases.customers[n % models.N_CUSTOMERS].facts, every)

    scoring = {f"scoring_{n}_ms": v for n, v in measure_steps(PropensityModel.score, score, STEPPED).items()}
    return {
        **figures,
        "score_ms": _median(score),
        **scoring,
        "bytes_ms": _median(lambda n: decisions[n % models.N_CUSTOMERS].to_bytes()),
    }


def _median(step: Callable[[int], object]) -> float:
    """Return the median CPU of `step(0)` to `step(STEPPED - 1)` in milliseconds."""
    spent_ms = []
    for n in range(STEPPED):
        start_ns = time.process_time_ns()
        step(n)
        spent_ms.append((time.process_time_ns() - start_ns) / 1e6)
    return quantile(spent_ms, 0.5)


def _lines(figures: Figures) -> tuple[Line, ...]:
    whole, cold = "earlier_decide_cpu_median_ms", "earlier_decide_cold_cpu_median_ms"
    written, cold_written = "earlier_decide_written_cpu_median_ms", "earlier_decide_cold_written_cpu_median_ms"
    steps = (name for name in figures if name.startswith("step_"))
    return (
        Line(f"decide() of {COMMIT}, CPU, median", whole),
        Line("decide(), CPU, median", "decide_cpu_median_ms", whole, 0.4),
        Line("decide(), CPU, least", "decide_cpu_min_ms", "earlier_decide_cpu_min_ms"),
        Line(f"with the bytes of record and answer, {COMMIT}", written),
        Line("with the bytes of record and answer", "decide_written_cpu_median_ms", written),
        Line(f"decide() of {COMMIT} with cold caches, CPU, median", cold),
        Line("decide() with cold caches, CPU, median", "decide_cold_cpu_median_ms", cold),
        Line("  with the bytes of record and answer", "decide_cold_written_cpu_median_ms", cold_written),
        *(Line(_about(name), name, whole) for name in steps if figures[name] >= LEAST_MS),
        Line("the scorer alone", "score_ms", whole),
        *(Line(f"    of that {name[8:-3]}", name, whole) for name in figures if name.startswith("scoring_")),
        Line("the record's bytes", "bytes_ms", whole),
    )


def _about(figure: str) -> str:
    step, _, part = figure.removeprefix("step_").removesuffix("_ms").partition(WITHIN)
    return f"    of that {part}" if part else f"  of it {step}, to all of {COMMIT}'s"


DECIDE = Suite(
    open_deciding,
    (Measure(f"decide() beside that of {COMMIT}", _beside), Measure("the steps of decide()", _steps)),
    _lines,
)
