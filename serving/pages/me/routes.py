"""Routes of the customer's own page. None of them is an API: forms go in, pages come out."""

from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from decisioning.errors import Erased, RequestError
from serving.access.people.cookies import OWN_PAGE
from serving.access.people.requests import CSRF_FIELD, People, read_form
from serving.brain.runtime import Brain
from serving.customers.rights.entering import Entering, WorthlessLink
from serving.pages.me.site import OwnPages, sent_to
from serving.pages.me.words import words

Code = Annotated[str, Query(max_length=100)]


def my_routes(app: FastAPI, brain: Brain, people: People, entering: Entering) -> None:
    """Add the routes to the application."""
    pages = OwnPages(brain, people, entering)
    _entering_routes(app, pages)

    @app.get(OWN_PAGE, include_in_schema=False)
    async def mine(request: Request) -> Response:
        visit = await pages.visit(request)
        if visit is None:
            return pages.away(request)
        return pages.page(request, "me.html", token=visit.csrf)


def _entering_routes(app: FastAPI, pages: OwnPages) -> None:
    @app.get(f"{OWN_PAGE}/enter", include_in_schema=False)
    async def arrive(request: Request, code: Code = "") -> Response:
        """Show the button that opens the page. The code is neither looked up nor used: a machine may have come."""
        token, cookie = pages.browser_token(request)
        here, again = f"{OWN_PAGE[1:]}/enter", {"code": code}
        answer = pages.page(request, "enter.html", code=code, token=token, path=here, again=again)
        if cookie is not None:
            answer.headers.append("Set-Cookie", cookie)
        return answer

    @app.post(f"{OWN_PAGE}/enter", include_in_schema=False)
    async def enter(request: Request) -> Response:
        try:
            fields = await read_form(request)
        except RequestError:
            fields = {}
        if not pages.is_own_form(request, fields.get(CSRF_FIELD, "")):
            return pages.stale(request)
        try:
            cookie = await pages.people.pools.people.run(pages.entering.enter, fields.get("code", ""))
        except WorthlessLink as link:
            return await _refused(request, pages, link)
        except Erased:
            return pages.message(request, "link-revoked", 410)
        return sent_to(request, OWN_PAGE, pages.people.cookies.set("me", cookie))

    @app.post(f"{OWN_PAGE}/leave", include_in_schema=False)
    async def leave(request: Request) -> Response:
        visit = await pages.visit(request)
        if visit is not None:
            if await pages.form(request, visit) is None:
                return pages.stale(request)
            await pages.people.pools.people.run(pages.entering.leave, visit)
        answer = pages.message(request, "left-title", texts=("left-text",))
        answer.headers.append("Set-Cookie", pages.people.cookies.set("me", ""))
        return answer


async def _refused(request: Request, pages: OwnPages, link: WorthlessLink) -> Response:
    """Return the page that says why a link lets nobody in; who came in by it before is shown the way."""
    inside = await pages.visit(request) is not None
    onward = {"path": OWN_PAGE[1:], "name": words(pages.language(request))["go-on"]} if inside else None
    return pages.message(request, f"link-{link.why}", 401 if link.why == "unknown" else 410, onward=onward)
