"""A whole answer without a handover, beside what it cost before there were handovers: in turns, by CPU time.

`python -m tests.benchmarks handovers`. Both trees answer the same requests of one customer, each in a process of its
own, in the same run; the ratio is the median of the ratios of the rounds.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.earlier.measure import ROOT, check_out, next_message, program
from tests.benchmarks.measures import Figures, Line, Measure, Skipped, Suite

BEFORE = "fa11087"
"""The last commit before anything of handovers was built."""
ROUNDS, PER_ROUND = 24, 300
_PROGRAM = Path(__file__).parent / "earlier" / "answering.py"


@dataclass(frozen=True)
class Side:
    """A program that answers by the files of one tree, and the folder of its log."""

    program: "subprocess.Popen[str]"
    folder: Path

    def cpu_ms(self, n: int) -> float:
        """Return the mean CPU of an answer in the n-th round."""
        self.program.stdin.write(json.dumps([n, PER_ROUND]) + "\n")  # type: ignore[union-attr]
        self.program.stdin.flush()  # type: ignore[union-attr]
        return float(next_message(self.program, self.folder)["cpu_ms"])


@contextmanager
def open_sides() -> Iterator[tuple[Side, Side] | Skipped]:
    """Yield the programs of the earlier and the present tree, or why there is no earlier one."""
    with tempfile.TemporaryDirectory(prefix="bench-handovers-") as folder, ExitStack() as stack:
        tree, own = Path(folder) / "before", Path(folder) / "now"
        tree.mkdir()
        own.mkdir()
        try:
            check_out(tree, BEFORE)
        except Skipped as reason:
            yield reason
            return
        earlier = Side(stack.enter_context(program(tree, _PROGRAM)), tree)
        yield earlier, Side(stack.enter_context(program(ROOT, _PROGRAM, own)), own)


def _beside(sides: tuple[Side, Side] | Skipped) -> Figures:
    """Answer in rounds, each first in every other one; the first two rounds warm up."""
    if isinstance(sides, Skipped):
        raise sides
    before, now = list[float](), list[float]()
    for n in range(-2, ROUNDS):
        spent_ms = {side: side.cpu_ms(n) for side in (sides if n % 2 else sides[::-1])}
        if n >= 0:
            before.append(spent_ms[sides[0]])
            now.append(spent_ms[sides[1]])
    ratios = [after / earlier for after, earlier in zip(now, before, strict=True)]
    return {"before_ms": median(before), "answer_ms": median(ratios) * median(before)}


HANDOVERS = Suite(
    open_sides,
    (Measure(f"answers beside those of {BEFORE}", _beside),),
    (
        Line(f"an answer before handovers ({BEFORE}), CPU", "before_ms"),
        Line("an answer without a handover, CPU", "answer_ms", "before_ms", 1.03),
    ),
)
