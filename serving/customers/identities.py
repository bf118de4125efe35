"""Whose an identifier is: linked at login, unlinked when no longer theirs; the very next decision goes by it."""

import asyncio
from typing import Any

from decisioning.errors import Conflict, Unavailable
from decisioning.facts.standing import Link
from decisioning.times import microseconds
from features.ledger import now_us
from features.ledger.links import latest_link, link_entries
from features.ledger.standing import link_order
from serving.brain.runtime import Brain
from serving.contract import IdentityIn

ATTEMPTS = 20
"""How often a word is told again when decisions for the same customer or visitor came first."""


async def record_identity(brain: Brain, told: IdentityIn) -> dict[str, Any]:
    """Links or unlinks; once this returns, every later decision for the customer on every replica merges accordingly.

    The answer names the visitor's stream, a keyed hash, and says what holds now: an older word never undoes a newer.
    Decisions that name the visitor itself go on being made from the visitor's own stream alone.
    """
    person = brain.ledger.stream_of("person", told.customer_id)
    visitor = brain.ledger.stream_of("visitor", told.identifier.visitor_id)
    at_us = now_us() if told.occurred_at is None else microseconds(told.occurred_at)
    link = Link(visitor, told.identifier.kind, told.source, at_us, told.status == "linked")
    linked = await _append(brain, person, link)
    return {"customer_id": told.customer_id, "visitor": visitor, "status": "linked" if linked else "unlinked"}


async def _append(brain: Brain, person: str, link: Link) -> bool:
    """Whether they are linked after it."""
    for _ in range(ATTEMPTS):
        standing, visitor = brain.ledger.read(person, link.visitor)
        to_append = link_entries(standing, visitor, link)
        try:
            if to_append:
                await asyncio.wrap_future(brain.ledger.submit(to_append))
        except Conflict:
            continue
        before = latest_link(standing, link.visitor) or link
        return max(before, link, key=link_order).linked
    raise Unavailable("other requests for this customer kept coming first; try again")
