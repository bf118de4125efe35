"""A block of customers is decided as each of them alone, byte for byte."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.deciding.case import Case, DecisionContext
from decisioning.deciding.engine import decide, decide_block
from decisioning.errors import RequestError
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scores
from decisioning.facts.schema import Facts
from tests import strategies as world
from tests.examples import examples

CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "has_tv": st.booleans(),
        "hardship": st.booleans(),
        "arrears_eur": st.sampled_from([0.0, 80.0]),
        "monthly_fee_eur": st.sampled_from([None, 10.0, 60.0]),
        "page": st.sampled_from(["home", "help"]),
    },
)
ALLOWING = CHANGES.map(lambda changes: replace(world.permissive(), facts={**world.permissive().facts, **changes}))
"""Customers who allow everything, of whom different candidates pass."""
CUSTOMERS = st.lists(st.tuples(world.asks(), ALLOWING | world.known()), max_size=6)


def score(facts: Facts, candidates: np.ndarray) -> Scores:
    """Score by the customer's age and fee, differently for every candidate."""
    about = hash((facts.get("age"), facts.get("monthly_fee_eur"))) % 97
    propensity = (1.0 + about + candidates) / (100.0 + about + 2.0 * candidates)
    names = tuple(("age",) if c % 2 else () for c in candidates.tolist())
    return Scores(propensity, 50.0 + candidates, names, np.full(len(candidates), 4, dtype=np.int8), propensity + 0.1)


def case(n: int, ask: Ask, known: Known) -> Case:
    return Case(ask, known, world.SMALL, DecisionContext("m@1", world.NOW_US, f"d-{n}"))


@pytest.mark.promise("decisions.candidates-are-independent")
@settings(max_examples=examples(300), deadline=None)
@given(CUSTOMERS)
def test_a_block_has_the_bytes_and_the_answers_of_each_customer_alone(customers: list[tuple[Ask, Known]]) -> None:
    calls: list[tuple[int, tuple[int, ...]]] = []

    def score_rows(every: Sequence[Facts], candidates: np.ndarray) -> list[Scores]:
        calls.append((len(every), tuple(candidates.tolist())))
        return [score(facts, candidates) for facts in every]

    cases = [case(n, *customer) for n, customer in enumerate(customers)]
    together = decide_block(cases, score_rows)
    alone = [decide(c.ask, c.known, c.release, score, c.context) for c in cases]
    assert [d.to_bytes() for d in together] == [d.to_bytes() for d in alone]
    assert [d.answer for d in together] == [d.answer for d in alone]
    assert len({asked for _, asked in calls}) == len(calls)
    scored = [d for d in alone if d.computed.scoring_model == "m@1" and len(d.computed.screened.rows)]
    assert sum(n for n, _ in calls) == len(scored)


def test_customers_whose_candidates_passed_alike_are_scored_in_one_call() -> None:
    ask = Ask(request_id="r", customer_id="c", account_id="a", channel="web", placements=(PlacementAsk(name="hero"),))
    sizes: list[int] = []

    def score_rows(every: Sequence[Facts], candidates: np.ndarray) -> list[Scores]:
        sizes.append(len(every))
        return [score(facts, candidates) for facts in every]

    decisions = decide_block([case(n, ask, world.permissive()) for n in range(5)], score_rows)
    assert sizes == [5]
    assert all(a.record["decision_id"] < b.record["decision_id"] for a, b in pairwise(decisions))


def test_a_block_raises_what_one_of_its_customers_raises() -> None:
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="nowhere"),))
    with pytest.raises(RequestError, match=r"placements\.0\.name"):
        decide_block([case(0, ask, world.permissive())], lambda every, candidates: [])
