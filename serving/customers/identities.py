"""Which customer an identifier belongs to: linked at login, unlinked when it no longer is theirs.

The very next decision goes by it.
"""

from typing import Any

from decisioning.errors import Conflict, Unavailable
from decisioning.facts.standing import Link
from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import microseconds
from features.ledger import now_us
from features.ledger.links import latest_link, link_entries
from features.ledger.standing import link_order
from serving.brain.runtime import Brain
from serving.contract import IdentityIn

ATTEMPTS = 20
"""How often a link is tried again because a decision for the same customer or visitor was appended first."""


async def record_identity(brain: Brain, identity: IdentityIn) -> dict[str, Any]:
    """Link or unlink; once this returns, every later decision for the customer on every replica merges accordingly.

    The answer names the visitor's stream, a keyed hash, and the status that holds now: an older statement never undoes
    a newer one. Decisions that name the visitor itself are still made from the visitor's own stream alone.
    """
    person = brain.subject_stream(identity.customer_id)
    visitor = brain.subject_stream(None, identity.identifier.visitor_id)
    at_us = now_us() if identity.occurred_at is None else microseconds(identity.occurred_at)
    link = Link(visitor, identity.identifier.kind, identity.source, at_us, identity.status == "linked")
    linked = await _append(brain, person, link)
    return {"customer_id": identity.customer_id, "visitor": visitor, "status": "linked" if linked else "unlinked"}


async def _append(brain: Brain, person: str, link: Link) -> bool:
    """Append the statement and tell whether person and visitor are linked afterwards."""
    for _ in range(ATTEMPTS):
        standing, visitor = brain.ledger.read(person, link.visitor, rules=NO_PAST)
        to_append = link_entries(standing, visitor, link)
        try:
            if to_append:
                await brain.ledger.commit(to_append)
        except Conflict:
            continue
        latest = latest_link(standing, link.visitor) or link
        return max(latest, link, key=link_order).linked
    raise Unavailable("other requests for this customer kept coming first; try again")
