"""Simulated days of a contact centre in both modes, beside the longest idle in the same run.

`python -m tests.benchmarks.routing days` prints the figures of each day.
"""

import pytest

from decisioning.routing.people import Agent, Presence, Roster, Waiting
from decisioning.routing.ranking import Staff
from decisioning.routing.rules import RoutingRules
from serving.people.routing import ranked_json
from tests.serving.handovers.days import KINDS, Beside, compared, means, missed
from tests.training.conftest import data_path

pytestmark = pytest.mark.skipif(not data_path("").exists(), reason="needs the simulated worlds in ../shared")


@pytest.fixture(scope="module")
def small_day() -> dict[str, Beside]:
    return compared("additive", 0, 40)


def test_an_answer_says_who_gets_no_upset_customer_whoever_it_is_about() -> None:
    """So that the caller knows it for the next, of whom no answer may come in time."""
    agents = [
        Agent(name, frozenset(["nl"]), {"bill": 1.0}, frozenset(), {"phone": 1}, 0, 10**12) for name in ("ann", "bo")
    ]
    presences = [Presence(agents[0], 0, upset_in_a_row=4), Presence(agents[1], 0, upset_in_a_row=3)]
    staff = Staff(Roster(agents), presences, 10**9, RoutingRules())
    assert ranked_json(Waiting("w", 0, "bill", "nl", "phone"), staff)["most_upset"] == ["ann"]


@pytest.mark.promise("routing.advised-day")
@pytest.mark.promise("routing.days")
@pytest.mark.promise("routing.requirements")
@pytest.mark.parametrize("mode", ["own", "advise"])
def test_a_small_day_loses_nobody_and_breaks_no_requirement(mode: str, small_day: dict[str, Beside]) -> None:
    """A fifth of the agents: enough to see what may never happen, too few for most of the figures."""
    figures = small_day[mode]
    assert (figures.lost, figures.avoidable) == (0, 0)
    assert figures.help < figures.sales
    assert figures.continuity > 0.4
    assert figures.spread <= 2


@pytest.mark.long
@pytest.mark.promise("routing.days")
def test_more_is_solved_and_help_waits_less() -> None:
    """The goals of twelve days: on average, but for what may not happen on any. It takes a quarter of an hour."""
    days = [compared(kind, seed) for kind in KINDS for seed in range(6)]
    for mode in ("own", "advise"):
        found = [day[mode] for day in days]
        assert missed(means(found)) == [], means(found)
        assert all(day.help_by_sales <= 1 and day.spread <= 2 for day in found)
