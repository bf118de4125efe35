"""What the desk's pages show, as plain values, in the language of whoever looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

from fastapi import Request, Response

from decisioning.catalogue.policies import reason_in
from decisioning.catalogue.release import Release
from decisioning.errors import NotFound
from decisioning.facts.handovers import WAITS
from decisioning.records.audiences import answer_for
from decisioning.spec import worded
from decisioning.times import iso
from serving.access.callers import Caller
from serving.access.looks import looker_of, note_recorded
from serving.brain.runtime import Brain
from serving.customers import looking
from serving.customers.rights.notices import notices
from serving.pages.desk.acts import DOUBTS
from serving.pages.desk.consents import is_outbound_call, is_phone
from serving.pages.desk.corrections import correctable
from serving.pages.desk.negotiation import as_shown, negotiated
from serving.pages.desk.presence import STATES
from serving.pages.desk.sales.pages import is_spoken, selling, sold
from serving.pages.desk.sales.steps import must_say
from serving.pages.desk.site import Desk, Visitor
from serving.pages.desk.view import (
    consents_of,
    doings,
    gates,
    not_granted,
    not_to_do,
    number_of,
    own_standing,
    split,
    suggestion_ask,
    title_of,
)
from serving.pages.desk.words import ago, day, words
from serving.pages.languages import Language
from serving.people import agents, call_backs, handovers, package
from serving.people.helping import hearing, negotiating
from serving.people.helping.confirmations import CONVERSATION, given_in_conversations, text_of
from serving.people.helping.negotiating import Negotiated

Json = dict[str, Any]
FIRST: Final = 10
"""How many of a list are shown before it says how many more there are."""
_SLOTS: Final = 12
_ANSWERS: Final = ("accepted", "maybe", "declined", "later")
_PROGRESS: Final = ("maybe", "later")
"""Answers that every action has; the others are there if the action declares them as outcomes."""
_UNDOABLE: Final = ("kept", "doubted", "overridden", "corrected", "sale-agreed", "sale-confirmed", "sale-withdrawn")
"""What a page says of a click that can be undone."""
_ABSENT: Final = {"text": None, "customer_id": None, "visitor_id": None, "first": False}
"""What a handover need not have."""


def home_of(brain: Brain, agent: str, caller: Caller | None, lang: Language) -> Json:
    """Return an agent's conversations, those that wait, and the agent's own state."""
    listed = handovers.listed(brain, "")["handovers"]
    rules = brain.snapshot.release.catalogue.emotion
    each = [
        {**_ABSENT, **one, "waits": ago(one["waits_since"], lang), "reason": reason_in(rules, one["reason"], lang)}
        for one in listed
    ]
    each.sort(key=lambda one: (not one["first"], one["waits_since"]))
    own = [one for one in each if one["agent_id"] == agent]
    waiting = [one for one in each if one["state"] in WAITS]
    zone = brain.snapshot.release.catalogue.settings.time_zone
    back = [{**one, "due": day(one["due_at"], lang, zone)} for one in each if one["state"] == "call_back"]
    return {
        "offered": [one for one in own if one["state"] == "offered"],
        "yours": [one for one in own if one["state"] not in ("offered", "call_back")],
        "back": sorted(back, key=lambda one: one["due_at"])[:FIRST],
        "waiting": waiting[:FIRST],
        "more": max(0, len(waiting) - FIRST),
        "presence": _presence(brain, agent, caller, lang),
        "states": STATES,
    }


def _presence(brain: Brain, agent: str, caller: Caller | None, lang: Language) -> Json | None:
    """Return what the agent does now, and why they get whom they get; None if nothing is stated of them."""
    try:
        held = agents.show(brain, agent, caller)
    except NotFound:
        return None
    since = "" if held["since"] is None else ago(held["since"], lang)
    return {"state": held["state"], "since": since, "why": held["why"], "agent_id": agent}


@dataclass(frozen=True)
class ShownConversation:
    """What is shown of one conversation."""

    brain: Brain
    row: Any
    lang: Language
    caller: Caller | None

    @cached_property
    def handover(self) -> Json:
        """The handover as JSON types."""
        return handovers.as_json(self.row)

    @cached_property
    def _release(self) -> Release:
        return self.brain.snapshot.release

    @cached_property
    def _t(self) -> dict[str, str]:
        return words(self.lang)

    @cached_property
    def _is_spoken(self) -> bool:
        return is_spoken(self.brain, self.row)

    def known(self, answer: Json | None, asked: Mapping[str, str], deal: Negotiated | None) -> Json:
        """Return all that the page of a conversation shows; of a negotiation instead of suggestions if there is one."""
        handover_id = self.handover["handover_id"]
        decision = answer["decision_id"] if answer is not None else deal.decision_id if deal is not None else None
        candidates = gates(self.brain, decision) if decision is not None else []
        done = handovers.doings_of_agents(self.brain, handover_id)
        offers = self._offers(answer)
        first, others = split(offers, done)
        negotiation = None if deal is None else self._negotiation(deal)
        sellable = (*offers, *(negotiation["cards"] if negotiation is not None else ()))
        consents = list(consents_of(self._release, own_standing(self.brain, self.row.stream)))
        asked_for = next((offer for offer in sellable if offer["offer_id"] == asked.get("sale")), None)
        why_not = asked.get("why_not", "")
        return {
            **{name: self.handover[name] for name in ("customer_id", "visitor_id") if name in self.handover},
            "handover": {**_ABSENT, **self.handover, "waits": ago(self.handover["opened_at"], self.lang)},
            "package": self._package(),
            "correct": correctable(self._release, hearing.shown(self.brain, self.row), self.lang),
            "decision_id": decision,
            "negotiation": negotiation,
            "negotiates": bool(self._release.catalogue.budgets),
            "first": first,
            "others": others,
            "dont": [
                *self._silence(candidates),
                *not_to_do(self._release, _without_held(candidates, deal), self.lang),
            ],
            "doings": [{"kind": d.kind, "ago": ago(d.ago_s, self.lang)} for d in doings(self.brain, self.row)],
            "consents": consents,
            "grants": not_granted(consents, [notice["id"] for notice in notices(self._release, self.lang)]),
            "notes": handovers.notes(self.brain, handover_id)[-FIRST:],
            "tried": [self._act(act) for act in done],
            "doubts": DOUBTS if asked.get("what") == "maybe" else None,
            "doubted": done[-1]["action"] if done and done[-1]["did"] == "maybe" else "",
            "reasons": self._release.catalogue.settings.override_reasons,
            "skills": [skill.id for skill in self._release.catalogue.routing.skills],
            "calendars": [calendar.id for calendar in self._release.catalogue.calendars],
            "slots": self._slots(asked.get("slots", "")),
            "calendar": asked.get("slots", ""),
            "selling": selling(self._release, asked_for, self.lang),
            "sold": sold(self.brain, self.row.stream, self.lang),
            "asking": self._asking(asked.get("consent", "")),
            "asked": why_not,
            "confirmation": self._confirmation() if asked.get("done", "").startswith("granted-consent") else "",
            "waited": asked.get("done") == "kept" and asked.get("what") != "said",
            "topics": (f"customer:{self.handover['customer_id']}",) if "customer_id" in self.handover else ("queue",),
            "answer": self._why_not(candidates, why_not) if why_not else "",
        }

    def _confirmation(self) -> str:
        """Return what confirms in writing the consent that the customer gave last in this conversation."""
        source = f"{CONVERSATION}{self.handover['handover_id']}"
        consents = own_standing(self.brain, self.row.stream).consents
        given = [one for one in given_in_conversations(consents) if one.source == source]
        if not given:
            return ""
        last = max(given, key=lambda one: one.occurred_us)
        return text_of(self._release, last, self.lang, iso(last.occurred_us)[:10], last.channel)

    def _silence(self, candidates: Sequence[Json]) -> list[Json]:
        """Return that nothing is sold now, if the customer's mood or words silence sales that are permitted."""
        is_silent = any(candidate.get("silenced") for candidate in candidates)
        return [{"title": self._t["dont-sell"], "why": self._t["dont-sell-why"]}] if is_silent else []

    def _negotiation(self, deal: Negotiated) -> Json:
        shown = as_shown(self.brain, deal, self.lang)
        return {**shown, "cards": [{**card, "has_steps": self._has_steps(card["action"])} for card in shown["cards"]]}

    def _has_steps(self, action: str) -> bool:
        """Tell whether a customer's yes to an action has steps in this conversation."""
        return self._is_spoken and bool(must_say(self._release, action))

    def _package(self) -> Json:
        """Return the context package, with its times as people say them."""
        read = package.read(self.brain, self.handover["handover_id"], self.caller, purpose_stated=True)
        said = [{**one, "ago": ago(one["at"], self.lang)} for one in reversed(read["words"])]
        human = {name for name, channel in self._release.channels.items() if channel.human}
        suggested = [one for one in read["interactions"] if one["what"] == "shown" and one["channel"] in human]
        others = [one for one in read["interactions"] if one not in suggested]
        events = [{**one, "ago": ago(one["at"], self.lang)} for one in others]
        return {**read, "words": said, "interactions": events}

    def _offers(self, answer: Json | None) -> list[Json]:
        offers = [] if answer is None else [o for placed in answer["placements"] for o in placed["offers"]]
        return [self._offer(offer) for offer in offers]

    def _offer(self, offer: Json) -> Json:
        release = self._release
        declared = release.actions[offer["action"]].outcomes if offer["action"] in release.actions else None
        names = (*declared.positive, *declared.negative, *_PROGRESS) if declared else _PROGRESS
        price = offer.get("price_eur")
        return {
            "offer_id": offer["offer_id"],
            "action": offer["action"],
            "title": (offer.get("content") or {}).get("title") or title_of(release, offer["action"], self.lang),
            "aloud": [r["text"] for r in offer["reasons"] if r.get("use") in ("shown", "said")],
            "quiet": [r["text"] for r in offer["reasons"] if r.get("use") not in ("shown", "said")],
            "confidence": offer.get("confidence"),
            "price": None if price is None else f"€ {price:.2f}".removesuffix(".00"),
            "outcomes": [name for name in _ANSWERS if name in names],
            "has_steps": self._has_steps(offer["action"]),
        }

    def _act(self, act: Mapping[str, Any]) -> Json:
        name = act.get("reason", "")
        reason = self._t.get(f"doubt-{name}") or self._t.get(f"reason-{name}") or name.replace("_", " ")
        return {"did": act["did"], "title": title_of(self._release, act["action"], self.lang), "reason": reason}

    def _asking(self, purpose: str) -> Json | None:
        """Return the text of a purpose to read aloud, and the channels for which consent may be asked now."""
        notice = next((one for one in notices(self._release, self.lang) if one["id"] == purpose), None)
        if notice is None:
            return None
        is_call = is_outbound_call(self.brain, self.handover["handover_id"])
        names = [name for name in self._release.channels if not (is_call and is_phone(self._release, name))]
        return {**notice, "channels": names, "outbound": is_call}

    def _slots(self, calendar: str) -> list[Json]:
        if not calendar:
            return []
        free = call_backs.free_slots(self.brain, self.handover["handover_id"], calendar)["slots"][:_SLOTS]
        zone = self._release.catalogue.settings.time_zone
        return [{"at": slot["starts_at"], "day": day(slot["starts_at"], self.lang, zone)} for slot in free]

    def _why_not(self, candidates: Sequence[Json], asked: str) -> str:
        wanted = asked.strip().lower()
        for candidate in candidates:
            action = candidate["treatment"].partition(".")[0]
            if wanted in (action.lower(), title_of(self._release, action, self.lang).lower()):
                return worded(candidate["text"], self.lang) if candidate.get("text") else self._t["passes"]
        if wanted in self._release.actions:
            return self._t["not-here"]
        return self._t["unknown-action"].format(", ".join(sorted(self._release.actions)[:3]))


def _without_held(candidates: Sequence[Json], deal: Negotiated | None) -> list[Json]:
    """Return the candidates without those of what is on offer, which a cap stops as it counts itself."""
    held = None if deal is None or deal.on_offer is None else deal.on_offer["action"]
    return [candidate for candidate in candidates if candidate["treatment"].partition(".")[0] != held]


async def show_home(desk: Desk, request: Request, visitor: Visitor, template: str, done: str = "") -> Response:
    """Return the agent's conversations, and those that wait."""
    lang = desk.language(request)
    shown = await desk.brain.pools.long.run(home_of, desk.brain, visitor.agent, visitor.caller, lang)
    said, topics = words(lang).get(done, ""), ("queue", f"agent:{visitor.agent}")
    return desk.page(request, visitor, template, **shown, done=said, topics=topics)


async def show_conversation(
    desk: Desk, request: Request, visitor: Visitor, handover_id: str, template: str, **asked: str
) -> Response:
    """Return one conversation, once it is recorded that the agent looks at the customer."""
    row = await desk.check_holds(visitor, handover_id)
    lang, looker = desk.language(request), looker_of(request.scope, None)
    answer, deal = None, None
    if asked.get("negotiate"):
        deal = await negotiated(desk, row, lang)
    else:
        answer = await _suggested(desk.brain, handovers.as_json(row), row.stream, lang)
    shown = ShownConversation(desk.brain, row, lang, visitor.caller)
    read, whom = partial(shown.known, answer, asked, deal), looking.seen_in_handover(desk.brain, handover_id)
    known = await desk.brain.pools.long.run(looking.shown, desk.brain, looker, read, whom)
    note_recorded(request.scope)
    return desk.page(request, visitor, template, **known, **_after_click(handover_id, asked, words(lang)))


async def _suggested(brain: Brain, handover: Json, stream: str, lang: Language) -> Json | None:
    """Return the decision of what to suggest now, the one that was made if nothing has happened since."""
    number = await brain.pools.short.run(number_of, brain, stream)
    ask = suggestion_ask(brain.snapshot.release, handover, number, lang)
    if ask is None:
        return None
    await brain.pools.short.run(negotiating.expire_unsaid, brain, stream, ask)
    return answer_for("agent", await brain.commit(ask))


def _after_click(handover_id: str, asked: Mapping[str, str], t: Mapping[str, str]) -> Json:
    """Return what the page says of the click before it, and how to undo that."""
    done, what, once = asked.get("done", ""), asked.get("what", ""), asked.get("once", "")
    undo = {"handover": handover_id, "once": once} if done in _UNDOABLE and once else None
    return {"done": t.get(done, "").format(t.get(what, "")), "undo": undo, "noted": done == "noted"}
