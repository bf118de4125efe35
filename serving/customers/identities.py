"""Which customer an identifier belongs to: linked at login, unlinked when it no longer is theirs.

The very next decision goes by it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from decisioning.errors import Conflict, Unavailable
from decisioning.facts.standing import Link
from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import counted_us
from features.ledger import now_us
from features.ledger.links import join_entries, latest_link, link_entries, with_identities, with_true_holder
from features.ledger.standing import link_order
from serving.brain.runtime import Brain
from serving.contract import IdentityIn, told_time

ATTEMPTS = 20
"""How often a link is tried again because a decision for the same customer or visitor was appended first."""


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
        standing, of_other = with_identities(read(person, other), read)
        clock_us = now_us()
        link = link_at(counted_us(told_us, clock_us, max(clock_us, standing.recorded_us)))
        if link.kind == "customer":
            to_append = join_entries(standing, of_other, link, clock_us)
        else:
            to_append = link_entries(standing, with_true_holder(of_other, read), link, clock_us)
        try:
            if to_append:
                await brain.ledger.commit(to_append)
        except Conflict:
            continue
        latest = latest_link(standing, other) or link
        return max(latest, link, key=partial(link_order, standing.rule)).linked
    raise Unavailable("other requests for this customer kept coming first; try again")
