"""Negotiation at the desk: alternatives side by side within what is left to give, and the form that takes one."""

from collections.abc import Mapping
from typing import Any

from decisioning.spec import worded
from serving.brain.runtime import Brain
from serving.pages.desk.acts import once_of
from serving.pages.desk.site import DESK, Desk, Visitor
from serving.pages.desk.view import number_of, title_of
from serving.pages.languages import Language
from serving.people.helping import negotiating
from serving.people.helping.negotiating import Negotiated

Json = dict[str, Any]


async def negotiated(desk: Desk, row: Any, lang: Language) -> Negotiated:
    """Return what may be negotiated about now: the decision that was made if nothing has happened since."""
    number = await desk.brain.pools.short.run(number_of, desk.brain, row.stream)
    return await negotiating.alternatives(desk.brain, row, f"{number}-{lang}", lang)


def as_shown(brain: Brain, deal: Negotiated, lang: Language) -> Json:
    """Return what the page shows of a negotiation, in the language of whoever looks."""
    cards = [_card(brain, one, lang) for one in (*([deal.on_offer] if deal.on_offer else []), *deal.alternatives)]
    first = cards[0] if cards else {}
    for card in cards[1:]:
        card["differs"] = [name for name in ("price", "gives", "confidence") if card[name] != first[name]]
    closed = deal.closed
    return {
        "closed": None if closed is None else worded(closed, lang),
        "left": _euros(deal.left_eur),
        "cards": cards,
        "is_held": deal.on_offer is not None,
    }


def _card(brain: Brain, offer: Mapping[str, Any], lang: Language) -> Json:
    content = offer.get("content") or {}
    price = offer.get("price_eur")
    return {
        "offer_id": offer["offer_id"],
        "action": offer["action"],
        "title": content.get("title") or title_of(brain.snapshot.release, offer["action"], lang),
        "text": content.get("text", ""),
        "price": None if price is None else _euros(price),
        "gives": _euros(offer["gives_eur"]),
        "share": round(offer["share_of_left"], 3),
        "confidence": offer.get("confidence"),
        "differs": [],
    }


def _euros(amount: float) -> str:
    return f"€ {amount:.2f}".removesuffix(".00")


async def swap(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Take an alternative in place of what is on offer, and hold what it gives away for the customer."""
    once, brain = once_of(fields), desk.brain
    action = negotiating.action_named(brain.snapshot.release, fields.get("take", ""))
    row = await brain.pools.short.run(negotiating.row_for, brain, handover_id, visitor.caller)
    lang: Language = "nl" if fields.get("lang") == "nl" else "en"
    deal = await negotiating.take(brain, row, action, once, visitor.agent, lang)
    path = f"{DESK}/{handover_id}?negotiate=1"
    return f"{path}&done=swapped" if deal.is_new else f"{path}&done=not-swapped&why_not={action}"
