"""Negotiation in a conversation: alternatives within what is left to give, and the one that an agent takes.

Alternatives are a decision, and so is taking one: both pass every gate and are recorded. What is taken is held for the
customer in the same transaction, at the versions that the decision read; so agents who negotiate with one customer at
once never give away more than a budget allows. What an agent sees is what is left, never the limit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from decisioning.catalogue.people.budgets import Budget, cents_of, left_cents
from decisioning.catalogue.release import Release
from decisioning.errors import OutOfScope, RequestError, WrongState
from decisioning.facts.forms import Ask, Known, Negotiation, PlacementAsk
from decisioning.facts.handovers import ENDED
from decisioning.records.audiences import answer_for
from decisioning.spec import worded
from features.ledger import Entry, now_us
from serving.access.callers import Caller
from serving.brain import explaining
from serving.brain.repeats import decision_of_offer, request_key
from serving.brain.runtime import Brain
from serving.people.handover_forms import NegotiationIn
from serving.people.handovers import Json, as_json, note_doing, row_of
from serving.people.package import agents_channel

ALTERNATIVES: Final = 3
"""How many alternatives stand side by side, with the one that is on offer."""
_CLOSING: Final = ("protection", "subject", "consent", "budget")
"""Kinds of gates that say first why nothing can be negotiated."""
_NOTHING: Final = {
    "en": "Nothing is negotiated here.",
    "nl": "Hier wordt niet onderhandeld.",
}


class Negotiated(NamedTuple):
    """What an agent is shown: what is on offer, what else may be, and what is left to give.

    `closed`: locale -> why nothing may be offered. `is_new`: whether what is on offer was taken just now.
    """

    decision_id: str | None
    closed: dict[str, str] | None
    left_eur: float
    on_offer: Json | None
    alternatives: Sequence[Json]
    is_new: bool = False


_NOT_HERE: Final = Negotiated(None, _NOTHING, 0.0, None, ())


class _Asked(NamedTuple):
    """The request, what is known of its customer, and the ids of what is held for them in its conversation."""

    ask: Ask
    known: Known
    held: tuple[str, ...]


async def alternatives(brain: Brain, row: Any, request_id: str, locale: str) -> Negotiated:
    """Return the alternatives that an agent may offer now, and what is left to give; why, if there are none."""
    return await _decided(brain, row, Negotiation(), f"negotiate-{row.id}-{request_id}", locale)


async def take(brain: Brain, row: Any, action: str, request_id: str, by: str, locale: str) -> Negotiated:
    """Return what is on offer once the agent took an action in place of what was on offer before.

    Nothing changes if a gate closed since it was shown. It is recorded who took it.
    """
    deal = await _decided(brain, row, Negotiation(take=action), f"swap-{row.id}-{request_id}", locale)
    if not deal.alternatives:
        return deal
    (own,) = deal.alternatives
    about = {"offer_id": own["offer_id"], "action": action}
    await brain.pools.short.run(lambda: note_doing(brain, row.id, "swapped", by, request_id, **about))
    return deal._replace(on_offer=own, alternatives=(), is_new=True)


async def negotiate(brain: Brain, row: Any, asked: NegotiationIn, by: str) -> Json:
    """Return what is answered to a request for alternatives, or to one that takes an action."""
    locale = asked.locale or brain.snapshot.release.catalogue.settings.locales[0]
    if asked.take is None:
        deal = await alternatives(brain, row, asked.request_id, locale)
    else:
        action = action_named(brain.snapshot.release, asked.take)
        deal = await take(brain, row, action, asked.request_id, by, locale)
    answer = {"handover_id": row.id, **deal._asdict()}
    return {**answer, "closed": None if deal.closed is None else worded(deal.closed, locale)}


def check_negotiator(row: Any, caller: Caller | None) -> None:
    """Raise OutOfScope for a person who does not have the conversation, and WrongState if it has ended."""
    if row.state in ENDED:
        raise WrongState("handover_id", f"the handover is {row.state}: there is nothing to negotiate in it")
    if caller is not None and caller.kind == "person" and caller.who != row.agent:
        raise OutOfScope("handover_id", "only the agent who has this conversation negotiates in it: accept it first")


async def _decided(brain: Brain, row: Any, about: Negotiation, request_id: str, locale: str) -> Negotiated:
    release, handover = brain.snapshot.release, as_json(row)
    channel = agents_channel(release, handover["channel"])
    if channel is None or not release.catalogue.budgets:
        return _NOT_HERE
    ask = _ask(release, handover, channel, request_id, about, locale)
    at = await brain.pools.short.run(_read, brain, ask)
    await brain.pools.short.run(expire_unsaid, brain, row.stream, at.ask)
    answer = answer_for("agent", await brain.commit(at.ask))
    return await brain.pools.long.run(_shown, brain, at, answer)


def _ask(
    release: Release, handover: Mapping[str, Any], channel: str, request_id: str, about: Negotiation, locale: str
) -> Ask:
    placement = PlacementAsk(name=release.channels[channel].placements[0], limit=1 if about.take else ALTERNATIVES)
    return Ask(
        request_id=request_id,
        locale=locale,
        customer_id=handover.get("customer_id"),
        visitor_id=handover.get("visitor_id"),
        account_id=handover.get("account_id"),
        channel=channel,
        placements=(placement,),
        conversation_id=handover["conversation_id"],
        negotiation=about,
    )


def _read(brain: Brain, ask: Ask) -> _Asked:
    """Return the request with the offers that are held in its conversation, whose place others would take.

    A request that came before is the same again, whatever is held now.
    """
    known = brain.known(ask, brain.snapshot, now_us())
    held = tuple(_held(brain, known, ask.conversation_id))
    before, instead_of = brain.ledger.lookup(request_key(ask, 0)), held
    if before is not None and before.folded is not None:
        instead_of = tuple((before.folded["request"].get("negotiation") or {}).get("instead_of", ()))
    about = Negotiation(take=ask.negotiation.take if ask.negotiation else None, instead_of=instead_of)
    return _Asked(ask.model_copy(update={"negotiation": about}), known, held)


def _held(brain: Brain, known: Known, conversation_id: str | None) -> Iterator[str]:
    """Yield the offers that are held for the customer in a conversation."""
    now = now_us()
    for one in known.person.concessions:
        if not one.given and now < one.until_us:
            record = decision_of_offer(brain.ledger, one.offer_id)
            request = {} if record is None or record.folded is None else record.folded["request"]
            if request.get("conversation_id") == conversation_id:
                yield one.offer_id


def expire_unsaid(brain: Brain, stream: str, ask: Ask) -> None:
    """Release what was suggested before on this channel and nobody said, unless it is of this request or is held.

    Its reservations would keep the same action from being suggested again in the same conversation.
    """
    record = brain.ledger.lookup(request_key(ask, 0))
    own = () if record is None else (record.folded or {"contacts": ()})["contacts"]
    (standing,), now = brain.ledger.read(stream), now_us()
    kept = {contact["offer_id"] for contact in own} | {one.offer_id for one in standing.concessions}
    unsaid = [
        contact
        for contact in standing.contacts
        if contact.channel == ask.channel and contact.state == "reserved" and now < contact.reserved_until_us
        if contact.offer_id not in kept
    ]
    account = None if ask.account_id is None else brain.ledger.stream_of("account", ask.account_id)
    actions = brain.snapshot.release.actions
    entries = []
    for contact in unsaid:
        shared = account is not None and contact.action in actions and actions[contact.action].scope == "account"
        ended = {"offer_id": contact.offer_id, "state": "expired"}
        entries += [Entry(of, "contact", ended, now) for of in (stream, *((account,) if shared and account else ()))]
    if entries:
        brain.ledger.append(entries)


def _shown(brain: Brain, at: _Asked, answer: Json) -> Negotiated:
    """Return what an agent is shown of a decision of alternatives, or of one that was taken."""
    release, now = brain.snapshot.release, now_us()
    known = brain.known(at.ask, brain.snapshot, now)
    offers = [offer for placed in answer["placements"] for offer in placed["offers"]]
    own = (*at.held, *(offer["offer_id"] for offer in offers))
    room = {b.id: left_cents(b, known.person, known.account, now, own) for b in release.catalogue.budgets}
    held = [_alternative(release, room, offer) for offer in _recorded_offers(brain, at.held)][:1]
    others = [_alternative(release, room, offer) for offer in offers]
    action = None if at.ask.negotiation is None else at.ask.negotiation.take
    if action is None:
        on_offer = [one["action"] for one in held]
        others = [one for one in others if one["action"] not in on_offer][: ALTERNATIVES - len(held)]
    is_open = bool(others or (held and action is None))
    closed = None if is_open else _why_closed(brain, answer["decision_id"], action)
    covering = [room[budget.id] for budget in _budgets_of(release, [*held, *others])]
    left_eur = min(covering or room.values()) / 100
    return Negotiated(answer["decision_id"], closed, left_eur, held[0] if held else None, others)


def _recorded_offers(brain: Brain, offer_ids: Iterable[str]) -> Iterator[Json]:
    for offer_id in offer_ids:
        record = decision_of_offer(brain.ledger, offer_id)
        if record is not None and record.body is not None:
            placements: Sequence[Json] = answer_for("agent", record.body["answer"])["placements"]
            yield from (o for placed in placements for o in placed["offers"] if o["offer_id"] == offer_id)


def _alternative(release: Release, room: Mapping[str, int], offer: Json) -> Json:
    """Return an offer with what it gives away, in euros and as a share of what is left."""
    action = release.actions.get(offer["action"])
    cents = 0 if action is None else cents_of(action.gives_eur)
    left = [room[budget.id] for budget in _budgets_of(release, [offer])]
    share = min(1.0, cents / least) if (least := min(left, default=0)) else float(cents > 0)
    return {**offer, "gives_eur": cents / 100, "share_of_left": share}


def _budgets_of(release: Release, offers: Sequence[Json]) -> list[Budget]:
    """Return the budgets that cover some of these offers."""
    actions = [release.actions[offer["action"]] for offer in offers if offer["action"] in release.actions]
    return [budget for budget in release.catalogue.budgets if any(map(budget.attach.covers, actions))]


def _why_closed(brain: Brain, decision_id: str, action: str | None) -> dict[str, str]:
    """Return locale -> the most telling reason why nothing can be offered, or not this action."""
    candidates = explaining.explain(brain, decision_id, audience="agent")["candidates"]
    about = [c for c in candidates if c.get("gate") != "request:negotiation" and c.get("text")]
    about = [c for c in about if action in (None, c["treatment"].partition(".")[0])]
    about.sort(key=lambda candidate: _order(candidate.get("gate", "")))
    return dict(about[0]["text"]) if about else dict(_NOTHING)


def _order(gate: str) -> int:
    kind = gate.partition(":")[0]
    return _CLOSING.index(kind) if kind in _CLOSING else len(_CLOSING)


def row_for(brain: Brain, handover_id: str, caller: Caller | None) -> Any:
    """Return the row of a handover in which the caller negotiates; raises as `check_negotiator` does, and NotFound."""
    row = row_of(brain, handover_id)
    check_negotiator(row, caller)
    return row


def action_named(release: Release, name: str) -> str:
    """Return the id of an action; raises RequestError if the release has none of this name."""
    if name not in release.actions:
        raise RequestError("take", "the catalogue has no such action; look at what is on offer now")
    return name
