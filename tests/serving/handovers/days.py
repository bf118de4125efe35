"""Whole simulated days of a contact centre: the product's routing in both modes beside the longest idle, in one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.decisioning.routing.centre import Router, contact_centre, helps
from tests.serving.handovers.advised import AdvisedRouter

KINDS = ("same", "additive")
Route = Callable[[float, Sequence[Any], Sequence[Any]], list[tuple[Any, Any]]]


@dataclass(frozen=True)
class Played:
    """A day by one order. `result`: what the simulation says; `sales_p95_s`: the wait of those who need no help."""

    result: Any
    sales_p95_s: float


@dataclass(frozen=True)
class Beside:
    """What the product's routing came to beside the longest idle: differences in points, times and shares as ratios.

    `avoidable`: a fifth upset customer in a row who might have gone to somebody else; `lost`: who was left over, and
    who was given against a requirement.
    """

    solved_points: float
    help: float
    help_by_sales: float
    sales: float
    all: float
    abandoned: float
    continuity: float
    spread: float
    avoidable: float
    lost: float


BOUNDS = {
    "solved_points": (0.5, np.inf),
    "help": (0.0, 0.85),
    "help_by_sales": (0.0, 1.0),
    "all": (0.0, 1.05),
    "abandoned": (0.0, 1.0),
    "continuity": (0.5, 1.0),
    "spread": (0.0, 2.0),
    "avoidable": (0.0, 0.0),
    "lost": (0.0, 0.0),
}
"""By figure: the least and the most that it may be."""


def compared(kind: str, seed: int, n_agents: int = 200) -> dict[str, Beside]:
    """Play one day by each order, and return for each mode what it came to beside the longest idle."""
    centre = contact_centre()
    day = centre.contact_centre(kind, seed, n_agents)
    peer = _played(day, centre.longest_idle)
    routers = {"own": Router(day), "advise": AdvisedRouter(day)}
    return {mode: _beside(_played(day, router), peer, router.avoidable) for mode, router in routers.items()}


def means(days: Sequence[Beside]) -> Beside:
    """Return the mean of each figure, but the sum of what may never happen."""
    figures = {name: float(np.mean([getattr(day, name) for day in days])) for name in Beside.__dataclass_fields__}
    never = {name: figures[name] * len(days) for name in ("avoidable", "lost")}
    return Beside(**figures | never)


def missed(figures: Beside) -> list[str]:
    """Return which figures are out of their bounds."""
    return [name for name, (least, most) in BOUNDS.items() if not least <= getattr(figures, name) <= most]


def _played(day: Any, route: Route) -> Played:
    waits_s: list[float] = []

    def noting(now_s: float, waiting: Sequence[Any], agents: Sequence[Any]) -> list[tuple[Any, Any]]:
        pairs = route(now_s, waiting, agents)
        waits_s.extend(now_s - customer.at_s for customer, _ in pairs if not helps(customer))
        return pairs

    centre = contact_centre()
    result = centre.run(day, noting)
    return Played(result, float(np.quantile(waits_s, 0.95)))


def _beside(ours: Played, peer: Played, avoidable: int) -> Beside:
    def ratio(name: str) -> float:
        return float(getattr(ours.result, name) / getattr(peer.result, name))

    return Beside(
        solved_points=100 * (ours.result.solved - peer.result.solved),
        help=ratio("wait_p95_help_s"),
        help_by_sales=ours.result.wait_p95_help_s / ours.sales_p95_s,
        sales=ours.sales_p95_s / peer.sales_p95_s,
        all=ratio("wait_p95_s"),
        abandoned=ratio("abandoned"),
        continuity=ours.result.continuity,
        spread=ratio("load_spread"),
        avoidable=avoidable,
        lost=ours.result.left_over + ours.result.broken,
    )
