"""Look at the tables that no chain covers: whether each row can be read, and is of a stream that there is."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import FromClause, Row, Table, bindparam, cast, exists, func, select, tuple_

from decisioning.facts.standing_rules import StandingRules
from decisioning.times import days_us
from features.ledger.checking.damaged import DamagedText, survive
from features.ledger.checking.verification import Flaw
from features.ledger.database import Database
from features.ledger.records import Bodies
from features.ledger.tables import (
    CONTACTS,
    DELIVERIES,
    EMPTIED,
    ERASURES,
    FIRED,
    OUTCOMES,
    PAUSES,
    PRIVACY_CONTROLS,
    RECORDS,
    RELEASES,
    SIGNAL_STATES,
    SIGNALS,
    STANDING_RULES,
    STANDINGS,
    WATCHES,
)

Problem = str
"""What is wrong with a row; empty if nothing is."""
Check = Callable[[Row[Any], "_Words"], Problem]
_PAGE: Final = 500
_NAME_CHARS: Final = 40
_ROUTES: Final = frozenset(("webhook", "stream"))
_STATES: Final = frozenset(("waiting", "delivered", "dead", "withheld"))
_UNTIL_US: Final = 2**52
"""A time in the year 2112; a later one was not written by a clock."""
_TIMES: Final = ("at_us", "due_us", "claimed_us", "occurred_us", "recorded_us", "expires_us", "until_us", "pass_us")


@dataclass(slots=True)
class _Words:
    """What the releases that are kept have: names of moments, channels and actions, and types of signals.

    `retention_us`: by type, for how long a release keeps its signals.
    """

    moments: set[str] = field(default_factory=set)
    channels: set[str] = field(default_factory=set)
    actions: set[str] = field(default_factory=set)
    retention_us: dict[str, set[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, database: Database, bodies: Bodies) -> "_Words":
        words = cls()
        for row in database.fetch(select(RELEASES.c.hash)):
            with suppress(Exception):  # of a damaged release the audit tells
                release = bodies.release(row.hash)
                words.moments |= {moment.id for moment in release.catalogue.moments}
                words.channels |= set(release.channels)
                words.actions |= set(release.actions)
                for name, type_ in release.signals.items():
                    words.retention_us.setdefault(name, set()).add(days_us(type_.retention_days))
        return words


def _state(row: Row[Any], words: _Words) -> Problem:
    if row.body is None:
        return ""
    format_, at_us, trackers = from_json(row.body)
    is_state = (format_, at_us, isinstance(trackers, dict)) == (1, max(at_us, 0), True)
    return "" if is_state and row.version > 0 else "it is no state"


def _signal(row: Row[Any], words: _Words) -> Problem:
    """Signals are kept from when they occurred, as far as earlier versions wrote them, or from the earlier time.

    Of erased subjects only keys are.
    """
    if row.type == EMPTIED:
        return "" if (row.occurred_us, row.body, row.content) == (0, b"{}", None) else "something of the erased is left"
    kept_us = words.retention_us.get(row.type, ())
    is_kept = any(row.expires_us - at_us in kept_us for at_us in (row.occurred_us, row.recorded_us))
    is_event = isinstance(from_json(row.body), dict) and len(row.key) == _NAME_CHARS
    return "" if is_event and is_kept and row.version > 0 else "it is no event of a type that a release has"


def _watch(row: Row[Any], words: _Words) -> Problem:
    subject, cause = from_json(row.body)
    is_watch = isinstance(subject, dict) and isinstance(cause, str)
    return "" if is_watch and row.moment in words.moments else "it is no watch for a moment that a release has"


def _fired(row: Row[Any], words: _Words) -> Problem:
    return "" if row.moment in words.moments else "no release has this moment"


def _control(row: Row[Any], words: _Words) -> Problem:
    return "" if row.type in words.retention_us else "no release has this type of signals"


def _delivery(row: Row[Any], words: _Words) -> Problem:
    body = from_json(row.body)
    if "event" in body:
        own = (f"{body['handover_id']}.{body['step']}.{row.route}", body["event"])
        is_sent = row.route == "webhook" and row.state in _STATES and row.attempts >= 0
        return "" if is_sent and own == (row.id, row.moment) else "it is not the delivery of its handover"
    is_known = row.route in _ROUTES and row.state in _STATES and row.channel in words.channels and row.attempts >= 0
    own = (f"{body['decision']['decision_id']}.{row.route}", body["moment"])
    return "" if is_known and own == (row.id, row.moment) else "it is not the delivery of its decision"


def _pause(row: Row[Any], words: _Words) -> Problem:
    return "" if row.paused in (0, 1) and row.action in words.actions else "it pauses no action that a release has"


def _rules(row: Row[Any], words: _Words) -> Problem:
    return "" if [StandingRules.from_json(part) for part in from_json(row.body)] else "it is no list of rules"


def _erasure(row: Row[Any], words: _Words) -> Problem:
    return "" if row.emptied in (0, 1) else "it is neither emptied nor not"


_CHECKS: Final[Mapping[Table, Check]] = {
    SIGNALS: _signal,
    SIGNAL_STATES: _state,
    WATCHES: _watch,
    FIRED: _fired,
    PRIVACY_CONTROLS: _control,
    DELIVERIES: _delivery,
    PAUSES: _pause,
    STANDING_RULES: _rules,
    ERASURES: _erasure,
}
_WITHOUT_RELEASE: Final = frozenset((SIGNAL_STATES, STANDING_RULES, ERASURES))
"""Those whose rows can be checked without the words of a release."""
_KNOWN_IN: Final[Mapping[Table, FromClause]] = {
    CONTACTS: STANDINGS,
    OUTCOMES: STANDINGS,
    SIGNALS: SIGNAL_STATES,
    WATCHES: SIGNAL_STATES,
    FIRED: SIGNAL_STATES,
    PRIVACY_CONTROLS: SIGNAL_STATES,
    DELIVERIES: STANDINGS,
    ERASURES: STANDINGS,
}
"""Where each stream of a table must be, too."""


def table_flaws(database: Database, bodies: Bodies) -> Iterator[Flaw]:
    """Yield rows that nothing wrote so."""
    words = _Words.of(database, bodies)
    unreadable = not words.channels and bool(database.fetch(select(RELEASES.c.hash).limit(1)))
    for table, check in _CHECKS.items():
        if not words.channels and table not in _WITHOUT_RELEASE:
            if unreadable and database.fetch(select(table.primary_key.columns[0]).limit(1)):
                yield Flaw(table.name, 0, "its rows cannot be checked, as no release can be read")
            continue
        ended: list[str] = []
        yield from survive(_row_flaws(database, table, check, words), ended)
        yield from (Flaw(table.name, 0, message) for message in ended)
    for table, known in _KNOWN_IN.items():
        strangers = select(table.c.stream).distinct().where(~exists().where(known.c.stream == table.c.stream))
        for row in database.fetch(strangers.limit(_PAGE)):
            yield Flaw(table.name, 0, f"rows are here of {_name(row.stream)}, of which nothing else is")
    yield from _gaps(database)


def _name(stream: str | bytes) -> str:
    return stream if isinstance(stream, str) else stream.hex()


def _row_flaws(database: Database, table: Table, check: Check, words: _Words) -> Iterator[Flaw]:
    """Yield the flaws of a table's rows, read in the order of the primary key; a key that is no text is bytes."""
    keys, n = list(table.primary_key.columns), 0
    after: dict[str, Any] = {}
    first = select(table).order_by(*keys).limit(_PAGE)
    last = (cast(bindparam(f"after_{key.name}", type_=key.type), key.type) for key in keys)
    following = first.where(tuple_(*keys) > tuple_(*last))
    while rows := database.fetch(following if after else first, after):
        for row in rows:
            n += 1
            if message := _problem(row, check, words):
                yield Flaw(table.name, getattr(row, "seq", n), message)
        values = ((key.name, getattr(rows[-1], key.name)) for key in keys)
        after = {f"after_{name}": value.raw if isinstance(value, DamagedText) else value for name, value in values}


def _problem(row: Row[Any], check: Check, words: _Words) -> Problem:
    try:
        if any(abs(getattr(row, name, None) or 0) > _UNTIL_US for name in _TIMES):
            return "it is of a time that no clock showed"
        return check(row, words)
    except (ValueError, TypeError, LookupError, AttributeError):
        return "it cannot be read"


def _gaps(database: Database) -> Iterator[Flaw]:
    """Yield whether numbers of records are missing; PostgreSQL leaves some out, SQLite none."""
    counted = select(
        func.count().label("n"), func.min(RECORDS.c.seq).label("low"), func.max(RECORDS.c.seq).label("high")
    )
    row = database.fetch(counted)[0]
    if database.sqlite and row.n and row.n != row.high - row.low + 1:
        yield Flaw(RECORDS.name, row.high, "numbers of records are missing before this one")
