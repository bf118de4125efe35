"""What `make bench` is made of: measures that yield figures, and lines of one table that hold figures against goals.

A benchmark joins the table by adding a `Suite` to `__main__.SUITES`: its measures run in order and share one world and
one dictionary of figures (name -> number; the name ends in its unit), so that a later one can be told as a ratio to an
earlier one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to measure: `run(world)` gives its figures."""

    about: str
    run: Callable[[Any], Figures]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: a figure, perhaps as a ratio to the figure `against`, and the most that either may be."""

    about: str
    figure: str
    against: str | None = None
    at_most: float | None = None

    def ratio(self, figures: Figures) -> float | None:
        """The figure divided by the one it is told against."""
        return figures[self.figure] / figures[self.against] if self.against else None

    def met(self, figures: Figures) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.at_most is None:
            return None
        ratio = self.ratio(figures)
        return (figures[self.figure] if ratio is None else ratio) <= self.at_most


@dataclass(frozen=True, slots=True)
class Suite:
    """Measures that share a world, and what the table says of them. `world()` is a context manager."""

    world: Callable[[], Any]
    measures: tuple[Measure, ...]
    lines: tuple[Line, ...]


def quantile(values: list[float], share: float) -> float:
    """The value that this share of `values` stays within."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
