"""Watches and deliveries: due, claimed, fired, delivered; on SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select

from features.ledger import Ledger
from features.ledger.tables import DELIVERIES, FIRED, WATCHES
from features.moments import CLAIM_US, Delivery, Moments, Watch, _insert, _row, keep_privacy_controls, watch

NOW_US = 1_795_435_200_000_000
HOUR_US = 3_600_000_000


def a_watch(
    ledger: Ledger, customer: str = "c-1", due_us: int = NOW_US, cause: str = "e-1", event_us: int | None = None
) -> Watch:
    """Return a watch whose event happened when it is due, or at `event_us`."""
    stream = ledger.stream_of("person", customer)
    return Watch(
        stream, "cart-left", due_us, {"customer_id": customer}, cause, due_us if event_us is None else event_us
    )


def set_watch(ledger: Ledger, *watches: Watch, now_us: int = NOW_US) -> None:
    ledger.transact(lambda connection: watch(connection, watches, now_us)).result()


def claimed(ledger: Ledger, customer: str = "c-1") -> Watch:
    """Return a watch that is set and claimed."""
    set_watch(ledger, a_watch(ledger, customer))
    (due,) = Moments(ledger).claim_due(NOW_US)
    return due


def delivered(ledger: Ledger, *letters: Delivery, customer: str = "c-1") -> None:
    assert Moments(ledger).settle(claimed(ledger, customer), letters, NOW_US)


def letter(ledger: Ledger, decision: str = "d-1", route: str = "webhook", customer: str = "c-1") -> Delivery:
    stream = ledger.stream_of("person", customer)
    return Delivery.new(decision, route, stream, "cart-left", "app", NOW_US, b'{"moment": "cart-left"}')  # type: ignore[arg-type]


def test_a_watch_is_due_once_its_time_has_come(ledger: Ledger) -> None:
    moments = Moments(ledger)
    set_watch(ledger, a_watch(ledger, due_us=NOW_US + 900))
    assert moments.claim_due(NOW_US + 899) == []
    assert moments.claim_due(NOW_US + 900) == [a_watch(ledger, due_us=NOW_US + 900)]


def test_a_later_signal_begins_the_wait_anew(ledger: Ledger) -> None:
    moments = Moments(ledger)
    set_watch(ledger, a_watch(ledger, due_us=NOW_US + 900))
    later = a_watch(ledger, due_us=NOW_US + 1800, cause="e-2")
    set_watch(ledger, later)
    assert moments.claim_due(NOW_US + 1000) == []
    assert moments.claim_due(NOW_US + 1800) == [later]


@pytest.mark.promise("moments.fire-once")
def test_a_late_event_never_brings_a_look_forward_and_the_later_cause_stays(ledger: Ledger) -> None:
    """The page view of a quarter of an hour ago arrives while the customer is still shopping."""
    moments, shopping = Moments(ledger), a_watch(ledger, due_us=NOW_US + 900, cause="now", event_us=NOW_US)
    late = a_watch(ledger, due_us=NOW_US, cause="late", event_us=NOW_US - 900)
    for one in (shopping, late):
        set_watch(ledger, one)
    assert moments.claim_due(NOW_US + 899) == []
    assert moments.claim_due(NOW_US + 900) == [shopping]


def test_a_late_event_after_the_time_of_the_look_has_it_made_again_for_the_later_cause(ledger: Ledger) -> None:
    moments, one = Moments(ledger), claimed(ledger)
    late = a_watch(ledger, due_us=NOW_US + 5, cause="late", event_us=NOW_US - 900)
    set_watch(ledger, late)
    assert moments.settle(one)
    assert moments.claim_due(NOW_US + 5) == [replace(one, due_us=NOW_US + 5)]


def test_an_event_of_a_clock_ahead_holds_no_place_against_later_ones(ledger: Ledger) -> None:
    moments, ahead = Moments(ledger), a_watch(ledger, due_us=NOW_US + HOUR_US)
    set_watch(ledger, ahead, now_us=NOW_US + HOUR_US)
    right = a_watch(ledger, due_us=NOW_US + 900, cause="right", event_us=NOW_US)
    set_watch(ledger, right)
    assert moments.claim_due(NOW_US + 900) == [right]


def test_a_claim_made_by_a_clock_ahead_is_free_once_the_clock_is_right(ledger: Ledger) -> None:
    moments = Moments(ledger)
    set_watch(ledger, a_watch(ledger))
    assert len(moments.claim_due(NOW_US + HOUR_US)) == 1
    assert len(moments.claim_due(NOW_US)) == 1


def test_a_delivery_that_a_clock_ahead_put_off_is_sent_once_the_clock_is_right(ledger: Ledger) -> None:
    moments = Moments(ledger)
    delivered(ledger, letter(ledger))
    assert len(moments.claim_to_send(NOW_US + HOUR_US)) == 1
    assert len(moments.claim_to_send(NOW_US)) == 1


@pytest.mark.promise("moments.fire-once")
def test_a_second_replica_does_not_look_while_the_first_decides_though_a_signal_came(ledger: Ledger) -> None:
    moments, one = Moments(ledger), claimed(ledger)
    second = a_watch(ledger, due_us=NOW_US + 1, cause="e-2")
    set_watch(ledger, second)
    assert moments.claim_due(NOW_US + 1) == [], "the first one has not settled yet"
    assert moments.settle(one, [letter(ledger)], NOW_US)
    (again,) = moments.claim_due(NOW_US + 1)
    assert again == second
    assert not moments.may_fire(again, HOUR_US, NOW_US + 1)


@pytest.mark.promise("moments.fire-once")
def test_a_replica_that_was_too_slow_delivers_nothing(ledger: Ledger) -> None:
    moments, slow = Moments(ledger), claimed(ledger)
    (other,) = moments.claim_due(NOW_US + CLAIM_US)
    assert not moments.settle(slow, [letter(ledger, "d-slow")], NOW_US)
    assert moments.settle(other, [letter(ledger, "d-other")], NOW_US + CLAIM_US)
    assert [d.id for d in moments.claim_to_send(NOW_US)] == ["d-other.webhook"]


@pytest.mark.promise("moments.not-after-erasure")
def test_an_erasure_while_a_moment_is_decided_leaves_no_delivery(ledger: Ledger) -> None:
    moments, one = Moments(ledger), claimed(ledger)
    ledger.erase(one.stream)
    assert not moments.settle(one, [letter(ledger), letter(ledger, route="stream")], NOW_US)
    assert [len(ledger.select(select(table))) for table in (DELIVERIES, FIRED, WATCHES)] == [0, 0, 0]


def test_a_delivery_that_an_earlier_version_added_after_an_erasure_is_found_and_deleted(ledger: Ledger) -> None:
    one, other = (ledger.stream_of("person", customer) for customer in ("c-1", "c-2"))
    delivered(ledger, letter(ledger, "d-2", customer="c-2"), customer="c-2")
    ledger.erase(one)
    ledger.transact(lambda connection: _insert(connection, [_row(letter(ledger))]) or True).result()
    ledger.erasures.end_pass(ledger.erasures.begin_pass(NOW_US))
    assert [ledger.erasures.empty_again() for _ in range(2)] == [1, 0]
    assert [(e.stream, e.emptied) for e in ledger.erasures.listed()] == [(one, True)]
    assert [row.stream for row in ledger.select(select(DELIVERIES))] == [other]


def test_of_many_replicas_one_looks_and_another_does_where_it_died(ledger: Ledger) -> None:
    moments = Moments(ledger)
    set_watch(ledger, *(a_watch(ledger, f"c-{n}") for n in range(20)))
    with ThreadPoolExecutor(4) as replicas:
        claimed = [w.stream for watches in replicas.map(lambda _: moments.claim_due(NOW_US), range(8)) for w in watches]
    assert len(claimed) == len(set(claimed)) == 20
    assert moments.claim_due(NOW_US + CLAIM_US - 1) == []
    assert len(moments.claim_due(NOW_US + CLAIM_US)) == 20


def test_it_fires_once_in_its_period(ledger: Ledger) -> None:
    moments, one = Moments(ledger), claimed(ledger)
    assert moments.may_fire(one, HOUR_US, NOW_US)
    moments.settle(one, [letter(ledger)], NOW_US)
    assert moments.claim_due(NOW_US + CLAIM_US) == []
    assert not moments.may_fire(one, HOUR_US, NOW_US + HOUR_US - 1)
    assert moments.may_fire(one, HOUR_US, NOW_US + HOUR_US)
    assert moments.may_fire(replace(one, moment="outage"), HOUR_US, NOW_US)


def test_settling_keeps_what_a_signal_set_meanwhile_and_delivers_once(ledger: Ledger) -> None:
    moments, one = Moments(ledger), claimed(ledger)
    moved = replace(one, due_us=NOW_US + 5, event_us=NOW_US + 5)
    set_watch(ledger, moved)
    for is_first in (True, False):
        assert moments.settle(one, [letter(ledger)], NOW_US) == is_first
    assert moments.claim_due(NOW_US + 5) == [moved]
    assert [d.id for d in moments.claim_to_send(NOW_US)] == ["d-1.webhook"]


def test_a_delivery_is_claimed_retried_and_ends_as_a_dead_letter(ledger: Ledger) -> None:
    moments = Moments(ledger)
    delivered(ledger, letter(ledger))
    (first,) = moments.claim_to_send(NOW_US)
    assert moments.claim_to_send(NOW_US) == []
    moments.record_attempt(first, "waiting", NOW_US + 7, "answered 500")
    assert moments.claim_to_send(NOW_US + 6) == []
    (second,) = moments.claim_to_send(NOW_US + 7)
    assert (second.attempts, second.id, second.body) == (1, first.id, first.body)
    moments.record_attempt(second, "dead", 0, "answered 500")
    (dead,) = moments.page("dead", 0, 10)
    assert (dead.attempts, dead.error) == (2, "answered 500")
    assert moments.claim_to_send(NOW_US + HOUR_US) == []
    assert moments.retry([dead.id], NOW_US + HOUR_US) == 1
    assert [d.attempts for d in moments.claim_to_send(NOW_US + HOUR_US)] == [0]


def test_screens_see_their_channel_and_subject_from_a_cursor_on(ledger: Ledger) -> None:
    moments = Moments(ledger)
    delivered(ledger, letter(ledger, "d-0", "stream"))
    since = moments.newest()
    delivered(ledger, letter(ledger, "d-1", "stream"), letter(ledger, "d-1"))
    delivered(ledger, letter(ledger, "d-2", "stream", "c-2"), customer="c-2")
    assert [d.id for d in moments.screen_page(since, ["app"])] == ["d-1.stream", "d-2.stream"]
    assert [d.id for d in moments.screen_page(since, streams=[ledger.stream_of("person", "c-2")])] == ["d-2.stream"]
    assert moments.screen_page(since, ["web"]) == []
    assert moments.screen_page(moments.newest(), ["app"]) == []


def test_erasing_a_subject_takes_watches_and_letters_along(ledger: Ledger) -> None:
    moments = Moments(ledger)
    for customer in ("c-1", "c-2"):
        delivered(ledger, letter(ledger, f"d-{customer}", customer=customer), customer=customer)
    set_watch(ledger, *(a_watch(ledger, customer) for customer in ("c-1", "c-2")))
    ledger.erase(ledger.stream_of("person", "c-1"))
    assert [w.subject for w in moments.claim_due(NOW_US)] == [{"customer_id": "c-2"}]
    assert [d.id for d in moments.claim_to_send(NOW_US)] == ["d-c-2.webhook"]


def test_what_was_delivered_is_forgotten_and_dead_letters_stay(ledger: Ledger) -> None:
    moments = Moments(ledger)
    letters = [letter(ledger, f"d-{n}") for n in range(3)] + [letter(ledger, "d-9", "stream")]
    delivered(ledger, *letters)
    for one, state in zip(moments.claim_to_send(NOW_US), ("delivered", "dead", "waiting"), strict=True):
        moments.record_attempt(one, state, NOW_US)  # type: ignore[arg-type]
    moments.purge(NOW_US + 1)
    assert [d.id for d in moments.page("dead", 0, 10)] == ["d-1.webhook"]
    assert [d.id for d in moments.claim_to_send(NOW_US)] == ["d-2.webhook"]
    assert moments.screen_page(0, ["app"]) == []


def keep_controls(ledger: Ledger, **until_us: int) -> None:
    stream = ledger.stream_of("person", "c-1")
    rows = {(stream, type_): at_us for type_, at_us in until_us.items()}
    ledger.transact(lambda connection: keep_privacy_controls(connection, rows), hot=True).result()


def test_a_privacy_control_holds_for_its_type_and_stream_until_the_last_signal_is_not_kept(ledger: Ledger) -> None:
    moments, stream = Moments(ledger), ledger.stream_of("person", "c-1")
    keep_controls(ledger, cart=NOW_US + 9, page=NOW_US + 5)
    keep_controls(ledger, cart=NOW_US + 3)
    assert moments.asks_no_profiling([stream], {"cart", "other"}, NOW_US + 8)
    assert not moments.asks_no_profiling([stream], {"cart"}, NOW_US + 9)
    assert not moments.asks_no_profiling([stream], {"other"}, NOW_US)
    assert not moments.asks_no_profiling([ledger.stream_of("person", "c-2")], {"cart"}, NOW_US)
    moments.purge(NOW_US + 6)
    assert moments.asks_no_profiling([stream], {"cart"}, NOW_US)
    assert not moments.asks_no_profiling([stream], {"page"}, NOW_US)


def test_what_is_withheld_leaves_by_no_route_and_is_forgotten_in_time(ledger: Ledger) -> None:
    moments = Moments(ledger)
    delivered(ledger, letter(ledger), letter(ledger, route="stream"))
    (on_screen,) = moments.screen_page(0, ["app"])
    moments.show(on_screen)
    assert moments.was_delivered("d-1")
    assert not moments.was_delivered("d-2")
    (sent,) = moments.claim_to_send(NOW_US)
    for delivery in (sent, on_screen):
        moments.withhold(delivery, "consent:marketing")
    assert moments.claim_to_send(NOW_US + CLAIM_US) == moments.screen_page(0, ["app"]) == []
    assert [(d.route, d.error) for d in moments.page("withheld", 0, 10)] == [
        ("webhook", "consent:marketing"),
        ("stream", "consent:marketing"),
    ]
    moments.purge(NOW_US + 1)
    assert moments.page("withheld", 0, 10) == []
