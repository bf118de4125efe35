"""How the desk's pages are answered: to whom, in which language, with what is shown and the look recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request, Response

from decisioning.errors import BrainError, WrongState
from serving.access.callers import Caller, caller_of
from serving.access.looks import Doer, doer_of
from serving.access.people.requests import People, signed_in_of
from serving.access.people.signing import new_token
from serving.brain.runtime import Brain
from serving.pages.desk.words import words
from serving.pages.frame import page
from serving.pages.languages import LANGUAGES, Language
from serving.pages.me.words import language_of
from serving.people import handovers
from serving.people.handover_forms import HandoverStepIn

Json = dict[str, Any]
DESK: Final = "/desk"
_NAMES: Final[dict[Language, str]] = {"nl": "Nederlands", "en": "English"}
_HOLDS: Final = ("offered", "accepted", "call_back", "ticket")
_FOR_ALL: Final[Mapping[str, Any]] = {
    "done": "",
    "undo": None,
    "doubts": None,
    "topics": (),
    "noted": False,
    "confirmation": "",
}


@dataclass(frozen=True)
class Visitor:
    """Who is at the desk: `agent` is how the ledger names them, `csrf` the token that their forms carry."""

    agent: str
    caller: Caller | None
    csrf: str
    doer: Doer


@dataclass(frozen=True)
class Desk:
    """What the desk's pages are made with."""

    brain: Brain
    people: People

    def visitor(self, request: Request) -> Visitor:
        """Return who makes a request, as the doors found out."""
        signed_in, doer = signed_in_of(request.scope), doer_of(request.scope)
        return Visitor(doer.who, caller_of(request.scope), "" if signed_in is None else signed_in.csrf, doer)

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
        given = {
            **_FOR_ALL,
            "t": words(lang),
            "csrf": visitor.csrf,
            "once": new_token(),
            "other": {"lang": other, "name": _NAMES[other]},
            "idle_s": round(self.brain.workspace.settings.sign_in.idle_min * 60),
            **about,
        }
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

    async def note_doing(self, visitor: Visitor, handover_id: str, did: str, once: str, **about: str) -> None:
        """Record what the agent did in a conversation."""
        work = partial(handovers.note_doing, self.brain, handover_id, did, visitor.agent, once, **about)
        await self.brain.pools.short.run(work)

    async def check_holds(self, visitor: Visitor, handover_id: str) -> Any:
        """Return the row of a handover that the visitor holds; raises NotFound, and WrongState if they do not."""
        row = await self.brain.pools.short.run(handovers.row_of, self.brain, handover_id)
        if row.agent != visitor.agent or row.state not in _HOLDS:
            raise WrongState("handover_id", "you do not hold this conversation")
        return row


def sent_to(request: Request, path: str) -> Response:
    """Return the answer that sends a browser to a page of the desk."""
    return Response(status_code=303, headers={"Location": request.scope["root_path"] + quote(path, safe="/?=&#-")})
