"""Routes of the customer's own page. None of them is an API: forms go in, pages come out."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final, get_args

from fastapi import FastAPI, Query, Request, Response
from pydantic_core import to_json

from decisioning.errors import Erased, Refused, RequestError, TooOften, Unavailable
from serving.access.people.cookies import OWN_PAGE
from serving.access.people.requests import CSRF_FIELD, People, read_form
from serving.access.people.signing import new_token
from serving.brain.runtime import Brain
from serving.customers import erasing
from serving.customers.rights import asking, choosing
from serving.customers.rights.asking import About
from serving.customers.rights.company_sign_in import SIGNED_IN, CompanySignIn
from serving.customers.rights.entering import Entering, Visit, WorthlessLink
from serving.customers.rights.seeing import FEW, MANY, own_view, whole_export
from serving.pages.me.contents import Contents
from serving.pages.me.site import OwnPages, sent_to
from serving.pages.me.words import words

Short = Annotated[str, Query(max_length=100)]
Given = Annotated[str, Query(max_length=4_000)]
Fields = dict[str, str]
Act = Callable[[Request, Visit, Fields], Awaitable[Response]]
_HERE: Final = OWN_PAGE[1:]
_AFTER_CODE: Final = {"held": f"{OWN_PAGE}?done=code-used#held", "erase": f"{OWN_PAGE}/erase"}


def my_routes(app: FastAPI, brain: Brain, people: People, entering: Entering) -> None:
    """Add the routes to the application; raises Refused for settings that cannot be followed."""
    company = CompanySignIn(brain.workspace, brain.ledger, people.sign_in.signer)
    pages = OwnPages(brain, people, entering, company)
    _entering_routes(app, pages)
    _company_routes(app, pages)
    _seeing_routes(app, pages)
    acts: dict[str, Act] = {
        "leave": partial(_leave, pages),
        "stop": partial(_stop, pages),
        "allow": partial(_allow, pages),
        "opinions": partial(_give_opinion, pages),
        "requests": partial(_ask, pages),
        "confirm": partial(_confirm, pages),
        "export": partial(_export, pages),
        "erase": partial(_erase, pages),
    }
    for name, act in acts.items():
        app.add_api_route(f"{OWN_PAGE}/{name}", _acting(pages, act), methods=["POST"], include_in_schema=False)


def _acting(pages: OwnPages, act: Act) -> Callable[[Request], Awaitable[Response]]:
    """Return a route that does what a customer asks for by a form of their own page, and by nothing else."""

    async def route(request: Request) -> Response:
        visit = await pages.visit(request)
        if visit is None:
            return pages.away(request, 401)
        try:
            fields = await pages.form(request, visit)
            return pages.stale(request) if fields is None else await act(request, visit, fields)
        except Erased:
            return pages.away(request, 401)
        except RequestError as error:
            return pages.message(request, "too-long", 422) if error.field == "text" else pages.stale(request, 422)
        except TooOften:
            return pages.message(request, "ask-often", 429)
        except Unavailable:
            return pages.message(request, "busy", 503)

    return route


def _entering_routes(app: FastAPI, pages: OwnPages) -> None:
    @app.get(f"{OWN_PAGE}/enter", include_in_schema=False)
    async def arrive(request: Request, code: Short = "") -> Response:
        """Show the button that opens the page. The code is neither looked up nor used: a machine may have come."""
        return _door(pages, request, "enter", code=code)

    @app.post(f"{OWN_PAGE}/enter", include_in_schema=False)
    async def enter(request: Request) -> Response:
        try:
            fields = await read_form(request)
        except RequestError:
            fields = {}
        if not pages.is_own_form(request, fields.get(CSRF_FIELD, "")):
            return pages.stale(request)
        if "state" in fields:
            return await _enter_signed_in(request, pages, fields)
        try:
            cookie = await pages.people.pools.people.run(pages.entering.enter, fields.get("code", ""))
        except WorthlessLink as link:
            return await _refused(request, pages, link)
        except Erased:
            return pages.message(request, "link-revoked", 410)
        return sent_to(request, OWN_PAGE, pages.people.cookies.set("me", cookie))


def _door(pages: OwnPages, request: Request, name: str, **brought: str) -> Response:
    """Return the page with the button that opens the customer's page, by what this browser brought."""
    token, cookie = pages.browser_token(request)
    answer = pages.page(request, "enter.html", brought=brought, token=token, path=f"{_HERE}/{name}", again=brought)
    if cookie is not None:
        answer.headers.append("Set-Cookie", cookie)
    return answer


def _company_routes(app: FastAPI, pages: OwnPages) -> None:
    """Add the routes of the company's own sign-in. What the provider sends back is used by a POST, once."""

    @app.get(f"{OWN_PAGE}/sign-in", include_in_schema=False)
    async def begin(request: Request) -> Response:
        if not pages.company.is_there:
            return pages.away(request)
        try:
            address, attempt = await pages.people.pools.sign_in.run(pages.company.begin)
        except Unavailable:
            return pages.message(request, "busy", 503)
        answer = Response(status_code=303, headers={"Location": address})
        answer.headers.append("Set-Cookie", pages.people.cookies.set("me-attempt", attempt))
        return answer

    @app.get(SIGNED_IN, include_in_schema=False)
    async def come_back(request: Request, state: Given = "", code: Given = "") -> Response:
        return _door(pages, request, "signed-in", state=state, code=code)


async def _enter_signed_in(request: Request, pages: OwnPages, fields: Fields) -> Response:
    """Let in who came back from the company's own sign-in; another visit of this browser ends."""
    attempt = pages.people.cookies.read("me-attempt", request.scope["headers"]) or ""
    brought = attempt, fields["state"], fields.get("code", "")
    before = await pages.visit(request)
    try:
        customer_id = await pages.people.pools.sign_in.run(pages.company.finish, *brought)
        cookie = await pages.people.pools.people.run(pages.entering.admit, customer_id)
    except Erased:
        return pages.message(request, "sign-in-erased", 410)
    except Refused:
        return pages.message(request, "sign-in-failed", 401, onward=pages.to_sign_in(request))
    except (TooOften, Unavailable):
        return pages.message(request, "busy", 503)
    if before is not None:
        await pages.people.pools.people.run(pages.entering.leave, before)
    cookies = pages.people.cookies.set("me", cookie), pages.people.cookies.set("me-attempt", "")
    return sent_to(request, OWN_PAGE, *cookies)


async def _refused(request: Request, pages: OwnPages, link: WorthlessLink) -> Response:
    """Return the page that says why a link lets nobody in; who came in by it before is shown the way."""
    inside = await pages.visit(request) is not None
    onward = {"path": _HERE, "name": words(pages.language(request))["go-on"]} if inside else None
    return pages.message(request, f"link-{link.why}", 401 if link.why == "unknown" else 410, onward=onward)


def _seeing_routes(app: FastAPI, pages: OwnPages) -> None:
    brain = pages.brain

    @app.get(OWN_PAGE, include_in_schema=False)
    async def mine(request: Request, more: Short = "", done: Short = "", number: Short = "") -> Response:
        visit = await pages.visit(request)
        if visit is None:
            return pages.away(request)
        lang, most = pages.language(request), MANY if more else FEW
        try:
            view = await brain.pools.long.run(own_view, brain, visit, lang, most)
        except Unavailable:
            return pages.message(request, "busy", 503)
        shown = Contents(brain.snapshot.release, lang).page(view, visit, (done, number))
        return pages.page(request, "me.html", **shown)

    @app.get(f"{OWN_PAGE}/erase", include_in_schema=False)
    async def before_erasing(request: Request) -> Response:
        """Say what goes and what stays; the button that erases is there once the customer typed a one-time code."""
        visit = await pages.visit(request)
        if visit is None:
            return pages.away(request)
        bases = brain.snapshot.release.catalogue.bases
        law = [basis.text for basis in bases if basis.basis == "legal-obligation"]
        return pages.page(
            request,
            "erase.html",
            token=visit.csrf,
            once=new_token(),
            confirmed=visit.confirmed,
            law=law,
            asks="erasure",
            then="erase",
            path=f"{_HERE}/erase",
        )


async def _leave(pages: OwnPages, request: Request, visit: Visit, _: Fields) -> Response:
    await pages.people.pools.people.run(pages.entering.leave, visit)
    return _closed(pages, request, "left-title", "left-text")


async def _stop(pages: OwnPages, request: Request, visit: Visit, fields: Fields) -> Response:
    asked = fields.get("purpose", ""), fields.get("channel", "")
    await pages.brain.pools.consents.run_async(choosing.stop, pages.brain, visit.customer_id, *asked)
    return sent_to(request, f"{OWN_PAGE}?done=stopped#choices")


async def _allow(pages: OwnPages, request: Request, visit: Visit, fields: Fields) -> Response:
    if not visit.confirmed:
        return pages.unconfirmed(request, "#held")
    asked = fields.get("purpose", ""), fields.get("channel", ""), fields.get("version", "")
    await pages.brain.pools.consents.run_async(choosing.allow, pages.brain, visit.customer_id, *asked)
    return sent_to(request, f"{OWN_PAGE}?done=allowed#choices")


async def _give_opinion(pages: OwnPages, request: Request, visit: Visit, fields: Fields) -> Response:
    decision_id, right = fields.get("decision_id", ""), fields.get("right")
    if right not in ("yes", "no"):
        raise RequestError("right", "expected yes or no")
    work = partial(asking.give_opinion, pages.brain, visit.stream, decision_id, right=right == "yes")
    await pages.brain.pools.short.run(work)
    return sent_to(request, f"{OWN_PAGE}?done=opinion-kept#why")


async def _ask(pages: OwnPages, request: Request, visit: Visit, fields: Fields) -> Response:
    about: About | None = next((one for one in get_args(About) if one == fields.get("about")), None)
    decision_id = fields.get("decision_id")
    if about is None or (about == "contest") != (decision_id is not None):
        raise RequestError("about", "there is no such request")
    text, once = fields.get("text", "").strip(), fields.get("once", "")
    ask = partial(asking.open_request, pages.brain, visit.customer_id, about, once, text=text, decision_id=decision_id)
    number = await pages.brain.pools.short.run(ask)
    return sent_to(request, f"{OWN_PAGE}?done=ask-kept&number={number}#ask")


async def _confirm(pages: OwnPages, request: Request, visit: Visit, fields: Fields) -> Response:
    code, then = fields.get("code", ""), fields.get("then", "")
    onward = {"path": f"{_HERE}/erase" if then == "erase" else _HERE, "name": words(pages.language(request))["go-on"]}
    try:
        right = await pages.people.pools.people.run(pages.entering.confirm, visit, code)
    except TooOften:
        return pages.message(request, "code-often", 429, onward=onward)
    if not right:
        return pages.message(request, "code-wrong", 401, onward=onward)
    return sent_to(request, _AFTER_CODE.get(then, OWN_PAGE))


async def _export(pages: OwnPages, request: Request, visit: Visit, _: Fields) -> Response:
    if not visit.confirmed:
        return pages.unconfirmed(request, "#held")
    whole = await pages.brain.pools.long.run(whole_export, pages.brain, visit)
    named = {"Content-Disposition": 'attachment; filename="my-data.json"'}
    return Response(to_json(whole, indent=1), media_type="application/json", headers=named)


async def _erase(pages: OwnPages, request: Request, visit: Visit, _: Fields) -> Response:
    if not visit.confirmed:
        return pages.unconfirmed(request, "/erase")
    await pages.brain.pools.short.run(asking.note_erasure, pages.brain, visit.customer_id)
    await erasing.erase(pages.brain, "person", visit.customer_id)
    return _closed(pages, request, "erased", "erased-text")


def _closed(pages: OwnPages, request: Request, name: str, text: str) -> Response:
    """Return the page that follows the end of a visit."""
    answer = pages.message(request, name, texts=(text,))
    answer.headers.append("Set-Cookie", pages.people.cookies.set("me", ""))
    return answer
