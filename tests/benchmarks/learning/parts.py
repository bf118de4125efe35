"""The parts of `make bench-learning`: small runs that can be resumed, and lines that compare figures with goals."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean, stdev
from typing import Any

Figures = dict[str, Any]
"""Figures of one run; plain JSON types."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its name within its part, and a module-level function with its arguments, run in a separate process."""

    name: str
    function: Callable[..., Figures]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table; `met` is None if there is no goal."""

    measure: str
    figure: str
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Runs, and a function that returns the table's lines from the figures by run name."""

    runs: Sequence[Run]
    lines: Callable[[Mapping[str, Figures]], Sequence[Line]]
    alone: bool = False
    """Whether it measures time or memory, so that no other run may run at the same time."""


def perform(run: Run) -> Figures:
    """Return the run's figures and its duration in seconds."""
    warnings.simplefilter("ignore")
    start_s = time.perf_counter()
    figures = run.function(*run.arguments)
    return {**figures, "seconds": round(time.perf_counter() - start_s, 1)}


def mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half of its 95% interval over seeds (Student's t, approximated from the normal)."""
    if len(values) < 2:
        return mean(values), float("nan")
    z, nu = NormalDist().inv_cdf(0.975), len(values) - 1
    t = z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
    return mean(values), t * stdev(values) / len(values) ** 0.5


def mean_with_interval(values: Sequence[float]) -> str:
    """Return the text of a mean with its interval and the number of values."""
    centre, half = mean_and_half_width(values)
    return f"{centre:.3f} ± {half:.3f} ({len(values)})"
