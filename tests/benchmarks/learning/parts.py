"""What `make bench-learning` is made of: parts of small runs that can be resumed, and lines that hold them to goals."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean, stdev
from typing import Any

Figures = dict[str, Any]
"""Of one run, by run name; plain JSON types."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its name within its part, and a function of the top of a module with its arguments, to be sent to a
    process of its own."""

    name: str
    function: Callable[..., Figures]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table; `met` is None where there is no goal."""

    measure: str
    figure: str
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Runs, and what the table says of those that are there."""

    runs: Sequence[Run]
    lines: Callable[[Mapping[str, Figures]], Sequence[Line]]
    alone: bool = False
    """Whether it measures time or memory, and must have the machine to itself."""


def carried_out(run: Run) -> Figures:
    """The run's figures, and how long it took."""
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    figures = run.function(*run.arguments)
    return {**figures, "seconds": round(time.perf_counter() - began, 1)}


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95% interval over seeds (Student's t, by its usual approximation from the normal)."""
    if len(values) < 2:
        return mean(values), float("nan")
    z, nu = NormalDist().inv_cdf(0.975), len(values) - 1
    t = z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
    return mean(values), t * stdev(values) / len(values) ** 0.5


def told(values: Sequence[float]) -> str:
    """A mean with its interval."""
    centre, half = spread(values)
    return f"{centre:.3f} ± {half:.3f} ({len(values)})"
