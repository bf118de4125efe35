"""What a request that came before is answered: the recorded decision while it holds, else a new one."""

from collections.abc import Callable
from functools import partial
from typing import Any

from decisioning.errors import Erased, RequestReused
from decisioning.facts.forms import Ask, Known
from decisioning.facts.identity import is_of
from decisioning.facts.standing_rules import NO_PAST
from decisioning.review.rechecking import UNLINKED, Recheck, recheck
from features.ledger import Ledger, Record
from features.ledger.links import all_stretches
from serving.brain.snapshot import Snapshot


class Repeats:
    """Finds the decision of a request that came before, and what still holds of it.

    :param subject_stream: (customer_id, visitor_id) -> the stream of whom a request is about
    :param read: (request, snapshot, time in us) -> what is known now, with all of the customer's past
    """

    def __init__(
        self,
        ledger: Ledger,
        subject_stream: Callable[[str | None, str | None], str],
        read: Callable[[Ask, Snapshot, int], Known],
    ) -> None:
        self._ledger, self._subject_stream, self._read = ledger, subject_stream, read

    def newest(
        self, ask: Ask, snapshot: Snapshot, at_us: int, record: Record, repeat: int
    ) -> tuple[dict[str, Any], int, bool]:
        """Return the newest decision of a request, its number, and whether it may be answered again.

        Raises RequestReused if it was made for another body, Erased if it was erased.

        :param record: one of the request's decisions, whose number is `repeat`
        """
        while (later := self._ledger.lookup(request_key(ask, repeat + 1))) is not None:
            record, repeat = later, repeat + 1
        recorded = self._same_request(ask, record)
        return recorded, repeat, self.recheck(recorded, record.stream, ask, snapshot, at_us).may_be_repeated

    def recheck(self, record: dict[str, Any], stream: str, ask: Ask, snapshot: Snapshot, at_us: int) -> Recheck:
        """Return what still holds of the decision that was recorded for this request on a stream.

        Nothing does if that is a stretch of the visitor that ended, and was another person's.
        """
        known = self._read(ask, snapshot, at_us)
        if not is_of(known.person, stream):
            return Recheck(dict.fromkeys((c["offer_id"] for c in record["contacts"]), UNLINKED), call_holds=False)
        return recheck(record, known, snapshot.release, at_us, snapshot.paused)

    def _same_request(self, ask: Ask, record: Record) -> dict[str, Any]:
        """Return the decision that was recorded for this request; raises as `newest` does."""
        if record.stream not in self._own_streams(ask):
            raise _reused()
        if record.body is None:
            raise Erased("request_id", "this request's customer was erased, and its decision with them")
        if record.body["request"] != ask.model_dump(mode="json", exclude_defaults=True):
            raise _reused()
        return record.body

    def _own_streams(self, ask: Ask) -> tuple[str, ...]:
        """Return the streams on which requests like this one may have been decided."""
        stream = self._subject_stream(ask.customer_id, ask.visitor_id)
        if ask.visitor_id is None:
            return (stream,)
        return all_stretches(stream, partial(self._ledger.read, rules=NO_PAST))


def request_key(ask: Ask, repeat: int) -> str:
    """Return the key of the decision that is made for this request after `repeat` others."""
    return f"request:{ask.request_id}#{repeat}"


def _reused() -> RequestReused:
    return RequestReused("request_id", "this request_id came before with another body; use a new one")


def decision_of_offer(ledger: Ledger, offer_id: str) -> Record | None:
    """Return the record of the decision that made an offer, None if there is none; an offer's id begins with its id."""
    return ledger.lookup(f"decision:{offer_id.rpartition('.')[0]}")
