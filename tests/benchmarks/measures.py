"""The parts of `make bench`: measures that return figures, and lines of a table that compare figures with goals.

A benchmark joins the table by adding a `Suite` to `__main__.SUITES`. Its measures run in order and share one world and
one dictionary of figures (name -> number; the name ends in its unit), so that a later figure can be shown as a ratio
to an earlier one.
"""

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Figures = dict[str, float]


class Skipped(Exception):
    """A measure that cannot be taken here, and why; its lines are left out."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure: `run(world)` returns its figures."""

    about: str
    run: Callable[[Any], Figures]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: a figure, or its ratio to the figure `baseline` if given, and the goal, if there is one."""

    about: str
    figure: str
    baseline: str | None = None
    at_most: float | None = None
    at_least: float | None = None

    def has_figures(self, figures: Figures) -> bool:
        """Tell whether all that the row shows was measured."""
        return self.figure in figures and (self.baseline is None or self.baseline in figures)

    def ratio(self, figures: Figures) -> float | None:
        """Return the figure divided by its baseline, NaN if that is 0, or None if it has none."""
        if self.baseline is None:
            return None
        return figures[self.figure] / (figures[self.baseline] or math.nan)

    def met(self, figures: Figures) -> bool | None:
        """Tell whether the goal is met; None if there is no goal."""
        ratio = self.ratio(figures)
        value = figures[self.figure] if ratio is None else ratio
        if self.at_most is not None:
            return value <= self.at_most
        return None if self.at_least is None else value >= self.at_least


@dataclass(frozen=True, slots=True)
class Suite:
    """Measures that share a world, and the lines of their table. `world()` is a context manager.

    `lines`: or a function of the figures that returns them, where their names are not known before.
    """

    world: Callable[[], Any]
    measures: tuple[Measure, ...]
    lines: tuple[Line, ...] | Callable[[Figures], tuple[Line, ...]]


def quantile(values: list[float], share: float) -> float:
    """Return the quantile of `values` at `share`."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def timed(name: str, step: Callable[[int], object], count: int) -> Figures:
    """Return median and p99 of the times of `step(0)` to `step(count - 1)`."""
    times = []
    for n in range(count):
        start_s = time.perf_counter()
        step(n)
        times.append(time.perf_counter() - start_s)
    return _median_and_p99(name, times)


async def timed_async(name: str, step: Callable[[int], Awaitable[object]], count: int) -> Figures:
    """Return what `timed` does, of steps that are awaited one after the other."""
    times = []
    for n in range(count):
        start_s = time.perf_counter()
        await step(n)
        times.append(time.perf_counter() - start_s)
    return _median_and_p99(name, times)


def _median_and_p99(name: str, times_s: list[float]) -> Figures:
    return {f"{name}_median_ms": 1000 * quantile(times_s, 0.5), f"{name}_p99_ms": 1000 * quantile(times_s, 0.99)}
