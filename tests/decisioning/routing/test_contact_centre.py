"""Simulated days of a contact centre: the product's routing beside first come, first served by the longest idle."""

from typing import Any

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
