"""How the desk's pages are answered: to whom, in which language, with what is shown and the look recorded."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request, Response

from decisioning.errors import BrainError, WrongState
from serving.access.callers import Caller, caller_of
from serving.access.looks import looker_of, note_recorded
from serving.access.people.requests import People, signed_in_of
from serving.access.people.signing import new_token
from serving.brain import explaining
from serving.brain.runtime import Brain
from serving.contract import HandoverStepIn
from serving.customers import looking
from serving.pages.desk.view import (
    Json,
    consents_of,
    doings,
    in_locale,
    not_to_do,
    number_of,
    own_standing,
    suggestion_ask,
    title_of,
)
from serving.pages.desk.words import ago, words
from serving.pages.frame import page
from serving.pages.me.words import LANGUAGES, Language, language_of
from serving.people import handovers

DESK: Final = "/desk"
_NAMES: Final[dict[Language, str]] = {"nl": "Nederlands", "en": "English"}
_ANSWERS: Final = ("accepted", "declined")
"""Outcomes that an agent may record with a click, where the action declares them; `maybe` and `later` are always
there, and are how far the contact got."""
_ABSENT: Final = {"text": None, "customer_id": None, "visitor_id": None, "first": False}
"""What a handover need not have."""
_PROGRESS: Final = ("maybe", "later")


@dataclass(frozen=True)
class Visitor:
    """Who is at the desk: `agent` is how the ledger names them, `csrf` the token that their forms carry."""

    agent: str
    caller: Caller | None
    csrf: str


@dataclass(frozen=True)
class Desk:
    """What the desk's pages are made with."""

    brain: Brain
    people: People

    def visitor(self, request: Request) -> Visitor:
        """Return who makes a request, as the doors found out."""
        signed_in, caller = signed_in_of(request.scope), caller_of(request.scope)
        who = "unknown" if caller is None else caller.who
        return Visitor(who, caller, "" if signed_in is None else signed_in.csrf)

    def language(self, request: Request) -> Language:
        """Return the language in which a request is answered."""
        return language_of(
            request.query_params.get("lang"),
            self.people.cookies.read("desk-language", request.scope["headers"]),
            request.headers.get("accept-language", ""),
            self.brain.snapshot.release,
        )

    def page(self, request: Request, visitor: Visitor, template: str, status: int = 200, **about: Any) -> Response:
        """Return one of the desk's pages, or a part of one."""
        lang = self.language(request)
        other = next(one for one in LANGUAGES if one != lang)
        shared = {"done": "", "undo": None, "topics": (), "other": {"lang": other, "name": _NAMES[other]}}
        given = {"t": words(lang), "csrf": visitor.csrf, "once": new_token(), **shared, **about}
        answer = page(template, request, status, lang=lang, **given)
        if request.query_params.get("lang") == lang:
            answer.headers.append("Set-Cookie", self.people.cookies.set("desk-language", lang))
        return answer

    def message(self, request: Request, visitor: Visitor, name: str, status: int) -> Response:
        """Return the page that says one thing, with the way back."""
        t = words(self.language(request))
        return self.page(request, visitor, "desk/message.html", status, title=t[name], text=t.get(f"{name}-text", ""))

    def refused(self, request: Request, visitor: Visitor, error: BrainError) -> Response:
        """Return the page that says why something was not done."""
        status = 409 if isinstance(error, WrongState) else 422
        t = words(self.language(request))
        return self.page(request, visitor, "desk/message.html", status, title=t["refused"], text=f"{error}.")

    async def step(self, handover_id: str, step: HandoverStepIn, visitor: Visitor) -> Json:
        """Let a handover go on."""
        take = handovers.take_step
        return await self.brain.pools.short.run(take, self.brain, handover_id, step, visitor.caller)

    async def check_holds(self, visitor: Visitor, handover_id: str) -> Json:
        """Return a handover that the visitor holds; raises NotFound, and WrongState if they do not hold it."""
        shown = await self.brain.pools.short.run(handovers.show, self.brain, handover_id)
        is_own = shown["agent_id"] == visitor.agent and shown["state"] in ("offered", "accepted", "call_back", "ticket")
        if not is_own and not (visitor.caller is not None and visitor.caller.has_any(("lead",))):
            raise WrongState("handover_id", "you do not hold this conversation")
        return shown

    async def home(self, request: Request, visitor: Visitor, template: str, done: str = "") -> Response:
        """Return the agent's conversations, and those that wait."""
        lang = self.language(request)
        listed = await self.brain.pools.long.run(handovers.listed, self.brain, "")
        each = [{**_ABSENT, **one, "waits": ago(one["waits_since"], lang)} for one in listed["handovers"]]
        each.sort(key=lambda one: (not one["first"], one["waits_since"]))
        yours = [one for one in each if one["agent_id"] == visitor.agent]
        waiting = [one for one in each if one["agent_id"] is None and one["state"] in ("opened", "transferred")]
        said, topics = words(lang).get(done, ""), ("queue", f"agent:{visitor.agent}")
        return self.page(request, visitor, template, yours=yours, waiting=waiting[:10], done=said, topics=topics)

    async def conversation(
        self, request: Request, visitor: Visitor, handover_id: str, template: str, **asked: str
    ) -> Response:
        """Return one conversation, once it is recorded that the agent looks at the customer."""
        handover = await self.check_holds(visitor, handover_id)
        lang, looker = self.language(request), looker_of(request.scope, None)
        row = await self.brain.pools.short.run(handovers.row_of, self.brain, handover_id)
        answer = await self._suggested(handover, row.stream, lang)
        read = lambda: self._known(handover, row.stream, answer, lang, asked.get("why_not", ""))  # noqa: E731
        whom = looking.seen_in_handover(self.brain, handover_id)
        known = await self.brain.pools.long.run(looking.shown, self.brain, looker, read, whom)
        note_recorded(request.scope)
        done, once = asked.get("done", ""), asked.get("once", "")
        said = words(lang).get(done, "").format(words(lang).get(asked.get("what", ""), asked.get("what", "")))
        undo = {"handover": handover_id, "once": once} if done == "kept" and once else None
        return self.page(request, visitor, template, **known, done=said, undo=undo)

    async def _suggested(self, handover: Json, stream: str, lang: Language) -> Json | None:
        """Return the decision of what to suggest now, the one that was made if nothing has happened since."""
        number = await self.brain.pools.short.run(number_of, self.brain, stream)
        ask = suggestion_ask(self.brain.snapshot.release, handover, number, lang)
        return None if ask is None else await self.brain.commit(ask)

    def _known(self, handover: Json, stream: str, answer: Json | None, lang: Language, asked: str) -> Json:
        release, t = self.brain.snapshot.release, words(lang)
        offers = [] if answer is None else [o for placed in answer["placements"] for o in placed["offers"]]
        shown = [self._offer(offer, lang) for offer in offers]
        decision = None if answer is None else answer["decision_id"]
        return {
            **{name: handover[name] for name in ("customer_id", "visitor_id") if name in handover},
            "handover": {**_ABSENT, **handover},
            "waits": ago(handover["opened_at"], lang),
            "first": shown[0] if shown else None,
            "others": shown[1:],
            "dont": None if decision is None else not_to_do(self.brain, decision, lang),
            "doings": [{"kind": d.kind, "ago": ago(d.ago_s, lang)} for d in doings(self.brain, [stream])],
            "consents": list(consents_of(own_standing(self.brain, stream))),
            "notes": handovers.notes(self.brain, handover["handover_id"]),
            "asked": asked,
            "topics": (f"customer:{handover['customer_id']}",) if "customer_id" in handover else ("queue",),
            "answer": self._why_not(release, decision, asked, lang, t) if asked else "",
        }

    def _offer(self, offer: Json, lang: Language) -> Json:
        release = self.brain.snapshot.release
        declared = release.actions[offer["action"]].outcomes if offer["action"] in release.actions else None
        names = (*declared.positive, *declared.negative) if declared else ()
        outcomes = [name for name in _ANSWERS if name in names]
        price = offer.get("price_eur")
        return {
            "offer_id": offer["offer_id"],
            "title": (offer.get("content") or {}).get("title") or title_of(release, offer["action"], lang),
            "reasons": [reason["text"] for reason in offer["reasons"]],
            "confidence": offer.get("confidence"),
            "price": None if price is None else f"€ {price:.2f}".removesuffix(".00"),
            "outcomes": [*outcomes, *_PROGRESS],
        }

    def _why_not(self, release: Any, decision: str | None, asked: str, lang: Language, t: dict[str, str]) -> str:
        for candidate in explaining.explain(self.brain, decision, audience="agent")["candidates"] if decision else ():
            action = candidate["treatment"].partition(".")[0]
            names = {action.lower(), title_of(release, action, lang).lower()}
            if asked.strip().lower() in names:
                return in_locale(candidate["text"], lang) if candidate.get("text") else t["passes"]
        return t["unknown-action"].format(", ".join(sorted(release.actions)[:3]))


def sent_to(request: Request, path: str) -> Response:
    """Return the answer that sends a browser to a page of the desk."""
    return Response(status_code=303, headers={"Location": request.scope["root_path"] + quote(path, safe="/?=&#-")})
