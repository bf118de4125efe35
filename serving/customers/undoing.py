"""Undo an objection that was wrongly heard in a message: the grant that held before it holds again."""

from typing import Any

from decisioning.catalogue.actions import Purpose
from decisioning.deciding.consent import latest
from decisioning.errors import WrongState
from decisioning.facts.standing import ALL_CHANNELS, Consent, Standing
from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import TOLERANCE_S, TOLERANCE_US, days_us
from features.ledger import Fold, apply, now_us
from features.ledger.links import visitors_now
from serving.brain.runtime import Brain
from serving.contract import ConsentIn


def restored(brain: Brain, consent: ConsentIn, stream: str) -> dict[str, Any]:
    """Return the body of a consent that repeats what held before the objection that `consent` undoes.

    It ends when the earlier grant would have ended.

    :raises WrongState: something else was said since, or no grant held before
    """
    standing, channel = _own(brain, consent, stream), consent.channel or ALL_CHANNELS
    said = next((c for c in standing.consents if (c.purpose, c.channel) == (consent.purpose, channel)), None)
    if said is None or said.source != consent.undoes:
        raise WrongState("undoes", "what counts for this purpose and channel was not heard in that message")
    if now_us() < said.occurred_us + TOLERANCE_US:
        raise WrongState("undoes", f"it was heard less than {TOLERANCE_S} seconds ago, and still holds; try again then")
    before = latest(_without(brain, standing, said), consent.purpose, channel)
    if before is None or before.refuses:
        raise WrongState("undoes", "no grant held before it: record what the customer says now")
    expires_us = _end_us(before, brain.snapshot.release.purposes[consent.purpose])
    kept = {"notice_version": before.notice_version, "asserted_by": before.asserted_by, "expires_us": expires_us}
    return {**consent.body(), **kept, "undoes": consent.undoes}


def _own(brain: Brain, consent: ConsentIn, stream: str) -> Standing:
    def read(*streams: str) -> list[Standing]:
        return list(brain.ledger.read(*streams, rules=NO_PAST))

    return read(stream)[0] if consent.visitor_id is None else visitors_now([stream], read)[0].stretch


def _without(brain: Brain, standing: Standing, said: Consent) -> Standing:
    """Return the consents of a stream as they are without what was heard in that message."""
    fold = Fold(standing.stream, rule=standing.rule)
    for record in brain.ledger.records(standing.stream):
        if record.kind == "consent" and record.body is not None and record.body["source"] != said.source:
            fold = apply(fold, record.kind, record.body, record.version, record.counted_us)
    return fold


def _end_us(before: Consent, purpose: Purpose) -> int | None:
    """Return when a grant ends, by its own words and by the oldest that a consent for its purpose may be."""
    aged = None if purpose.max_age_days is None else before.occurred_us + days_us(purpose.max_age_days)
    return min((end for end in (before.expires_us, aged) if end is not None), default=None)
