"""States of signals: the order of events does not matter, and readings equal a recomputation at any time."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.facts.schema import Feature
from decisioning.facts.signals import SignalFeature, SignalSettings, SignalType
from features.signals import Definitions, Event, State, absorb, decode, encode, facts, merge, missing, rebuild
from tests.examples import examples
from tests.features.signals.recomputed import recompute
from tests.features.signals.signal_help import (
    HOUR_US,
    NOW_US,
    S_US,
    STEPS_US,
    assert_same,
    by_the_book,
    definitions,
    event,
    histories,
    release,
)

SIGNAL = release().schema.of_source("signal")


def absorbed(events: list[Event], now_us: int = 0) -> State:
    return absorb(State.empty(definitions()), events, definitions(), now_us)


def recent(events: list[Event]) -> list[Event]:
    """Return the events that are at most a day late when the last one is recorded."""
    return [e for e in events if e.time_us >= events[-1].recorded_us - 24 * HOUR_US]


@pytest.mark.promise("signals.exact")
@given(histories().map(recent), st.randoms(use_true_random=False), st.lists(st.integers(0, 40), max_size=4))
@settings(max_examples=examples(80), deadline=None)
def test_any_order_and_any_split_comes_to_the_same_state(
    events: list[Event], order: random.Random, cuts: list[int]
) -> None:
    whole = absorbed(events)
    shuffled = order.sample(events, len(events))
    state = State.empty(definitions())
    for start, end in pairwise(sorted({0, *cuts, len(events)})):
        state = absorb(state, shuffled[start:end], definitions(), 0)
    assert state == whole
    assert encode(absorb(state, [], definitions(), 0)) == encode(whole)


@pytest.mark.promise("signals.exact")
@given(histories(), st.lists(STEPS_US, min_size=1, max_size=3), st.integers(1, 9))
@settings(max_examples=examples(120), deadline=None)
def test_facts_equal_a_recomputation_at_any_later_time(events: list[Event], steps: list[int], size: int) -> None:
    state, at_us = State.empty(definitions()), NOW_US
    for start in range(0, len(events), size):
        seen = events[: start + size]
        state = decode(encode(absorb(state, events[start : start + size], definitions(), seen[-1].recorded_us)))
        at_us = seen[-1].recorded_us
        for later_us in (0, *steps):
            at_us += later_us
            assert_same(facts(state, definitions(), at_us), by_the_book(seen, at_us))
    assert_same(facts(state, definitions(), at_us), recompute(events, SIGNAL, at_us))


@given(histories().map(recent), st.lists(st.integers(0, 2), min_size=40, max_size=40))
@settings(max_examples=examples(80), deadline=None)
def test_merged_is_as_if_one_had_absorbed_all(events: list[Event], whose: list[int]) -> None:
    parts = [absorbed([e for e, owner in zip(events, whose, strict=False) if owner == n]) for n in range(3)]
    a, b, c = parts
    whole = absorbed(events)
    left = merge(merge(a, b, definitions()), c, definitions())
    assert left == whole == merge(c, merge(b, a, definitions()), definitions())
    assert merge(whole, State.empty(definitions()), definitions()) == whole
    assert [absorbed([e for e, owner in zip(events, whose, strict=False) if owner == n]) for n in range(3)] == parts


@given(histories())
@settings(max_examples=examples(25), deadline=None)
def test_nothing_is_changed_in_place(events: list[Event]) -> None:
    half = len(events) // 2
    state = absorbed(events[:half])
    before = encode(state)
    absorb(state, events[half:], definitions(), 0)
    merge(state, absorbed(events[half:]), definitions())
    facts(state, definitions(), 2 * NOW_US)
    assert encode(state) == before


def test_five_thousand_events_late_and_out_of_order() -> None:
    rng = random.Random(7)
    events, recorded_us = list[Event](), NOW_US
    for _ in range(5000):
        recorded_us += int(rng.expovariate(1 / 90) * S_US)
        late_us = rng.choice(
            [0, 0, 0, rng.randrange(60 * S_US), rng.randrange(24 * HOUR_US), -rng.randrange(60 * S_US)]
        )
        fields = {"page": f"page-{rng.randrange(200)}", "seconds": rng.uniform(0, 90), "items": rng.randrange(-5, 6)}
        fields |= {"paid": rng.random() < 0.5, "step": rng.choice(["added", "removed", "bought"])}
        type_ = rng.choice(["view", "view", "login"])
        shown = fields if type_ == "view" else {}
        events.append(event(rng.getrandbits(100), recorded_us - late_us, recorded_us, type_, **shown))
    state, seen = State.empty(definitions()), 0
    while seen < len(events):
        batch = events[seen : seen + rng.choice([1, 3, 200, 600])]
        seen += len(batch)
        state = absorb(state, rng.sample(batch, len(batch)), definitions(), batch[-1].recorded_us)
        at_us = batch[-1].recorded_us + rng.choice([0, rng.randrange(60 * S_US), rng.randrange(48 * HOUR_US)])
        assert_same(facts(state, definitions(), at_us), recompute(events[:seen], SIGNAL, at_us))
    assert_same(facts(state, definitions(), at_us), by_the_book(events, at_us))
    assert len(encode(state)) < 22_000


@pytest.mark.promise("signals.long-history")
def test_a_long_past_leaves_no_more_than_a_short_one() -> None:
    """The size of a state is bounded, and so is the cost of reading it and of adding to it."""
    sizes = []
    for many in (2_000, 20_000):
        events = [
            event(n, NOW_US + n * 400 * S_US, page=f"{n % 500:040}", seconds=n * 0.1, items=n % 5) for n in range(many)
        ]
        sizes.append(len(encode(absorbed(events))))
    assert sizes[1] < sizes[0] * 1.05


def test_a_window_that_has_emptied_reads_as_empty() -> None:
    state = absorbed([event(1, NOW_US, page="tv", paid=True, seconds=3.5), event(2, NOW_US, type_="login")])
    values = facts(state, definitions(), NOW_US)
    assert (values["count_30s"], values["tv_1h"], values["sum_5min"], values["session_events"]) == (2, 1, 3.5, 2)
    assert facts(state, definitions(), NOW_US + 29 * S_US)["count_30s"] == 2
    later = facts(state, definitions(), NOW_US + 30 * S_US)
    assert (later["count_30s"], later["tv_1h"], later["sum_5min"], later["session_events"]) == (0, 1, 3.5, 2)
    assert facts(state, definitions(), NOW_US + 1800 * S_US)["session_events"] == 2
    much_later = facts(state, definitions(), NOW_US + 24 * HOUR_US)
    assert (much_later["tv_1h"], much_later["sum_5min"], much_later["pages_24h"]) == (0, 0.0, 0)
    assert (much_later["session_events"], much_later["session_s"], much_later["heat_10s"]) == (0, 0.0, 0.0)
    assert (much_later["last_page"], much_later["since_login_s"]) == ("tv", 86_400.0)


def test_a_subject_without_events_has_counts_and_nothing_that_was_last() -> None:
    values = facts(State.empty(definitions()), definitions(), NOW_US)
    assert {"last_page", "last_step", "since_login_s"}.isdisjoint(values)
    assert set(values.values()) == {0}
    assert len(values) == len(SIGNAL) - 3


def test_the_last_value_is_of_the_greatest_key_where_two_are_as_late_and_ages() -> None:
    one, other = event(1, NOW_US, page="tv", step="added"), event(2, NOW_US, page="film", step="bought")
    for order in ([one, other], [other, one]):
        assert facts(absorbed(order), definitions(), NOW_US + 60 * S_US)["last_step"] == "bought"
    assert "last_step" not in facts(absorbed([one]), definitions(), NOW_US + 60 * S_US + 1)


def test_of_distinct_values_the_latest_are_kept_and_one_that_comes_back_is_as_new() -> None:
    pages = ["a", "b", "c", "d", "a"]
    state = absorbed([event(n, NOW_US + n * S_US, page=page) for n, page in enumerate(pages)])
    at_us = NOW_US + 60 * S_US
    assert facts(state, definitions(), at_us)["pages_1h"] == 3
    assert facts(state, definitions(), at_us + HOUR_US)["pages_1h"] == 0
    late = absorb(state, [event(9, NOW_US - S_US, page="a"), event(10, NOW_US, page="e")], definitions(), at_us)
    assert facts(late, definitions(), at_us)["pages_1h"] == 3
    assert facts(late, definitions(), at_us)["pages_24h"] == 5


def test_values_that_come_again_count_until_something_begins_them_anew_in_any_order() -> None:
    said = [event(n, NOW_US + n * S_US, page=page) for n, page in enumerate(["help", "tv", "help", "help"])]
    solved = event(9, NOW_US + 1 * S_US + 1, type_="login")
    at_us = NOW_US + 10 * S_US
    for events, again in ((said, 3), ([*said, solved], 2), ([solved, *said[::-1]], 2)):
        state = absorb(State.empty(definitions()), events, definitions(), at_us)
        assert facts(state, definitions(), at_us)["page_again"] == again
    assert facts(state, definitions(), at_us + HOUR_US)["page_again"] == 0


def test_a_late_event_makes_two_sessions_one() -> None:
    apart = absorbed([event(1, NOW_US), event(2, NOW_US + 40 * 60 * S_US)])
    at_us = NOW_US + 45 * 60 * S_US
    assert facts(apart, definitions(), at_us)["session_events"] == 1
    joined = facts(
        absorb(apart, [event(3, NOW_US + 20 * 60 * S_US, at_us)], definitions(), at_us), definitions(), at_us
    )
    assert (joined["session_events"], joined["session_s"]) == (3, 2400.0)
    separate = absorb(apart, [event(3, NOW_US + 9 * 60 * S_US, at_us)], definitions(), at_us)
    assert facts(separate, definitions(), at_us)["session_events"] == 1


def test_a_clock_ahead_of_ours_hides_nothing_from_the_next_decision() -> None:
    early = event(1, NOW_US + 50 * S_US, NOW_US, page="tv")
    values = facts(absorbed([early]), definitions(), NOW_US)
    assert (values["count_30s"], values["heat_10s"], values["last_page"]) == (1, 1.0, "tv")
    earlier = facts(absorbed([early]), definitions(), NOW_US - 5 * S_US)
    assert earlier == values, "nor does a reader whose clock is behind the writer's"


def test_what_a_new_release_adds_is_missing_until_it_is_made_of_the_log() -> None:
    known = [feature for feature in SIGNAL if feature.name != "count_30s"]
    before = Definitions(known, release().signals.values(), SignalSettings())
    first, second = event(1, NOW_US - S_US, page="tv"), event(2, NOW_US, page="film")
    old = absorb(State.empty(before), [first], before, NOW_US)
    assert len(missing(old, definitions())) == 1
    assert "count_30s" not in facts(absorb(old, [second], definitions(), NOW_US), definitions(), NOW_US)
    assert missing(merge(old, absorbed([second]), definitions()), definitions()) == missing(old, definitions())
    rebuilt = rebuild(old, [first], definitions(), NOW_US)
    assert not missing(rebuilt, definitions())
    assert absorb(rebuilt, [second], definitions(), NOW_US) == absorbed([first, second], NOW_US)


def test_what_a_release_no_longer_defines_is_dropped_before_it_misses_an_event() -> None:
    fewer = Definitions([f for f in SIGNAL if f.name == "count_30s"], release().signals.values(), SignalSettings())
    state = absorb(absorbed([event(1, NOW_US)]), [event(2, NOW_US)], fewer, NOW_US)
    assert facts(state, fewer, NOW_US) == {"count_30s": 2}
    assert len(missing(state, definitions())) == len(definitions().trackers) - 1


def test_equal_definitions_share_a_tracker_whatever_they_are_called() -> None:
    def defined(*signals: dict[str, object]) -> Definitions:
        features = [
            Feature.model_validate({"name": f"f{n}", "dtype": "int", "source": "signal", "signal": signal})
            for n, signal in enumerate(signals)
        ]
        return Definitions(features, [SignalType(id="a", retention_days=1.0)], SignalSettings())

    count: dict[str, object] = {"of": ("b", "a"), "where": {"x": (1, 2), "y": "z"}, "compute": "count", "window": "60s"}
    same = count | {"of": ("a", "b"), "where": {"y": "z", "x": (2, 1)}, "window": "1min"}
    assert len(defined(count, same).trackers) == 1
    for other in ({"of": "a"}, {"window": "61s"}, {"where": {"x": (1, 2)}}, {"where": {"x": 1, "y": "z"}}):
        assert len(defined(count, count | other).trackers) == 2
    sessions: dict[str, object] = {"of": "a", "compute": "session_events"}
    assert len(defined(sessions, sessions | {"compute": "session_seconds", "gap_min": 30.0}).trackers) == 1


def test_other_lateness_needs_other_sessions() -> None:
    feature = Feature(
        name="s", dtype="int", source="signal", signal=SignalFeature(of=("view",), compute="session_events")
    )
    day, hour = (Definitions([feature], [], SignalSettings(max_lateness_h=h)) for h in (24.0, 1.0))
    assert day.trackers.keys().isdisjoint(hour.trackers)
