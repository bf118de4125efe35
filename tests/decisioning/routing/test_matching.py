"""Many are matched at once: nobody gets what they may not have, and the sum is what an exact solver finds."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from decisioning.routing.matching import STEP_S, assign, auction, values_of
from decisioning.routing.people import Agent, Presence, Roster, Waiting, missing
from decisioning.routing.ranking import Staff
from decisioning.routing.rules import RoutingRules

ISSUES = "abcdef"
NOW_US = 10**12


@st.composite
def problems(draw: st.DrawFn) -> tuple[NDArray[np.float64], list[int]]:
    """Draw values of pairs, some of which may not be, and how many each agent takes."""
    shape = draw(st.tuples(st.integers(1, 8), st.integers(1, 6)))
    values = draw(arrays.arrays(float, shape, elements=st.sampled_from([-np.inf, 1.0, 5.0, 40.0, 40.5, 90.0, 300.0])))
    return values, draw(st.lists(st.integers(0, 3), min_size=shape[1], max_size=shape[1]))


def largest_sum(values: NDArray[np.float64], units: list[int]) -> float:
    """Return the largest sum of values, by an exact solver with a column for each unit."""
    dense = np.repeat(np.where(np.isfinite(values), values, 0.0), units, axis=1)
    rows, columns = linear_sum_assignment(dense, maximize=True)
    return float(dense[rows, columns].sum())


@given(problems())
def test_the_sum_is_that_of_an_exact_solver_but_for_a_step_a_bidder(
    problem: tuple[NDArray[np.float64], list[int]],
) -> None:
    values, units = problem
    pairs = auction(values, units)
    assert all(np.isfinite(values[pair]) for pair in pairs)
    assert max(Counter(row for row, _ in pairs).values(), default=0) <= 1
    assert all(count <= units[column] for column, count in Counter(column for _, column in pairs).items())
    bidders = min(len(values), sum(units))
    assert sum(values[pair] for pair in pairs) >= largest_sum(values, units) - bidders * STEP_S


def staff_of(n_agents: int, n_waiting: int, seed: int) -> tuple[list[Waiting], Staff]:
    """Return a queue of chats and calls, and idle agents of whom each knows half of the issues."""
    rng = np.random.default_rng(seed)
    agents = [
        Agent(
            f"a-{n}",
            frozenset(["nl"] + ["en"] * (rng.random() < 0.5)),
            {ISSUES[k]: float(rng.uniform(0.3, 1)) for k in rng.choice(6, 3, replace=False)},
            frozenset(["vulnerable"] * (rng.random() < 0.4)),
            {"chat": int(rng.integers(1, 4)), "voice": 1},
            0,
            2 * NOW_US,
        )
        for n in range(n_agents)
    ]
    presences = [Presence(a, NOW_US - int(rng.integers(0, 600e6))) for a in agents]
    waiting = [
        Waiting(
            f"w-{n}",
            NOW_US - int(rng.exponential(120e6)),
            ISSUES[int(rng.integers(6))],
            "nl" if rng.random() < 0.8 else "en",
            "chat" if rng.random() < 0.7 else "voice",
            helps=bool(rng.random() < 0.5),
            upset=bool(rng.random() < 0.3),
            needs=frozenset(["vulnerable"] * (rng.random() < 0.1)),
            knows=f"a-{rng.integers(n_agents)}" if rng.random() < 0.2 else None,
        )
        for n in range(n_waiting)
    ]
    return waiting, Staff(Roster(agents), presences, NOW_US, RoutingRules())


@pytest.mark.promise("routing.requirements")
@pytest.mark.parametrize("seed", range(5))
def test_nobody_gets_who_may_not_help_or_has_no_room(seed: int) -> None:
    waiting, staff = staff_of(30, 100, seed)
    pairs = assign(waiting, staff)
    assert len(pairs) >= 30
    held: dict[str, Counter[str]] = {}
    for who, presence in pairs:
        agent = presence.agent
        assert missing(who, agent) is None
        held.setdefault(agent.id, Counter())[who.channel] += 1
    capacity = {p.agent.id: p.agent.capacity for p in staff.presences}
    assert all(sum(n / capacity[a][c] for c, n in counts.items()) <= 1 + 1e-9 for a, counts in held.items())
    known = {who.id: presence.agent.id for who, presence in pairs if staff.held_for(who) is not None}
    assert known == {who.id: who.knows for who, _ in pairs if who.id in known}


def test_ten_times_as_many_as_there_is_room_for_are_matched_as_an_exact_solver_would() -> None:
    waiting, staff = staff_of(50, 1_000, 0)
    values = values_of(waiting, staff, range(50))
    units = [p.room("chat") for p in staff.presences]
    assert sum(values[pair] for pair in auction(values, units)) >= 0.99 * largest_sum(values, units)


@pytest.mark.long
def test_ten_thousand_and_five_hundred_agents_are_matched_as_an_exact_solver_would() -> None:
    """It takes a second or two; `linear_sum_assignment` takes several times as long."""
    waiting, staff = staff_of(500, 10_000, 0)
    values = values_of(waiting, staff, range(500))
    units = [p.room("chat") for p in staff.presences]
    assert sum(values[pair] for pair in auction(values, units)) >= 0.99 * largest_sum(values, units)


def test_room_for_several_gives_nobody_too_many_upset_customers_at_once() -> None:
    agents = [Agent(name, frozenset(["nl"]), {"a": 1.0}, frozenset(), {"chat": 2}, 0, 2 * NOW_US) for name in "xy"]
    presences = [Presence(agents[0], NOW_US, upset_in_a_row=3), Presence(agents[1], NOW_US, {"chat": 2})]
    waiting = [Waiting(str(n), NOW_US - 10**8, "a", "nl", "chat", upset=True) for n in range(2)]
    staff = Staff(Roster(agents), presences, NOW_US, RoutingRules())
    assert len(assign(waiting, staff)) == 1
    assert len(assign([waiting[0], replace(waiting[1], upset=False)], staff)) == 2
