"""What `make bench-claims` measures: figures that the product tells of simulated worlds whose truth is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from statistics import fmean
from typing import Any


@dataclass(frozen=True, slots=True)
class Told:
    """What the product told of one simulated world.

    `truth`: the figure's true value. `value`, `low` and `high`: what was told, None where it told that it can't tell.
    `false_claim`: whether something untrue was claimed; None where every possible claim would be true. `found`: whether
    what is true was claimed; None where there is nothing to find.
    """

    truth: float
    value: float | None = None
    low: float | None = None
    high: float | None = None
    false_claim: bool | None = None
    found: bool | None = None

    @property
    def covered(self) -> bool | None:
        """Whether the interval holds the truth; None if no interval was told."""
        return None if self.low is None or self.high is None else self.low <= self.truth <= self.high


@dataclass(frozen=True, slots=True)
class Case:
    """One figure in one kind of world.

    `tell` simulates the world of a seed and returns what the product tells of it. `nominal`: the stated share of false
    claims, of which twice as many are within the goal. `coverage`: the least and the most coverage that meets the goal.
    """

    figure: str
    world: str
    tell: Callable[[int], Told]
    runs: int = 2_000
    nominal: float = 0.05
    coverage: tuple[float, float] = (0.93, 0.97)

    @property
    def name(self) -> str:
        """The figure and the world."""
        return f"{self.figure}, {self.world}"


def cases_of(module: str) -> Sequence[Case]:
    """Return the cases of one module of this package."""
    cases: Sequence[Case] = import_module(f"tests.benchmarks.claims.{module}").CASES
    return cases


def tell(module: str, case: int, seed: int) -> Told:
    """Return what one case of a module tells of the world of a seed; in a process of its own, if need be."""
    return cases_of(module)[case].tell(seed)


def summary(case: Case, told: Sequence[Told]) -> dict[str, Any]:
    """Return the figures of a case over its runs, as plain JSON types; None where there is nothing to say.

    `met`: whether coverage and false claims are within their goals.
    """
    covered = _share([t.covered for t in told])
    false = _share([t.false_claim for t in told])
    within = covered is None or case.coverage[0] <= covered <= case.coverage[1]
    return {
        "figure": case.figure,
        "world": case.world,
        "runs": len(told),
        "truth": fmean(t.truth for t in told),
        "mean_told": _mean([t.value for t in told]),
        "cannot_tell": sum(t.value is None for t in told) / len(told),
        "coverage": covered,
        "false_claims": false,
        "power": _share([t.found for t in told]),
        "met": within and (false is None or false <= 2.0 * case.nominal),
    }


def _share(each: Sequence[bool | None]) -> float | None:
    return _mean([None if one is None else float(one) for one in each])


def _mean(each: Sequence[float | None]) -> float | None:
    known = [one for one in each if one is not None]
    return fmean(known) if known else None
