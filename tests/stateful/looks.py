"""Moments of the model and the product: who is looked at, and for whom one fires."""

from typing import Any

from pydantic_core import from_json
from sqlalchemy import select

from features.ledger.links import visitors_now
from features.ledger.tables import DELIVERIES, FIRED
from features.moments import Delivery, Moments
from tests.serving.workspaces import Json
from tests.stateful.case import Case, Leaving, decided_us
from tests.stateful.company import HERE
from tests.stateful.model import SECOND_US, TOLERANCE_US, WINDOWS_US, Bounds, Word, searches

WAIT_US, EVERY_US = 30 * SECOND_US, 3600 * SECOND_US
CLAIM_S = 11.0
"""After so long the claim of a replica that died is over."""
SUBJECTS = ("person:1", "person:2", "person:3", "visitor:1", "visitor:2")


def look(case: Case) -> None:
    """Let a process decide the moments that are due, and compare for whom one fired, and what is delivered."""
    company, by = case.company, case.by
    company.do(("do", "look", None), by)
    if by.kill_s is not None:
        company.clock.advance(CLAIM_S)
        company.do(("do", "look", None), HERE)
    new = [d for d in _deliveries(case) if d.seq > case.newest_seq]
    assert len({d.seq for d in new}) == len(new)
    case.newest_seq = max([case.newest_seq, *(d.seq for d in new)])
    for subject in SUBJECTS:
        if subject not in case.retired:
            _compare(case, subject, [d for d in new if d.stream == _stream(case, subject)])


def _compare(case: Case, subject: str, new: list[Delivery]) -> None:
    """Assert that a moment fired if it must, and only if it may, and keep that it did."""
    model, now_us = case.model, case.now_us
    pending = [w for w in _now(case, subject, "event") if w.number > _last(case, subject, "looked")]
    fired = _fired_us(case, subject) > _last_fired_us(case, subject)
    assert fired or not new, (subject, new)
    if fired:
        assert subject not in model.erased, subject
        assert _may_fire(case, subject, pending), subject
    elif subject not in model.erased and _is_due(_not_seen(case, subject, pending), now_us):
        assert not _must_fire(case, subject, pending), subject
    if fired or _is_due(pending, now_us):
        model.tell(subject, "looked", now_us)
    elif any(w.at_us + WAIT_US - TOLERANCE_US <= now_us for w in pending):
        model.tell(subject, "seen", now_us)
    if fired:
        model.tell(subject, "fired", now_us, at=_fired_us(case, subject))
        case.note_reading(subject)
        _delivered(case, subject, new)


def _not_seen(case: Case, subject: str, pending: list[Word]) -> list[Word]:
    """Return the events that no look has seen yet: one that is told late may be looked at as soon as it is told."""
    return [w for w in pending if w.number > _last(case, subject, "seen")]


def _delivered(case: Case, subject: str, new: list[Delivery]) -> None:
    """Assert that what fired is delivered once, if anything may be shown, and keep what was shown."""
    assert len(new) <= 1, (subject, new)
    shown = [offer for delivery in new for offer in _offers(delivery)]
    case.check_shown(subject, None, "push", {"tv": bool(shown)})
    for delivery in new:
        answer = from_json(delivery.body)["decision"]
        for offer in shown:
            case.show(subject, None, "push", offer, decided_us(answer))
            case.deliveries[delivery.decision_id] = Leaving(subject, offer["offer_id"], delivery.at_us)


def _offers(delivery: Delivery) -> list[Json]:
    return [o for p in from_json(delivery.body)["decision"]["placements"] for o in p["offers"]]


def _is_due(pending: list[Word], now_us: int) -> bool:
    """Tell whether the look has certainly become due: every event that waits for it lies back long enough."""
    last_us = max((max(w.at_us, w.recorded_us) for w in pending), default=None)
    return last_us is not None and last_us + WAIT_US + TOLERANCE_US <= now_us


def _may_fire(case: Case, subject: str, pending: list[Word]) -> bool:
    """Tell whether the moment may fire: not while the last event of right clocks is too near, nor twice in an hour."""
    now_us = case.now_us
    right = [w.at_us for w in pending if w.recorded_us <= now_us]
    waited = bool(pending) and (not right or max(right) + WAIT_US - TOLERANCE_US <= now_us)
    return waited and max(_counts(case, subject), default=0) >= 1 and _last_fired_us(case, subject) + EVERY_US <= now_us


def _must_fire(case: Case, subject: str, pending: list[Word]) -> bool:
    last_us = _last_fired_us(case, subject)
    return min(_counts(case, subject), default=0) >= 1 and last_us + EVERY_US <= case.now_us


def _counts(case: Case, subject: str) -> set[int]:
    """Return the counts of searches that the moment may have read."""
    if case.model.is_restricted(subject):
        return {0}
    words = case.model.belonging(subject) if subject.startswith("person:") else Bounds(*[_now(case, subject)] * 2)
    return {n or 0 for n in searches(words.of("event"), WINDOWS_US["searches_2d"], case.now_us)}


def _now(case: Case, subject: str, *kinds: str) -> list[Word]:
    """Return the words that moments of a subject go by: of a visitor those since it was last unlinked from anyone."""
    told = case.model.of(subject) if subject.startswith("person:") else case.model.stretch(subject)
    return [w for w in told if not kinds or w.kind in kinds]


def _last(case: Case, subject: str, kind: str) -> int:
    return max((w.number for w in _now(case, subject, kind)), default=-1)


def _last_fired_us(case: Case, subject: str) -> int:
    return max((w.data["at"] for w in _now(case, subject, "fired")), default=-EVERY_US)


def _fired_us(case: Case, subject: str) -> int:
    rows = case.company.brain.ledger.select(select(FIRED.c.at_us).where(FIRED.c.stream == _stream(case, subject)))
    return max((row.at_us for row in rows), default=-EVERY_US)


def _stream(case: Case, subject: str) -> str:
    kind: Any = subject.partition(":")[0]
    ledger = case.company.brain.ledger
    stream = ledger.stream_of(kind, case.id_of(subject))
    return stream if kind == "person" else visitors_now([stream], ledger.read)[0].stretch.stream


def _deliveries(case: Case) -> list[Delivery]:
    """Return what is there to deliver to this case's people."""
    streams = {_stream(case, subject) for subject in SUBJECTS}
    page = Moments(case.company.brain.ledger).screen_page(case.newest_seq, ["push"])
    return [delivery for delivery in page if delivery.stream in streams]


def gone(case: Case, subject: str) -> None:
    """Assert that nothing is there to deliver to an erased subject."""
    here = DELIVERIES.c.stream == _stream(case, subject)
    assert case.company.brain.ledger.select(select(DELIVERIES.c.seq).where(here)) == [], subject
