"""Moments that are due, that fired, and what has to be delivered of them: tables beside the ledger.

A watch is kept per (stream, moment): a signal that may make the moment sets when to look, a later one moves it. Looking
is claimed for a while, so that of several replicas one looks, and another does where that one died.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Row, bindparam, delete, insert, or_, select, update

from features.ledger import Ledger
from features.ledger.database import upsert
from features.ledger.tables import DELIVERIES, FIRED, WATCHES

CLAIM_US = 10_000_000
"""How long a replica that claimed something has for it before another may."""
State = Literal["waiting", "delivered", "dead"]
Route = Literal["webhook", "stream"]


@dataclass(frozen=True, slots=True)
class Watch:
    """A moment to look for: `subject` is the request's customer_id or visitor_id, by name; `cause` names the signal."""

    stream: str
    moment: str
    due_us: int
    subject: dict[str, str]
    cause: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A decision on its way: `id` is the same at every attempt, `body` the JSON that is sent."""

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

    @classmethod
    def new(
        cls, decision_id: str, route: Route, stream: str, moment: str, channel: str, at_us: int, body: bytes
    ) -> "Delivery":
        """One that waits for its first attempt; a decision goes each route once."""
        return cls(0, f"{decision_id}.{route}", stream, moment, channel, route, "waiting", 0, at_us, at_us, body, "")


def watch(connection: Connection, watches: Iterable[Watch]) -> None:
    """Sets when to look; a later signal of the same moment moves it. Part of the transaction that keeps the signals."""
    for one in watches:
        values = {"due_us": one.due_us, "claimed_us": 0, "body": _encode(one)}
        upsert(connection, WATCHES, {"stream": one.stream, "moment": one.moment}, values)


class Moments:
    """What is due and what is to be delivered, shared by all replicas of a workspace."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def due(self, now_us: int, limit: int = 50) -> list[Watch]:
        """Claims what is to be looked at now."""
        ready = (WATCHES.c.due_us <= now_us) & (WATCHES.c.claimed_us <= now_us - CLAIM_US)
        if not self._ledger.select(select(WATCHES.c.stream).where(ready).limit(1)):
            return []  # almost always, and then nothing is written

        def claim(connection: Connection) -> list[Watch]:
            found = connection.execute(select(WATCHES).where(ready).limit(limit).with_for_update()).all()
            taken = [{"s": row.stream, "m": row.moment} for row in found]
            here = (WATCHES.c.stream == bindparam("s")) & (WATCHES.c.moment == bindparam("m"))
            if taken:
                connection.execute(update(WATCHES).where(here).values(claimed_us=now_us), taken)
            return [_watch(row) for row in found]

        return self._ledger.transact(claim).result()

    def may_fire(self, watch: Watch, every_us: int, now_us: int) -> bool:
        """Whether the moment has not fired for this subject within `every_us`."""
        here = (FIRED.c.stream == watch.stream) & (FIRED.c.moment == watch.moment)
        rows = self._ledger.select(select(FIRED.c.at_us).where(here))
        return not rows or rows[0].at_us + every_us <= now_us

    def settle(self, watch: Watch, deliveries: Sequence[Delivery] = (), fired_us: int | None = None) -> None:
        """The watch is done, unless a signal has moved it meanwhile; it fired, if `fired_us`. All or nothing, once."""
        here = (WATCHES.c.stream == watch.stream) & (WATCHES.c.moment == watch.moment)

        def done(connection: Connection) -> None:
            connection.execute(delete(WATCHES).where(here, WATCHES.c.due_us == watch.due_us))
            if fired_us is not None:
                upsert(connection, FIRED, {"stream": watch.stream, "moment": watch.moment}, {"at_us": fired_us})
            known = {row.id for row in connection.execute(select(DELIVERIES.c.id).where(_any_of(deliveries)))}
            if rows := [_row(d) for d in deliveries if d.id not in known]:
                connection.execute(insert(DELIVERIES), rows)

        self._ledger.transact(done).result()

    def to_send(self, now_us: int, limit: int = 20) -> list[Delivery]:
        """Claims webhook deliveries whose next attempt is due, by moving that attempt on."""
        ready = (DELIVERIES.c.state == "waiting") & (DELIVERIES.c.route == "webhook") & (DELIVERIES.c.due_us <= now_us)
        if not self._ledger.select(select(DELIVERIES.c.seq).where(ready).limit(1)):
            return []

        def claim(connection: Connection) -> list[Delivery]:
            statement = select(DELIVERIES).where(ready).order_by(DELIVERIES.c.seq).limit(limit).with_for_update()
            found = connection.execute(statement).all()
            claimed = update(DELIVERIES).where(DELIVERIES.c.seq.in_([row.seq for row in found]))
            connection.execute(claimed.values(due_us=now_us + CLAIM_US))
            return [_delivery(row) for row in found]

        return self._ledger.transact(claim).result()

    def sent(self, delivery: Delivery, state: State, due_us: int, error: str = "") -> None:
        """How an attempt went."""
        values = {"state": state, "attempts": delivery.attempts + 1, "due_us": due_us, "error": error}
        moved = update(DELIVERIES).where(DELIVERIES.c.seq == delivery.seq).values(values)
        self._ledger.transact(lambda connection: connection.execute(moved) and None).result()

    def retry(self, ids: Sequence[str], now_us: int) -> int:
        """Dead letters that wait again; how many."""
        chosen = (DELIVERIES.c.id.in_(ids)) & (DELIVERIES.c.state == "dead")
        again = update(DELIVERIES).where(chosen).values(state="waiting", attempts=0, due_us=now_us, error="")
        return self._ledger.transact(lambda connection: int(connection.execute(again).rowcount)).result()

    def listed(self, state: State, after: int, limit: int) -> list[Delivery]:
        """Webhook deliveries in a state, from a cursor on."""
        here = (DELIVERIES.c.state == state) & (DELIVERIES.c.route == "webhook") & (DELIVERIES.c.seq > after)
        statement = select(DELIVERIES).where(here).order_by(DELIVERIES.c.seq).limit(limit)
        return [_delivery(row) for row in self._ledger.select(statement)]

    def streamed(self, after: int, channel: str, stream: str | None, limit: int = 100) -> list[Delivery]:
        """What screens of a channel are to show, from a cursor on; of one subject, or of all."""
        here = (DELIVERIES.c.route == "stream") & (DELIVERIES.c.channel == channel) & (DELIVERIES.c.seq > after)
        if stream is not None:
            here &= DELIVERIES.c.stream == stream
        statement = select(DELIVERIES).where(here).order_by(DELIVERIES.c.seq).limit(limit)
        return [_delivery(row) for row in self._ledger.select(statement)]

    def newest(self) -> int:
        """The cursor of a screen that has just begun to listen."""
        rows = self._ledger.select(select(DELIVERIES.c.seq).order_by(DELIVERIES.c.seq.desc()).limit(1))
        return int(rows[0].seq) if rows else 0

    def purge(self, before_us: int) -> None:
        """Forgets what was delivered, or shown on screens, before then; dead letters stay."""
        old = (DELIVERIES.c.at_us < before_us) & or_(DELIVERIES.c.state == "delivered", DELIVERIES.c.route == "stream")
        self._ledger.transact(lambda connection: connection.execute(delete(DELIVERIES).where(old)) and None).result()


def _any_of(deliveries: Sequence[Delivery]) -> Any:
    return DELIVERIES.c.id.in_([d.id for d in deliveries])


def _encode(one: Watch) -> bytes:
    return to_json([one.subject, one.cause])


def _watch(row: Row[Any]) -> Watch:
    subject, cause = from_json(row.body)
    return Watch(row.stream, row.moment, row.due_us, subject, cause)


def _row(delivery: Delivery) -> dict[str, Any]:
    names = ("id", "stream", "moment", "channel", "route", "state", "attempts", "due_us", "at_us", "body", "error")
    return {name: getattr(delivery, name) for name in names}


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**row._mapping)
