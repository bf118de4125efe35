"""What leaves of a delivery at the moment it leaves: by a webhook, at every attempt, and to a screen, at every replay.

A decision may have been made long before. `decisioning.review.rechecking` says what of it still holds; what does not is
taken out of the delivery. If nothing is left, the delivery is withheld for good. An offer that has not left by any
route, and does not leave any more, frees its place under the caps: the ledger records so, with the gate.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic_core import from_json, to_json

from decisioning.errors import Erased, RequestError
from decisioning.facts.forms import Ask, canonical
from decisioning.records.audiences import Audience, answer_for
from decisioning.review.rechecking import EXPIRED, RELEASED, Recheck
from features.ledger import Duplicate, Entry, Ledger, Record, now_us
from features.ledger.past.changes import RETRACTED
from features.moments import Delivery, Moments
from serving.brain.runtime import Brain

ERASED, GIVEN_UP = "subject:erased", "delivery:given-up"
Json = dict[str, Any]


class Departures:
    """Lets deliveries leave, or withholds them; safe to use from any thread."""

    def __init__(self, brain: Brain, moments: Moments) -> None:
        self._brain, self._moments = brain, moments

    def body(self, delivery: Delivery, *, gpc: bool = False, audience: Audience = "company") -> bytes | None:
        """Return what leaves now of a delivery for an audience; None if nothing does.

        :param gpc: the screen's browser asks for no profiling; what it does not get for that reason, others may get
        """
        record = self._brain.ledger.lookup(f"decision:{delivery.decision_id}")
        if record is None or record.body is None:
            self._moments.withhold(delivery, ERASED)
            return None
        ask, decided = Ask.model_validate_json(canonical(record.body["request"])), record.body
        result = self._recheck(record, decided, ask)
        if result.stopped:
            self._release(delivery, record.stream, result.stopped)
        if not _leaves(decided, result):
            why = sorted({*result.stopped.values(), *(() if result.call_holds else ("handover",))})
            self._moments.withhold(delivery, ", ".join(why))
            return None
        if gpc:
            result = self._recheck(record, decided, ask.model_copy(update={"context": {**ask.context, "gpc": True}}))
        return _without_stopped(delivery.body, result, audience) if _leaves(decided, result) else None

    def _recheck(self, record: Record, decided: Json, ask: Ask) -> Recheck:
        """Return what still holds; nothing does if the release does not know the request's facts any more."""
        try:
            return self._brain.repeats.recheck(decided, record.stream, ask, self._brain.snapshot, now_us())
        except RequestError as error:
            return Recheck({c["offer_id"]: f"release:{error.field}" for c in decided["contacts"]})

    def give_up(self, delivery: Delivery) -> None:
        """Free the places of what could not be delivered, until it is tried again; see `try_again`."""
        record = self._brain.ledger.lookup(f"decision:{delivery.decision_id}")
        if record is not None and record.folded is not None:
            given_up = {contact["offer_id"]: GIVEN_UP for contact in record.folded["contacts"]}
            self._release(delivery, record.stream, given_up)

    def _release(self, delivery: Delivery, stream: str, stopped: Mapping[str, str]) -> None:
        """Record that offers are not delivered, unless the decision was delivered already by some route."""
        if self._moments.was_delivered(delivery.decision_id):
            return
        for offer_id, gate in stopped.items():
            if gate != RELEASED:
                self._record(stream, offer_id, gate)

    def _record(self, stream: str, offer_id: str, gate: str) -> None:
        body = {"offer_id": offer_id, "state": "expired" if gate == EXPIRED else "not_delivered", "gate": gate}
        key = f"undelivered:{offer_id}#{_retries(self._brain.ledger, offer_id)}"
        with suppress(Duplicate, Erased):  # another replica recorded it, or nothing is kept any more
            self._brain.ledger.append([Entry(stream, "contact", body, now_us(), key=key)])


def try_again(ledger: Ledger, delivery: Delivery) -> None:
    """Take back that a delivery was given up: its offers hold their places again, as long as their reservations live.

    Whether they may leave is asked when they do.
    """
    record = ledger.lookup(f"decision:{delivery.decision_id}")
    for contact in record.folded["contacts"] if record is not None and record.folded is not None else ():
        offer_id, retries = contact["offer_id"], _retries(ledger, contact["offer_id"])
        given_up = ledger.lookup(f"undelivered:{offer_id}#{retries}")
        if given_up is None or given_up.body is None or given_up.body["gate"] != GIVEN_UP:
            continue
        wrong = {"offer_id": offer_id, "state": given_up.body["state"], "occurred_us": given_up.occurred_us}
        body = {"offer_id": offer_id, "state": RETRACTED, "corrects": wrong}
        with suppress(Duplicate, Erased):
            ledger.append([Entry(given_up.stream, "contact", body, now_us(), key=f"retried:{offer_id}#{retries}")])


def _retries(ledger: Ledger, offer_id: str) -> int:
    """Return how often the delivery of an offer was given up and tried again."""
    retries = 0
    while ledger.lookup(f"retried:{offer_id}#{retries}") is not None:
        retries += 1
    return retries


def _leaves(decided: Json, result: Recheck) -> bool:
    """Tell whether something of the decision may still be delivered."""
    stands = any(c["offer_id"] not in result.stopped for c in decided["contacts"])
    return stands or (decided["answer"]["handover"] is not None and result.call_holds)


def _without_stopped(body: bytes, result: Recheck, audience: Audience) -> bytes:
    """Return the body of a delivery for an audience, without what does not hold any more."""
    if result.call_holds and not result.stopped and audience == "company":
        return body
    content = from_json(body)
    decision = content["decision"]
    for placement in decision["placements"]:
        offers = [o for o in placement["offers"] if o["offer_id"] not in result.stopped]
        if placement["offers"] and not offers:
            placement["empty_reason"] = "all_withheld"
        placement["offers"] = offers
    if not result.call_holds:
        decision["handover"] = None
    return to_json({**content, "decision": answer_for(audience, decision)})
