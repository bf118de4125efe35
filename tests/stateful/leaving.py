"""What leaves of deliveries, to screens and over a webhook: each as long as it may, and nothing that may not."""

from pydantic_core import from_json
from sqlalchemy import select

from features.ledger.tables import DELIVERIES
from features.moments import LONGEST_PAUSE_US, Moments
from tests.stateful.case import Case, Leaving
from tests.stateful.catalogue import ATTEMPTS
from tests.stateful.company import HERE
from tests.stateful.looks import CLAIM_S
from tests.stateful.model import RELEASED, SECOND_US, TOLERANCE_US


def leave(case: Case) -> None:
    """Let every delivery leave to a screen: of what may not be shown any more nothing does, and its place is free."""
    everything = Moments(case.company.brain.ledger).screen_page(0, ["push"], limit=100_000)
    for delivery in everything:
        one = case.deliveries.get(delivery.decision_id)
        if one is None or one.subject in case.retired:
            continue
        assert not case.model.is_gone(case.shown[one.offer_id]), (one, delivery.id)
        body = case.company.here.watcher._departures.body(delivery)
        _left(case, one, case.company.clock.now_us, left=_has_offers(body))


def _has_offers(body: bytes | None) -> bool:
    return body is not None and any(p["offers"] for p in from_json(body)["decision"]["placements"])


def _left(case: Case, one: Leaving, now_us: int, *, left: bool) -> None:
    """Assert that an offer left if it must, and only if it may; one that may not is not delivered.

    What was shown to a visitor is not for whoever uses it after the next unlink.
    """
    contact, reach = case.shown[one.offer_id], case.model.reach(one.subject)
    stops = case.model.stops(one.subject, None, "tv", "push", now_us)
    released, over = case.model.state(contact) in RELEASED, now_us >= contact.data["until_us"]
    numbers = [{w.number for w in words} for words in reach]
    if left:
        assert [gate for gate in stops.must if not gate.startswith("cap:")] == [], (one, stops)
        assert contact.number in numbers[1], one
        assert not over, one
        return
    assert stops.may or released or over or contact.number not in numbers[0], one
    if not released and not one.arrived:
        case.model.tell(one.subject, "state", now_us, state="expired" if over else "not_delivered", offer=one.offer_id)


def send(case: Case, *, accepted: bool) -> None:
    """Let a process call the webhook for all that is due; its receiver accepts everything or nothing.

    After a process was killed, everything is accepted: what it had sent may come again, once its claim is over.
    """
    company, by = case.company, case.by
    accepted, receiver = accepted or by.kill_s is not None, company.receiver
    receiver.statuses, receiver.got = [204 if accepted else 500], []
    company.do(("do", "send", None), by)
    if by.kill_s is not None:
        company.clock.advance(CLAIM_S)
        company.do(("do", "send", None), HERE)
    due = {key: one for key, one in case.deliveries.items() if _is_due(one, case.now_us)}
    got = [headers["webhook-id"].removesuffix(".webhook") for headers, body in receiver.got if _has_offers(body)]
    assert not (case.deliveries.keys() & {*got}) - due.keys(), (got, due)
    for key, one in due.items():
        assert got.count(key) <= (1 if by.kill_s is None else 2), key
        _sent(case, key, one, arrived=key in got, accepted=accepted)


def _is_due(one: Leaving, now_us: int) -> bool:
    """Tell whether the webhook is called; what a clock ahead gave an impossible time does not wait for it."""
    return not one.ended and not now_us < one.due_us <= now_us + LONGEST_PAUSE_US + TOLERANCE_US


def _sent(case: Case, key: str, one: Leaving, *, arrived: bool, accepted: bool) -> None:
    """Assert that what was sent may be, and that the rest may not, but for what waits behind a receiver that fails."""
    if case.model.is_gone(case.shown[one.offer_id]):
        assert not arrived, one
        one.ended = True
    elif not arrived and not accepted and _state(case, key) == "waiting":
        return
    elif one.subject in case.retired:
        one.ended = one.ended or accepted
    else:
        _left(case, one, case.now_us, left=arrived)
        one.ended = accepted or not arrived
        if arrived:
            _answered(case, one, accepted=accepted)


def _answered(case: Case, one: Leaving, *, accepted: bool) -> None:
    """Keep what the receiver said; after the last attempt the offer is not delivered."""
    one.arrived = one.arrived or accepted
    one.attempts += 1
    one.due_us = case.now_us + SECOND_US * 2 ** (one.attempts - 1)
    if not accepted and one.attempts == ATTEMPTS:
        one.ended = True
        if case.model.state(case.shown[one.offer_id]) not in RELEASED:
            case.model.tell(one.subject, "state", case.now_us, state="not_delivered", offer=one.offer_id)


def _state(case: Case, key: str) -> str:
    rows = case.company.brain.ledger.select(select(DELIVERIES.c.state).where(DELIVERIES.c.id == f"{key}.webhook"))
    return str(next(iter(rows)).state)
