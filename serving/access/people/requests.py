"""Who is signed in, as requests show it: a cookie, the session behind it, and the token that their writes carry."""

import hmac
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from decisioning.errors import BrainError, RequestError
from serving.access.people.cookies import Cookies
from serving.access.people.sessions import SignedIn
from serving.access.people.sign_in import SignIn
from serving.pools import Pools

CSRF_HEADER: Final = b"x-csrf-token"
CSRF_FIELD: Final = "csrf"
"""The field of a form with the token of a session."""
_FORM: Final = "application/x-www-form-urlencoded"
_FORM_BYTES: Final = 65_536
_FORM_FIELDS: Final = 200
_SIGNED_IN: Final = "brain.signed-in"
_COOKIE: Final = "brain.cookie"


class People:
    """Finds out who makes a request."""

    def __init__(self, sign_in: SignIn, cookies: Cookies, pools: Pools) -> None:
        self.sign_in, self.cookies, self.pools = sign_in, cookies, pools

    async def signed_in(self, scope: Scope) -> SignedIn | None:
        """Return who is signed in where a request comes from, or None. The database is asked once per request."""
        if _SIGNED_IN not in scope:
            scope[_SIGNED_IN] = None
            cookie = self.cookies.read("session", scope["headers"])
            if cookie is not None:
                known = await self.pools.people.run(self.sign_in.sessions.find, cookie)
                scope[_SIGNED_IN] = known
                if known is not None and known.cookie != cookie:
                    scope[_COOKIE] = self.cookies.set("session", known.cookie)
                self._check(known)
        signed_in: SignedIn | None = scope[_SIGNED_IN]
        return signed_in

    def _check(self, signed_in: SignedIn | None) -> None:
        """Have the provider asked whether a person still has their roles, if it is time; the request does not wait."""
        if signed_in is not None and self.sign_in.is_due(signed_in):
            with suppress(BrainError):  # too much waits: a later request has it asked
                self.pools.sign_in.submit(self.sign_in.check, signed_in)


def new_cookie(scope: Scope) -> str | None:
    """Return the header Set-Cookie that replaces the cookie of a request's session, or None."""
    cookie: str | None = scope.get(_COOKIE)
    return cookie


def signed_in_of(scope: Scope) -> SignedIn | None:
    """Return who makes a request, as the doors found out; None for a key and on public routes."""
    signed_in: SignedIn | None = scope.get(_SIGNED_IN)
    return signed_in


async def carries_token(scope: Scope, receive: Receive, signed_in: SignedIn) -> tuple[bool, Receive]:
    """Tell whether a request carries the token of its session, in its header or in a form.

    Return also how the request is to be read from now on.
    """
    shown = dict(scope["headers"]).get(CSRF_HEADER, b"").decode("latin-1")
    if not shown and is_form(scope):
        form, receive = await _read_ahead(scope, receive)
        shown = form.get(CSRF_FIELD, "")
    return hmac.compare_digest(shown.encode(), signed_in.csrf.encode()), receive


def is_form(scope: Scope) -> bool:
    """Tell whether a request's body is a form."""
    media = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
    return bool(media.partition(";")[0].strip().lower() == _FORM)


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form, each once. Raises RequestError for what is no form."""
    if not is_form(request.scope):
        raise RequestError("body", "send a form")
    body, more = b"", request.stream()
    async for chunk in more:
        body += chunk
        if len(body) > _FORM_BYTES:
            raise RequestError("body", f"a form may have {_FORM_BYTES} bytes")
    return _fields(body)


async def _read_ahead(scope: Scope, receive: Receive) -> tuple[dict[str, str], Receive]:
    """Return the fields of a form, and how its body is to be read again; no fields for a form that cannot be read."""
    messages: list[Message] = []

    async def noted() -> Message:
        messages.append(await receive())
        return messages[-1]

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    try:
        return await read_form(Request(scope, noted)), again
    except RequestError:
        return {}, again


def _fields(body: bytes) -> dict[str, str]:
    try:
        fields: dict[str, list[str]] = parse_qs(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FORM_FIELDS
        )
    except ValueError:
        raise RequestError("body", "this is no form") from None
    if twice := [name for name, values in fields.items() if len(values) > 1]:
        raise RequestError(twice[0], "send it once")
    return {name: values[0] for name, values in fields.items()}
