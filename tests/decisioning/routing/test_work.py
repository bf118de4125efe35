"""What an agent does now follows from what was told of them, in whatever order it came."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.routing.work import AgentWork, after_assignment, after_presence

CHANNELS = ("chat", "phone")
Word = tuple[int, dict[str, object]]


@st.composite
def words(draw: st.DrawFn) -> list[Word]:
    """Draw words about an agent's state and conversations, no two at the same time."""
    times = draw(st.lists(st.integers(1, 20), min_size=1, max_size=8, unique=True))
    return [(at_us, draw(word(at_us))) for at_us in times]


def word(at_us: int) -> st.SearchStrategy[dict[str, object]]:
    rows = st.lists(st.sampled_from("abc"), max_size=3, unique=True)
    some = rows.map(lambda keys: {"elsewhere": [[k, CHANNELS[k == "a"], at_us % 2 == 0] for k in keys]})
    whole = rows.map(lambda keys: {"elsewhere": [[k, CHANNELS[k == "a"], False] for k in keys], "whole": True})
    state = st.sampled_from(["available", "break", "off"]).map(lambda name: {"state": name})
    return st.one_of(some, whole, state)


@pytest.mark.promise("routing.any-order")
@settings(max_examples=100)
@given(words(), st.randoms(use_true_random=False))
def test_words_about_an_agent_may_come_in_any_order_and_twice(told: list[Word], order: object) -> None:
    mixed = told * 2
    order.shuffle(mixed)  # type: ignore[attr-defined]
    first, second = AgentWork(), AgentWork()
    for at_us, body in sorted(told, key=lambda one: one[0]):
        first = after_presence(first, body, at_us)
    for at_us, body in mixed:
        second = after_presence(second, body, at_us)
    assert (second.state, second.since_us) == (first.state, first.since_us)
    assert second.conversations() == first.conversations()


def test_a_late_word_does_not_open_again_what_a_list_of_all_did_not_name() -> None:
    ended, all_over, opened = ((["b", "chat", True], 4), (None, 8), (["b", "chat", False], 5))
    work = AgentWork()
    for row, at_us in (ended, all_over, opened):
        work = after_presence(work, {"elsewhere": [row] if row else [], "whole": at_us != 4}, at_us)
    assert work.conversations() == {}


def test_an_agent_is_idle_since_the_last_conversation_ended() -> None:
    held = {"handover_id": "h", "channel": "chat", "held": "accepted", "upset": True}
    busy = after_assignment(after_presence(AgentWork(), {"state": "available"}, 1), held, 2)
    assert (busy.shown_at(3), busy.upset_in_a_row) == ("busy", 1)
    both = after_presence(busy, {"elsewhere": [["k", "phone", False]]}, 4)
    assert (both.conversations(), both.upset_in_a_row) == ({"chat": 1, "phone": 1}, 0)
    one = after_assignment(both, {**held, "held": "ended"}, 5)
    assert one.idle_since_us == 1
    none = after_presence(one, {"elsewhere": [["k", "phone", True]]}, 6)
    assert (none.idle_since_us, none.shown_at(7)) == (6, "available")
    assert after_assignment(none, {**held, "held": "ended"}, 8) == none
    assert replace(none, state="wrap_up", until_us=9).shown_at(8) == "wrap_up"
    assert replace(none, state="wrap_up", until_us=9).shown_at(9) == "available"


def test_a_conversation_that_began_before_all_were_listed_and_is_not_among_them_is_over() -> None:
    listed = after_presence(AgentWork(), {"elsewhere": [["a", "chat", False]], "whole": True}, 5)
    late = after_presence(listed, {"elsewhere": [["b", "phone", False]]}, 3)
    assert late.conversations() == {"chat": 1}
    assert after_presence(late, {"elsewhere": [["b", "phone", False]]}, 6).conversations() == {"chat": 1, "phone": 1}
