"""Simulated days of a contact centre: the product's routing beside first come, first served by the longest idle."""

from typing import Any

import numpy as np
import pytest

from tests.decisioning.routing.centre import Router, contact_centre
from tests.training.conftest import data_path

pytestmark = pytest.mark.skipif(not data_path("").exists(), reason="needs the simulated worlds in ../shared")


def compared(kind: str, seed: int, n_agents: int) -> tuple[Any, Any]:
    """Play one day twice: with the peer, and with the product's routing, which gives nobody a fifth upset customer in
    a row while anyone else on shift may help.
    """
    centre = contact_centre()
    day = centre.contact_centre(kind, seed, n_agents)
    router = Router(day)
    peer, routed = centre.run(day, centre.longest_idle), centre.run(day, router)
    assert router.avoidable == 0
    return peer, routed


@pytest.mark.promise("routing.requirements")
def test_in_a_small_centre_no_requirement_is_broken_and_nobody_is_lost() -> None:
    """A fifth of the agents: enough to see what may never happen, too few for the figures."""
    peer, routed = compared("additive", 0, 40)
    assert (routed.broken, routed.left_over) == (0, 0)
    assert routed.upset_in_a_row <= 4 < peer.upset_in_a_row
    assert routed.continuity > 0.3 > peer.continuity
    assert routed.wait_p95_help_s < routed.wait_p95_s


@pytest.mark.long
@pytest.mark.parametrize("kind", ["same", "additive"])
def test_more_is_solved_and_help_waits_less(kind: str) -> None:
    """The goals of six days: on average, but for what may not happen on any."""
    days = [compared(kind, seed, 200) for seed in range(6)]
    for peer, routed in days:
        assert (routed.broken, routed.left_over) == (0, 0)
        assert routed.wait_p95_help_s <= routed.wait_p95_s
        assert routed.load_spread <= 2 * peer.load_spread
    ratios = {
        name: np.mean([getattr(routed, name) / getattr(peer, name) for peer, routed in days])
        for name in ("wait_p95_s", "wait_p95_help_s", "abandoned")
    }
    assert np.mean([routed.solved - peer.solved for peer, routed in days]) >= 0.005
    assert ratios["wait_p95_help_s"] <= 0.85
    assert ratios["wait_p95_s"] <= 1.05
    assert ratios["abandoned"] <= 1
    assert np.mean([routed.continuity for _, routed in days]) >= 0.5
