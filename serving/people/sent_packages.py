"""Sends the context packages of handovers, and confirmations of consents that customers gave in them, to the company's
systems, over the signed webhook of moments.

The catalogue says which states of a handover are told (`settings.handover.deliver`). A delivery names the step, and
holds nothing else of the customer: the package is made at every attempt, from what is known and permitted then. A look
is recorded before it leaves.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from pydantic_core import from_json, to_json
from sqlalchemy import func, select

from decisioning.errors import Erased, NotFound
from decisioning.times import DAY_US, iso
from features.ledger import Duplicate, Ledger, Look, Record, now_us
from features.ledger.people.rows import HANDOVER
from features.ledger.tables import RECORDS
from features.moments import OF_CONSENT, OF_HANDOVER, Delivery, Moments
from serving.access.table import TABLE
from serving.brain.runtime import Brain
from serving.people.helping import confirmations
from serving.people.package import read_for_systems

OLDEST_US: Final = DAY_US
"""Steps that are older than this are not told, as after nothing has run for long."""
CONSENT: Final = "consent"
AGENT: Final = "agent"
"""The scope whose keys see what is sent."""
_SOURCE: Final = "told handovers"
_PAGE: Final = 500
_NEWEST: Final = select(func.max(RECORDS.c.seq).label("seq"))


class PackageSource:
    """Makes deliveries of the steps of handovers, as one replica does; several may do so at once."""

    def __init__(self, brain: Brain, moments: Moments) -> None:
        self._brain, self._moments = brain, moments
        self._after: int | None = None

    def prepare(self) -> None:
        """Make deliveries of the steps of handovers since the last time. Steps before the first time are not told.

        `scan` returns once every record up to `newest` is committed, so none is passed over.
        """
        settings = self._brain.snapshot.release.catalogue.settings.handover
        kinds = [*([HANDOVER] if settings.deliver else []), *([CONSENT] if settings.confirm_consents else [])]
        if not kinds:
            return
        newest = int(self._brain.ledger.select(_NEWEST)[0].seq or 0)
        after = self._moments.read_upto(_SOURCE) if self._after is None else self._after
        if after is None:
            self._moments.add((), _SOURCE, newest)
        elif newest > after:
            records = self._brain.ledger.scan(kinds, after, _PAGE)
            newest = records[-1].seq if len(records) == _PAGE else max(newest, *(r.seq for r in records), 0)
            if records:
                self._moments.add([*_deliveries(records, settings.deliver)], _SOURCE, newest)
        self._after = newest


def _deliveries(records: Iterable[Record], states: Iterable[str]) -> Iterator[Delivery]:
    oldest_us = now_us() - OLDEST_US
    recent = [record for record in records if record.at_us >= oldest_us]
    yield from confirmations.deliveries(record for record in recent if record.kind == CONSENT)
    for record in (record for record in recent if record.kind == HANDOVER):
        step = record.body
        if step is None or step["state"] not in states:
            continue
        event = f"{OF_HANDOVER}{step['state']}"
        about = {"event": event, "handover_id": step["handover_id"], "step": step["step"]}
        body = to_json({**about, "occurred_at": iso(record.at_us)})
        name = f"{step['handover_id']}.{step['step']}"
        channel = step.get("channel", "")
        yield Delivery.new(name, "webhook", record.stream, event, channel, record.at_us, body)


def body(brain: Brain, moments: Moments, delivery: Delivery) -> bytes | None:
    """Return what leaves now of a delivery, and record that it is shown; None if nothing leaves any more."""
    if delivery.moment.startswith(OF_CONSENT):
        sent = confirmations.body(brain, moments, delivery)
        if sent is not None:
            _record_look(brain.ledger, delivery)
        return sent
    about = from_json(delivery.body)
    try:
        package = read_for_systems(brain, about["handover_id"])
        if package is not None:
            _record_look(brain.ledger, delivery)
            return to_json({**about, "package": package})
        moments.withhold(delivery, "subject:restricted")
    except (Erased, NotFound):
        moments.withhold(delivery, "subject:erased")
    return None


def _record_look(ledger: Ledger, delivery: Delivery) -> None:
    """Record that a delivery shows its customer, once however often it is attempted."""
    look = Look(delivery.stream, "webhook", AGENT, "package", TABLE.default_purpose(AGENT))
    key = f"look-delivery:{delivery.id}"
    if ledger.lookup(key) is None:
        with suppress(Duplicate):  # another attempt recorded it meanwhile
            ledger.append([look.entry(key)])
