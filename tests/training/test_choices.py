"""Choices for the value of policies: selected by when they were made, with what each slot could have got."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from features.decisions.parsing import NOTHING
from features.ledger import Entry, Ledger
from tests.training.changed import BASE, release
from tests.training.choice_help import choices, decided, link
from tests.training.decided import DAY_US, THEN_US
from training.rows.choices import Choices, Drawn

WITHOUT_CAKE = release(BASE[: BASE.index("  - id: cake")])
MOODY = BASE.replace("actions:", "emotion: [{id: upset, when: mood < 0.0, silence_sales: true}]\nactions:", 1).replace(
    "  - {name: hardship", "  - {name: mood, dtype: float, source: signal, tags: [emotion]}\n  - {name: hardship", 1
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterable[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32) as ledger:
        yield ledger


def names(of: Choices | Drawn) -> list[str]:
    return [of.rows.actions[a] for a in of.rows.action]


def permitted(of: Choices, row: int) -> set[str]:
    return {name for name, may in zip(of.rows.actions, of.permitted[row], strict=True) if may}


@pytest.mark.promise("evaluation.selection")
def test_no_choice_is_taken_before_the_longest_window_of_all_has_closed(ledger: Ledger) -> None:
    """Cake's window closes after 10 days, tea's after 30: until then only decisions that drew cake would be known."""
    records = decided(ledger, 30, {"hero": 1})
    assert {p["treatment"] for r in records for p in r["picks"]} == {"cake.hero", "tea.hero", None}
    early = choices(ledger, THEN_US + 20 * DAY_US)
    assert (early.decisions, early.left_out) == (0, {"window still open": 30})
    later = choices(ledger)
    assert (later.decisions, later.customers, later.left_out) == (30, 30, {})
    assert set(names(later)) == {"cake", "tea", NOTHING}


@pytest.mark.promise("evaluation.selection")
def test_an_offer_that_did_not_reach_the_customer_is_a_choice_that_earned_nothing(ledger: Ledger) -> None:
    records = decided(ledger, 20, {"hero": 1})
    offers = {r["decision_id"]: r["contacts"][0] for r in records if r["contacts"]}
    lost, sold = sorted(offers)[:2]
    state = {"offer_id": offers[lost]["offer_id"], "state": "not_delivered"}
    bought = {"offer_id": offers[sold]["offer_id"], "action": offers[sold]["action"], "outcome": "bought"}
    for who, kind, body in ((lost, "contact", state), (sold, "outcome", bought)):
        stream = ledger.stream_of("person", f"p{who[1:]}")
        ledger.append([Entry(stream, kind, body, THEN_US + DAY_US)])
    result = choices(ledger)
    assert (result.decisions, int(result.rows.label.sum())) == (20, 1)
    assert result.rows.value_eur.sum() == (9.0 if offers[sold]["action"] == "cake" else 10.0)


@pytest.mark.promise("evaluation.selection")
def test_a_decision_in_which_an_action_could_be_shown_that_is_gone_is_left_out_whole(ledger: Ledger) -> None:
    records = decided(ledger, 20, {"hero": 1})
    assert {p["treatment"] for r in records for p in r["picks"]} > {"tea.hero"}
    result = choices(ledger, serves=WITHOUT_CAKE)
    assert (result.decisions, result.left_out) == (0, {"action gone": 20})


@pytest.mark.promise("evaluation.slates")
def test_what_an_earlier_slot_took_is_not_permitted_to_later_ones(ledger: Ledger) -> None:
    records = decided(ledger, 40, {"hero": 1, "side": 1})
    result = choices(ledger)
    assert (result.decisions, len(result.rows)) == (40, 80)
    taken = names(result)
    for row in range(0, 80, 2):
        assert permitted(result, row) == {"cake", "tea", NOTHING}
        assert permitted(result, row + 1) == {"cake", "tea", NOTHING} - ({taken[row]} - {NOTHING})
    picks = [p for r in records for p in r["picks"]]
    assert result.rows.probability.tolist() == [p["probability"] for p in picks]
    assert taken == [NOTHING if p["treatment"] is None else p["treatment"].split(".")[0] for p in picks]


@pytest.mark.promise("evaluation.slates")
def test_a_slot_without_room_is_no_choice(ledger: Ledger) -> None:
    """Two actions fit into three slots, so that the third, if it is come to, can get nothing."""
    decided(ledger, 60, {"hero": 3})
    result = choices(ledger)
    third = np.flatnonzero(np.concatenate(([0, 0], result.decision[2:] == result.decision[:-2])))
    assert len(third) > 5
    for row in third:
        assert (permitted(result, row), result.rows.probability[row]) == ({NOTHING}, 1.0)


@pytest.mark.promise("evaluation.slates")
def test_a_decision_that_a_mood_may_have_changed_after_the_draw_is_left_out(ledger: Ledger) -> None:
    decided(ledger, 5, {"hero": 1}, MOODY, mood=-0.5)
    assert choices(ledger, by=MOODY).left_out == {"emotion layer": 5}


def test_the_odds_of_an_action_are_those_of_all_its_treatments(ledger: Ledger) -> None:
    two = BASE.replace(
        "content_ref: d}", "content_ref: d}\n      - {id: big, channel: web, placements: [hero], content_ref: g}"
    )
    records = decided(ledger, 20, {"hero": 1}, two)
    result = choices(ledger, by=two)
    own = np.array([p["probability"] for r in records for p in r["picks"]])
    is_cake = np.array(names(result)) == "cake"
    assert is_cake.any()
    assert (result.rows.probability[is_cake] > own[is_cake]).all()
    np.testing.assert_array_equal(result.rows.probability[~is_cake], own[~is_cake])


@pytest.mark.promise("evaluation.customers")
def test_all_people_of_an_account_are_one_unit(ledger: Ledger) -> None:
    decided(ledger, 6, {"hero": 1}, account_id="h1")
    result = choices(ledger)
    assert (result.decisions, result.customers) == (6, 1)


@pytest.mark.promise("evaluation.customers")
def test_two_visitors_who_log_in_as_the_same_person_are_one_unit(ledger: Ledger) -> None:
    decided(ledger, 6, {"hero": 1})
    link(ledger, "p2", "p0", "p1")
    result = choices(ledger)
    assert (result.decisions, result.customers) == (6, 4)
    assert len(set(result.unit[:3].tolist())) == 1
