"""Moments that are due or have fired, and what is to be delivered: tables in the ledger's database.

There is one watch per (stream, moment). A signal that may lead to the moment sets when to check for it; a later signal
changes that time, and an event that arrives late never makes the check earlier. A replica claims a check for a while,
so that one replica checks, and another if that one dies. Whoever holds the claim may fire the moment: `settle` delivers
nothing for a replica that has lost it, and nothing once an erasure has deleted the watch.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, text, union_all, update

from decisioning.times import TOLERANCE_US
from features.ledger import Ledger, driver
from features.ledger.database import upsert
from features.ledger.tables import CLAIMS, DELIVERIES, FIRED, PRIVACY_CONTROLS, WATCHES

CLAIM_US = 10_000_000
"""How long a claim lasts, after which another replica may make it."""
LONGEST_PAUSE_US = 600_000_000
"""The longest pause before a delivery is attempted again."""
_IS_LATER = f"(excluded.event_us >= {WATCHES.name}.event_us OR {WATCHES.name}.event_us > ?)"
"""Whether the event of the new watch is later; a clock that was ahead may have given the other one its time."""
_LATER_DUE = f"CASE WHEN excluded.due_us > {WATCHES.name}.due_us THEN excluded.due_us ELSE {WATCHES.name}.due_us END"
_SET_WATCH = (
    f"{driver.insert_into(WATCHES, 'stream', 'moment', 'due_us', 'event_us', 'claimed_us', 'body')} "
    "ON CONFLICT (stream, moment) DO UPDATE SET "
    f"due_us = CASE WHEN {_IS_LATER} THEN excluded.due_us ELSE {_LATER_DUE} END, "
    f"body = CASE WHEN {_IS_LATER} THEN excluded.body ELSE {WATCHES.name}.body END, "
    f"event_us = CASE WHEN {_IS_LATER} THEN excluded.event_us ELSE {WATCHES.name}.event_us END"
)
_SET_CONTROL = (
    f"{driver.insert_into(PRIVACY_CONTROLS, 'stream', 'type', 'until_us')} ON CONFLICT (stream, type) DO UPDATE SET "
    f"until_us = CASE WHEN excluded.until_us > {PRIVACY_CONTROLS.name}.until_us "
    f"THEN excluded.until_us ELSE {PRIVACY_CONTROLS.name}.until_us END"
)
_LAST = "last delivery"
"""The claim that holds the highest `seq` ever given: rows are deleted, and SQLite would give their numbers again."""
OF_HANDOVER = "handover."
"""How the name of a delivery begins that tells of a handover; a moment's name has no full stop."""
OF_CONSENT = "consent."
"""How the name of a delivery begins that confirms a consent which was given in a conversation."""
_HIGHEST = select(func.max(DELIVERIES.c.seq).label("seq"))
_GIVEN = select(CLAIMS.c.until_us.label("seq")).where(CLAIMS.c.name == _LAST)
State = Literal["waiting", "delivered", "dead", "withheld"]
"""`delivered`: a receiver accepted it, or a screen got it. `dead`: given up. `withheld`: not sent any more."""
Route = Literal["webhook", "stream"]


@dataclass(frozen=True, slots=True)
class Watch:
    """A moment to check for.

    `subject`: customer_id or visitor_id, as in the request. `cause`: name of the signal. `event_us`: when that counts
    as having happened. `claimed_us`: when it was claimed, which names the claim.
    """

    stream: str
    moment: str
    due_us: int
    subject: dict[str, str]
    cause: str
    event_us: int
    claimed_us: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A decision, a step of a handover or a consent to deliver. `id` is the same at every attempt.

    `body`: the JSON that is sent with a decision; of a handover or a consent which it is, as the rest is made later.
    """

    seq: int
    id: str
    stream: str
    moment: str
    channel: str
    route: Route
    state: State
    attempts: int
    due_us: int
    at_us: int
    body: bytes
    error: str

    @property
    def decision_id(self) -> str:
        """The decision that is delivered."""
        return self.id.removesuffix(f".{self.route}")

    @property
    def of_handover(self) -> bool:
        """Whether it tells of a handover, or of a consent in one, and not of a decision that a moment opened."""
        return self.moment.startswith((OF_HANDOVER, OF_CONSENT))

    @classmethod
    def new(
        cls, decision_id: str, route: Route, stream: str, moment: str, channel: str, at_us: int, body: bytes
    ) -> "Delivery":
        """Return a delivery that waits for its first attempt. A decision is delivered once per route.

        :param decision_id: or what else names what is delivered, such as a step of a handover
        """
        return cls(
            seq=0,
            id=f"{decision_id}.{route}",
            stream=stream,
            moment=moment,
            channel=channel,
            route=route,
            state="waiting",
            attempts=0,
            due_us=at_us,
            at_us=at_us,
            body=body,
            error="",
        )


def watch(connection: Connection, watches: Iterable[Watch], now_us: int) -> None:
    """Set when to check, in the transaction that stores the signals; a later signal replaces time and cause.

    A signal that is no later, but arrives after the time of the check, has it made once more, for the same cause. A
    claim stays, so that nobody else checks before its holder has settled.
    """
    latest_us = [now_us + TOLERANCE_US] * 3
    rows = [
        (bytes.fromhex(one.stream), one.moment, one.due_us, one.event_us, 0, _encode(one), *latest_us)
        for one in watches
    ]
    if rows:
        driver.execute_many(connection, _SET_WATCH, rows)


def keep_privacy_controls(connection: Connection, until_us: Mapping[tuple[str, str], int]) -> None:
    """Keep that signals came with Global Privacy Control, in the transaction that stores the signals.

    :param until_us: (stream, type of signal) -> until when such signals are kept
    """
    rows = [(bytes.fromhex(stream), type_, until) for (stream, type_), until in sorted(until_us.items())]
    if rows:
        driver.execute_many(connection, _SET_CONTROL, rows)


class Moments:
    """Watches and deliveries, shared by all replicas of a workspace."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def claim_due(self, now_us: int, limit: int = 50) -> list[Watch]:
        """Claim and return the watches that are due."""
        free = (WATCHES.c.claimed_us <= now_us - CLAIM_US) | (WATCHES.c.claimed_us > now_us + TOLERANCE_US)
        ready = (WATCHES.c.due_us <= now_us) & free
        if not self._ledger.select(select(WATCHES.c.stream).where(ready).limit(1)):
            return []  # almost always; then nothing is written

        def claim(connection: Connection) -> list[Watch]:
            rows = connection.execute(select(WATCHES).where(ready).limit(limit).with_for_update()).all()
            keys = [{"s": row.stream, "m": row.moment} for row in rows]
            here = (WATCHES.c.stream == bindparam("s")) & (WATCHES.c.moment == bindparam("m"))
            if keys:
                connection.execute(update(WATCHES).where(here).values(claimed_us=now_us), keys)
            return [replace(_watch(row), claimed_us=now_us) for row in rows]

        return self._ledger.transact(claim).result()

    def may_fire(self, watch: Watch, every_us: int, now_us: int) -> bool:
        """Tell whether the moment has not fired for this subject within `every_us`; only who claimed it may fire it."""
        here = (FIRED.c.stream == watch.stream) & (FIRED.c.moment == watch.moment)
        rows = self._ledger.select(select(FIRED.c.at_us).where(here))
        return not rows or rows[0].at_us + every_us <= now_us

    def asks_no_profiling(self, streams: Sequence[str], types: Collection[str], now_us: int) -> bool:
        """Tell whether a signal that is still kept, of one of these types and streams, came with GPC."""
        table = PRIVACY_CONTROLS
        here = table.c.stream.in_(streams) & table.c.type.in_(sorted(types)) & (table.c.until_us > now_us)
        return bool(self._ledger.select(select(table.c.type).where(here).limit(1)))

    def settle(self, watch: Watch, deliveries: Sequence[Delivery] = (), fired_us: int | None = None) -> bool:
        """Delete a claimed watch, and add its deliveries; all in one transaction.

        If a signal has changed the watch, it stays and may be claimed at once. Returns False, and adds nothing, if the
        claim is lost: another replica has taken it over, or an erasure has deleted the watch.

        :param deliveries: those whose id exists already are left out
        :param fired_us: when the moment fired, if it did
        """

        def write(connection: Connection) -> bool:
            if not _end_claim(connection, watch):
                return False
            if fired_us is not None:
                upsert(connection, FIRED, {"stream": watch.stream, "moment": watch.moment}, {"at_us": fired_us})
            _insert_new(connection, deliveries)
            return True

        return self._ledger.transact(write).result()

    def read_upto(self, source: str) -> int | None:
        """Return the `seq` of the ledger up to which a source of deliveries was read, None before the first time."""
        rows = self._ledger.select(select(CLAIMS.c.until_us).where(CLAIMS.c.name == source))
        return rows[0].until_us if rows else None

    def add(self, deliveries: Sequence[Delivery], source: str, upto: int) -> None:
        """Add deliveries whose id does not exist yet, and note up to which `seq` their source was read.

        The note is written first: of replicas that add at once, the second waits and finds what the first added.
        """

        def write(connection: Connection) -> None:
            before = connection.execute(select(CLAIMS.c.until_us).where(CLAIMS.c.name == source)).scalar()
            upsert(connection, CLAIMS, {"name": source}, {"until_us": max(upto, before or 0)})
            _insert_new(connection, deliveries)

        self._ledger.transact(write).result()

    def claim_to_send(self, now_us: int, limit: int = 20) -> list[Delivery]:
        """Claim and return the webhook deliveries whose next attempt is due; a claim postpones that attempt."""
        made_ahead = DELIVERIES.c.due_us > now_us + LONGEST_PAUSE_US + TOLERANCE_US  # by a clock that was wrong
        ready = (DELIVERIES.c.state == "waiting") & (DELIVERIES.c.route == "webhook")
        ready &= (DELIVERIES.c.due_us <= now_us) | made_ahead
        if not self._ledger.select(select(DELIVERIES.c.seq).where(ready).limit(1)):
            return []

        def claim(connection: Connection) -> list[Delivery]:
            statement = select(DELIVERIES).where(ready).order_by(DELIVERIES.c.seq).limit(limit).with_for_update()
            rows = connection.execute(statement).all()
            postponed = update(DELIVERIES).where(DELIVERIES.c.seq.in_([row.seq for row in rows]))
            connection.execute(postponed.values(due_us=now_us + CLAIM_US))
            return [_delivery(row) for row in rows]

        return self._ledger.transact(claim).result()

    def record_attempt(self, delivery: Delivery, state: State, due_us: int, error: str = "") -> None:
        """Record an attempt: the state after it, and when the next one is due if any."""
        values = {"state": state, "attempts": delivery.attempts + 1, "due_us": due_us, "error": error}
        change = update(DELIVERIES).where(DELIVERIES.c.seq == delivery.seq).values(values)
        self._ledger.transact(lambda connection: connection.execute(change) and None).result()

    def withhold(self, delivery: Delivery, why: str) -> None:
        """Record that a delivery is not sent any more, and why."""
        change = update(DELIVERIES).where(DELIVERIES.c.seq == delivery.seq).values(state="withheld", error=why)
        self._ledger.transact(lambda connection: connection.execute(change) and None).result()

    def show(self, delivery: Delivery) -> None:
        """Record that a screen gets a delivery, if it is the first one."""
        if delivery.state != "waiting":
            return
        first = update(DELIVERIES).where(DELIVERIES.c.seq == delivery.seq, DELIVERIES.c.state == "waiting")
        shown = first.values(state="delivered")
        self._ledger.transact(lambda connection: connection.execute(shown) and None).result()

    def was_delivered(self, decision_id: str) -> bool:
        """Tell whether a decision was delivered by some route."""
        ids = [f"{decision_id}.{route}" for route in get_args(Route)]
        delivered = select(DELIVERIES.c.seq).where(DELIVERIES.c.id.in_(ids), DELIVERIES.c.state == "delivered")
        return bool(self._ledger.select(delivered))

    def retry(self, ids: Sequence[str], now_us: int) -> int:
        """Make dead letters wait for delivery again, and return how many."""
        chosen = (DELIVERIES.c.id.in_(ids)) & (DELIVERIES.c.state == "dead")
        again = update(DELIVERIES).where(chosen).values(state="waiting", attempts=0, due_us=now_us, error="")
        return self._ledger.transact(lambda connection: int(connection.execute(again).rowcount)).result()

    def page(self, state: State, after: int, limit: int) -> list[Delivery]:
        """Return the deliveries in a state, by any route, whose `seq` is above `after`."""
        here = (DELIVERIES.c.state == state) & (DELIVERIES.c.seq > after)
        statement = select(DELIVERIES).where(here).order_by(DELIVERIES.c.seq).limit(limit)
        return [_delivery(row) for row in self._ledger.select(statement)]

    def screen_page(
        self, after: int, channels: Sequence[str] = (), streams: Sequence[str] = (), limit: int = 100
    ) -> list[Delivery]:
        """Return deliveries to screens whose `seq` is above `after`, in order: of these channels or subjects, else all.

        Those that were withheld are left out.
        """
        here = (DELIVERIES.c.route == "stream") & (DELIVERIES.c.state != "withheld") & (DELIVERIES.c.seq > after)
        if channels or streams:
            here &= DELIVERIES.c.channel.in_(channels) | DELIVERIES.c.stream.in_(streams)
        statement = select(DELIVERIES).where(here).order_by(DELIVERIES.c.seq).limit(limit)
        return [_delivery(row) for row in self._ledger.select(statement)]

    def newest(self) -> int:
        """Return the highest `seq` ever given, from which a new screen goes on."""
        return max(row.seq or 0 for row in self._ledger.select(union_all(_HIGHEST, _GIVEN)))

    def purge(self, before_us: int) -> None:
        """Delete what was delivered, withheld or streamed to screens before a time, and privacy controls that ended.

        Dead letters stay.
        """
        settled = DELIVERIES.c.state.in_(("delivered", "withheld"))
        old = (DELIVERIES.c.at_us < before_us) & or_(settled, DELIVERIES.c.route == "stream")
        ended = PRIVACY_CONTROLS.c.until_us < before_us

        def write(connection: Connection) -> None:
            connection.execute(delete(DELIVERIES).where(old))
            connection.execute(delete(PRIVACY_CONTROLS).where(ended))

        self._ledger.transact(write).result()


def _insert_new(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    existing = {row.id for row in connection.execute(select(DELIVERIES.c.id).where(_any_of(deliveries)))}
    if rows := [_row(d) for d in deliveries if d.id not in existing]:
        _insert(connection, rows)


def _insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Number and insert deliveries.

    A screen asks for what is above the last number that it has. So numbers only grow, and they are given one
    transaction after the other: none is committed after a higher one was read.
    """
    if driver.is_postgresql(connection):
        connection.execute(text(f"LOCK TABLE {DELIVERIES.name} IN SHARE ROW EXCLUSIVE MODE"))
    last = max(row.seq or 0 for row in connection.execute(union_all(_HIGHEST, _GIVEN)))
    connection.execute(insert(DELIVERIES), [{**row, "seq": last + n} for n, row in enumerate(rows, 1)])
    upsert(connection, CLAIMS, {"name": _LAST}, {"until_us": last + len(rows)})


def _end_claim(connection: Connection, watch: Watch) -> bool:
    """Delete a watch, or free it if a signal has changed it; return whether its claim was still held.

    An erasure deletes watches before deliveries, and waits for the row of one that is being settled. So deliveries that
    are added for a watch that was still there are deleted with the others.
    """
    held = (WATCHES.c.stream == watch.stream) & (WATCHES.c.moment == watch.moment)
    held &= WATCHES.c.claimed_us == watch.claimed_us
    same = (WATCHES.c.due_us == watch.due_us) & (WATCHES.c.event_us == watch.event_us)
    if connection.execute(delete(WATCHES).where(held, same)).rowcount:
        return True
    return bool(connection.execute(update(WATCHES).where(held).values(claimed_us=0)).rowcount)


def _any_of(deliveries: Sequence[Delivery]) -> Any:
    return DELIVERIES.c.id.in_([d.id for d in deliveries])


def _encode(watch: Watch) -> bytes:
    return to_json([watch.subject, watch.cause])


def _watch(row: Row[Any]) -> Watch:
    subject, cause = from_json(row.body)
    return Watch(row.stream, row.moment, row.due_us, subject, cause, row.event_us)


def _row(delivery: Delivery) -> dict[str, Any]:
    names = ("id", "stream", "moment", "channel", "route", "state", "attempts", "due_us", "at_us", "body", "error")
    return {name: getattr(delivery, name) for name in names}


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**row._mapping)
