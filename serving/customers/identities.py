"""Which customer an identifier belongs to: linked at login, unlinked when it no longer is theirs.

The very next decision goes by it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from decisioning.errors import Conflict, Unavailable
from decisioning.facts.standing import Link, Standing
from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import counted_us
from features.ledger import Entry, Record, now_us
from features.ledger.links import (
    BY_LINK,
    are_joined,
    consents_kept,
    join_entries,
    latest_link,
    link_entries,
    visitors_now,
    with_identities,
    with_true_holder,
)
from features.ledger.standing import link_order
from features.signals.visitor_records import ATTEMPTS
from serving.brain.runtime import Brain
from serving.contract import IdentityIn, told_time


async def record_identity(brain: Brain, identity: IdentityIn) -> dict[str, Any]:
    """Link or unlink; once this returns, every later decision for the customer on every replica merges accordingly.

    The answer names the stream of the visitor, or of the other customer (`customer`), a keyed hash, and the status that
    holds now: an older statement never undoes a newer one. Decisions that name the visitor itself are still made under
    the visitor's own consents.
    """
    person, identifier = brain.subject_stream(identity.customer_id), identity.identifier
    customer = identifier.value if identifier.kind == "customer" else None
    other = brain.subject_stream(customer, identifier.visitor_id)
    told_us = told_time(identity.occurred_at, "occurred_at")
    link = partial(Link, other, identifier.kind, identity.source, linked=identity.status == "linked")
    linked = await _append(brain, person, other, link, told_us)
    named = "visitor" if customer is None else "customer"
    return {"customer_id": identity.customer_id, named: other, "status": "linked" if linked else "unlinked"}


async def _append(brain: Brain, person: str, other: str, link_at: Callable[[int], Link], told_us: int | None) -> bool:
    """Append the statement and tell whether both are linked afterwards."""
    read = partial(brain.ledger.read, rules=NO_PAST)
    for _ in range(ATTEMPTS):
        (standing,) = with_identities(read(person), read)
        clock_us = now_us()
        link = link_at(counted_us(told_us, clock_us, max(clock_us, standing.recorded_us)))
        to_append = _entries(brain, standing, link, clock_us)
        try:
            if to_append:
                await brain.ledger.commit(to_append)
        except Conflict:
            continue
        if link.kind == "customer":
            return are_joined(*read(person, other))
        latest = latest_link(standing, other) or link
        return max(latest, link, key=partial(link_order, standing.rule)).linked
    raise Unavailable("other requests for this customer kept coming first; try again")


def _entries(brain: Brain, person: Standing, link: Link, clock_us: int) -> list[Entry]:
    """Return the records of the statement, as things are now."""
    read = partial(brain.ledger.read, rules=NO_PAST)
    if link.kind == "customer":
        (other,) = with_identities(read(link.visitor), read)
        return join_entries(person, other, link, clock_us)
    (now,) = visitors_now([link.visitor], read)
    now = with_true_holder(now, read)
    kept = consents_kept(person, now, link, read, lambda stretch: _by_link(brain, stretch))
    return link_entries(person, now, link, clock_us, kept)


def _by_link(brain: Brain, stretch: str) -> Iterator[Record]:
    return map(brain.ledger.record_of, brain.ledger.select(BY_LINK, {"stream": stretch}))
