"""Routes of signing in and out. Whoever signed in goes to a path of this server, whatever the request names as host."""

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import FastAPI, Query, Request, Response

from decisioning.errors import BrainError, Refused, RequestError, TooOften, Unavailable
from serving.access.people.requests import CSRF_FIELD, People, read_form
from serving.access.people.sessions import SignedIn
from serving.access.people.sign_in import HOME, is_of_provider, own_path
from serving.access.people.signing import new_token
from serving.pages.frame import page

_CHALLENGE: Final = {"WWW-Authenticate": "Form"}
"""RFC 9110 wants one with a 401; browsers know no such scheme, and show the page."""
_STALE: Final = "This form was open too long, or your browser keeps no cookies. Try again."
_DENIED: Final = "The sign-in provider did not let you in. Start again, or ask who runs it."
Given = Annotated[str, Query(max_length=4_000)]


def sign_in_routes(app: FastAPI, people: People) -> None:
    """Add the routes to the application."""
    _password_routes(app, people)
    _provider_routes(app, people)

    _sign_out_routes(app, people)


def _password_routes(app: FastAPI, people: People) -> None:
    @app.get("/sign-in", include_in_schema=False)
    async def sign_in(request: Request, next: Given = "") -> Response:
        signed_in = await people.signed_in(request.scope)
        return _form(request, people, next) if signed_in is None else _signed_in_page(request, signed_in, next)

    @app.post("/sign-in", include_in_schema=False)
    async def with_password(request: Request) -> Response:
        try:
            form = await read_form(request)
            name, then = form.get("name", ""), form.get("next", "")
            if not _is_own_form(request, people, form.get(CSRF_FIELD, "")):
                return _form(request, people, then, 403, notice=_STALE, name=name)
        except RequestError:
            return _form(request, people, "", 403, notice=_STALE)
        device = people.cookies.read("device", request.scope["headers"]) or ""
        work = people.sign_in.with_password
        try:
            signed_in, seen = await people.pools.sign_in.run(work, name, form.get("password", ""), device)
        except BrainError as error:
            return _form(request, people, then, _status(error), notice=str(error), name=name)
        cookies = people.cookies.set("session", signed_in.cookie), people.cookies.set("device", seen)
        return _sent_to(request, own_path(then), *cookies)


def _provider_routes(app: FastAPI, people: People) -> None:
    @app.get("/sign-in/provider", include_in_schema=False)
    async def begin(request: Request, next: Given = "") -> Response:
        try:
            address, attempt = await people.pools.sign_in.run(people.sign_in.begin, next)
        except BrainError as error:
            return _form(request, people, next, _status(error), notice=str(error))
        answer = Response(status_code=303, headers={"Location": address})
        answer.headers.append("Set-Cookie", people.cookies.set("attempt", attempt))
        return answer

    @app.get("/sign-in/callback", include_in_schema=False)
    async def callback(request: Request, state: Given = "", code: Given = "", error: Given = "") -> Response:
        attempt = people.cookies.read("attempt", request.scope["headers"]) or ""
        try:
            if error:
                raise Refused(_DENIED)
            signed_in, then = await people.pools.sign_in.run(people.sign_in.finish, attempt, state, code)
        except BrainError as failed:
            return _form(request, people, "", _status(failed), notice=str(failed))
        cookies = people.cookies.set("session", signed_in.cookie), people.cookies.set("attempt", "")
        return _sent_to(request, then, *cookies)


def _sign_out_routes(app: FastAPI, people: People) -> None:
    @app.post("/sign-out", include_in_schema=False)
    async def sign_out(request: Request) -> Response:
        signed_in = await people.signed_in(request.scope)
        no_session = people.cookies.set("session", "")
        if signed_in is None:
            return _sent_to(request, HOME, no_session)
        leaving = await people.pools.sign_in.run(people.sign_in.leave, signed_in)
        if not is_of_provider(signed_in):
            return _sent_to(request, HOME, no_session)
        return _left_here(request, people, no_session, leaving)

    @app.get("/sign-out", include_in_schema=False)
    async def signed_out(request: Request, state: Given = "") -> Response:
        leaving = people.cookies.read("leaving", request.scope["headers"]) or ""
        if not people.sign_in.has_left(leaving, state):
            return _sent_to(request, HOME)
        answer = page("sign_in/signed_out.html", request, everywhere=True, provider="")
        answer.headers.append("Set-Cookie", people.cookies.set("leaving", ""))
        return answer


def _left_here(request: Request, people: People, no_session: str, leaving: tuple[str, str] | None) -> Response:
    """Return the page of who signed out here, which goes on to the provider.

    A redirect would not do: browsers let the answer to a form lead to no other site, as the page's policy says.
    """
    address, kept = leaving or ("", "")
    answer = page("sign_in/signed_out.html", request, everywhere=False, provider=address)
    answer.headers.append("Set-Cookie", no_session)
    if leaving is not None:
        answer.headers["Refresh"] = f"0; url={address}"
        answer.headers.append("Set-Cookie", people.cookies.set("leaving", kept))
    return answer


def _form(
    request: Request, people: People, then: str, status: int = 200, *, notice: str = "", name: str = ""
) -> Response:
    """Return the page with the ways to sign in, for this browser alone."""
    known = people.cookies.read("form", request.scope["headers"])
    browser = known or new_token()
    answer = page(
        "sign_in/sign_in.html",
        request,
        status,
        notice=notice,
        name=name[:100],
        then=own_path(then),
        token=people.sign_in.signer.mac("form", browser),
        provider=people.sign_in.provider is not None,
    )
    answer.headers.update(_CHALLENGE if status == 401 else {})
    if known is None:
        answer.headers.append("Set-Cookie", people.cookies.set("form", browser))
    return answer


def _signed_in_page(request: Request, signed_in: SignedIn, then: str) -> Response:
    path = own_path(then)
    return page(
        "sign_in/signed_in.html",
        request,
        person=signed_in.person,
        scopes=sorted(signed_in.caller.scopes),
        token=signed_in.csrf,
        then=request.scope["root_path"] + path if path != HOME else "",
    )


def _is_own_form(request: Request, people: People, token: str) -> bool:
    """Tell whether the page that this browser was given sends a form."""
    browser = people.cookies.read("form", request.scope["headers"])
    return browser is not None and people.sign_in.signer.matches("form", browser, token)


def _sent_to(request: Request, path: str, *cookies: str) -> Response:
    """Return the answer that sends a browser to a path of this server."""
    answer = Response(status_code=303, headers={"Location": request.scope["root_path"] + path})
    for cookie in cookies:
        answer.headers.append("Set-Cookie", cookie)
    return answer


def to_sign_in(request: Request) -> Response:
    """Return the answer that has a person sign in first, and then go on to what they asked for."""
    query = f"?{request.url.query}" if request.url.query else ""
    asked = request.scope["path"] + query if request.method == "GET" else HOME
    return _sent_to(request, f"{HOME}?{urlencode({'next': asked})}" if asked != HOME else HOME)


def _status(error: BrainError) -> int:
    if isinstance(error, TooOften):
        return 429
    return 503 if isinstance(error, Unavailable) else 401
