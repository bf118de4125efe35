"""The parts of `make bench`: measures that return figures, and lines of a table that compare figures with goals.

A benchmark joins the table by adding a `Suite` to `__main__.SUITES`. Its measures run in order and share one world and
one dictionary of figures (name -> number; the name ends in its unit), so that a later figure can be shown as a ratio
to an earlier one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure: `run(world)` returns its figures."""

    about: str
    run: Callable[[Any], Figures]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: a figure, or its ratio to the figure `baseline` if given, and the goal `at_most`."""

    about: str
    figure: str
    baseline: str | None = None
    at_most: float | None = None

    def ratio(self, figures: Figures) -> float | None:
        """Return the figure divided by its baseline, or None if it has none."""
        return figures[self.figure] / figures[self.baseline] if self.baseline else None

    def met(self, figures: Figures) -> bool | None:
        """Tell whether the goal is met; None if there is no goal."""
        if self.at_most is None:
            return None
        ratio = self.ratio(figures)
        return (figures[self.figure] if ratio is None else ratio) <= self.at_most


@dataclass(frozen=True, slots=True)
class Suite:
    """Measures that share a world, and the lines of their table. `world()` is a context manager."""

    world: Callable[[], Any]
    measures: tuple[Measure, ...]
    lines: tuple[Line, ...]


def quantile(values: list[float], share: float) -> float:
    """Return the quantile of `values` at `share`."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
