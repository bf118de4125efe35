"""Routes of the lead's view: a page, the part of it that changes by itself, and what a lead does by its forms."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response

from decisioning.errors import BrainError, NotFound
from serving.access.callers import Caller, caller_of
from serving.access.looks import looker_of, note_recorded
from serving.access.people.requests import People, read_form
from serving.brain.runtime import Brain
from serving.customers import looking
from serving.pages.desk.site import DESK, Desk, sent_to
from serving.pages.languages import Language
from serving.pages.lead.acts import ACTS, Act
from serving.pages.lead.asked import waiting_requests
from serving.pages.lead.board import MOST, Json, board
from serving.pages.lead.contents import LeadWords, words
from serving.pages.lead.doings import doings, streams_in
from serving.pages.lead.names import names_for
from serving.pages.report.kept import kept_report

LEAD: Final = "/lead"
_PAGE: Final = "lead/lead.html"
Short = Annotated[str, Query(max_length=40)]


def lead_routes(app: FastAPI, brain: Brain, people: People) -> None:
    """Add the routes to the application."""
    desk = Desk(brain, people)

    @app.get(LEAD, include_in_schema=False)
    async def lead(request: Request, done: Short = "") -> Response:
        return await _shown(desk, request, _PAGE, done)

    @app.get(f"{LEAD}/now", include_in_schema=False)
    async def now(request: Request) -> Response:
        return await _shown(desk, request, "lead/now.html")

    for path, act in ACTS.items():
        app.add_api_route(f"{LEAD}/{path}", _acting(desk, act), methods=["POST"], include_in_schema=False)


def _acting(desk: Desk, act: Act) -> Callable[[Request], Awaitable[Response]]:
    """Return a route that does what a lead asks for by a form, and sends them back to the page."""

    async def route(request: Request) -> Response:
        about = next(iter(request.path_params.values()), "")
        try:
            fields = await read_form(request)
            done = await desk.brain.pools.long.run(act, desk.brain, request.scope, about, fields)
        except NotFound as error:
            return _refused(desk, request, error, 404)
        except BrainError as error:
            return _refused(desk, request, error)
        if done == "take-done":
            return sent_to(request, f"{DESK}/{about}")
        return sent_to(request, f"{LEAD}?done={done}")

    return route


def _refused(desk: Desk, request: Request, error: BrainError, status: int = 409) -> Response:
    """Return the page that says why something was not done."""
    t = words(desk.language(request))
    text = f"{str(error).rstrip('.')}."
    return desk.page(request, desk.visitor(request), "lead/refused.html", status, t=t, text=text)


async def _shown(desk: Desk, request: Request, template: str, done: str = "") -> Response:
    """Return the page, once it is recorded that the lead looks at those whom it names."""
    visitor, lang = desk.visitor(request), desk.language(request)
    read = partial(_read, desk.brain, caller_of(request.scope), lang)
    whom = partial(_named, desk.brain)
    looker = looker_of(request.scope, None)
    shown = await desk.brain.pools.long.run(looking.shown, desk.brain, looker, read, whom)
    note_recorded(request.scope)
    in_words = LeadWords(desk.brain.snapshot.release, lang, shown["names"])
    content = in_words.page(shown)
    if template == _PAGE:
        kept = await desk.brain.pools.long.run(kept_report, desk.brain.workspace)
        content |= in_words.figures(kept)
    said = words(lang).get(done, "") if done.endswith(("-done", "-meanwhile")) or done.startswith("request-") else ""
    return desk.page(request, visitor, template, t=words(lang), done=said, me=_own_id(visitor.caller), **content)


def _own_id(caller: Caller | None) -> str:
    return "" if caller is None else caller.id


def _read(brain: Brain, caller: Caller | None, lang: Language) -> Json:
    """Return all that the page shows, as plain values."""
    return {
        **board(brain),
        "doings": doings(brain),
        "names": names_for(caller, brain),
        "asked": waiting_requests(brain, MOST, caller, lang),
        "paused": sorted(brain.ledger.paused()),
        "actions": sorted(brain.snapshot.release.actions),
    }


def _named(brain: Brain, shown: Json) -> list[tuple[str, dict[str, str]]]:
    """Return whom the page names, or shows a note about."""
    each: list[Any] = [*shown["needs"], *shown["longest"], *shown["held"][:MOST], *shown["asked"]["requests"]]
    ids = dict.fromkeys(one["customer_id"] for one in each if one.get("customer_id"))
    known = {brain.subject_stream(customer_id): {"customer_id": customer_id} for customer_id in ids}
    return [*known.items(), *((s, {}) for s in dict.fromkeys(streams_in(shown["doings"])) if s not in known)]
