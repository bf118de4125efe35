"""Simulated days of a contact centre whose telephone system asks for advice, beside its own order in the same run.

`python -m tests.serving.handovers.test_advised_days KIND SEED N_AGENTS` prints the figures of a day.
"""

import sys
from typing import Any

import pytest

from tests.decisioning.routing.centre import Router, contact_centre
from tests.serving.handovers.advised import AdvisedRouter
from tests.training.conftest import data_path

pytestmark = pytest.mark.skipif(not data_path("").exists(), reason="needs the simulated worlds in ../shared")
FIGURES = (
    *("solved", "wait_p50_s", "wait_p95_s", "wait_p95_help_s", "abandoned", "left_over", "broken", "continuity"),
    *("load_spread", "upset_in_a_row"),
)


def played(kind: str, seed: int, n_agents: int) -> dict[str, Any]:
    """Play a day by each order, and return what it came to."""
    centre = contact_centre()
    day = centre.contact_centre(kind, seed, n_agents)
    routers = {"longest_idle": centre.longest_idle, "advise": AdvisedRouter(day), "own": Router(day)}
    return {name: centre.run(day, route) for name, route in routers.items()}


@pytest.mark.promise("routing.advised-day")
def test_a_small_day_by_advice_loses_nobody_and_breaks_no_requirement() -> None:
    """An eighth of the agents, with a tenth of the answers late or absent."""
    day = played("additive", 0, 24)
    advised, peer = day["advise"], day["longest_idle"]
    assert (advised.broken, advised.left_over) == (0, 0)
    assert advised.continuity > peer.continuity
    assert advised.wait_p95_help_s < advised.wait_p95_s


if __name__ == "__main__":
    kind, seed, n_agents = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for name, result in played(kind, seed, n_agents).items():
        figures = " ".join(f"{figure}={getattr(result, figure):.4g}" for figure in FIGURES)
        sys.stdout.write(f"{kind} {seed} {name} {figures}\n")
