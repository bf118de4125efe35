"""What every request passes before any route sees it: the check of its Host, its key, the key's scope and its body."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope

from decisioning.errors import OutOfScope
from decisioning.facts.forms import Ask
from decisioning.records.audiences import Audience, sees
from features.access_keys import note_uses, read_keys
from features.ledger import Ledger, now_us
from serving.access.callers import Caller, caller_of, caller_of_key, keep_caller, keep_program
from serving.access.keys import Keyring
from serving.access.people.requests import People, carries_token
from serving.access.table import ADMIN, TABLE, Reach, Scopes
from serving.problems import (
    NO_KEY,
    NO_METHOD,
    NO_PATH,
    NO_TOKEN,
    OUT_OF_SCOPE,
    TOO_MANY,
    UNSUPPORTED_MEDIA,
    WRONG_HOST,
    WRONG_ORIGIN,
    ProblemType,
)

_BEARER: Final = "bearer "
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_READS: Final = frozenset({"GET", "HEAD"})
_FOREIGN: Final = frozenset({b"cross-site", b"same-site"})
"""What a browser says in Sec-Fetch-Site of a request that another site had it send."""
_API: Final = "/v1/"
_LIMITED: Final = b"x-limited"
PROGRAM_HEADER: Final = "x-program"
"""A program sends it with any value, and the tools always do. It only narrows what a request may do."""
_PROGRAM: Final = PROGRAM_HEADER.encode()
_TOOLS: Final = "/mcp"
_NOT_BY_PROGRAMS: Final = "a program may not do this: it is for a person, or for a system that is not marked as one"
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that may not pass; without `detail` it says what its kind means."""

    kind: ProblemType
    detail: str | None = None
    headers: Mapping[str, str] | None = None


_TOO_OFTEN: Final = Refusal(TOO_MANY, "this key sends more than http.max_key_requests_per_s in brain.yaml")
"""HAProxy counts the requests of a key, and passes one of those that are too many on, to be recorded."""


class Access:
    """The keys that this process accepts, as of its last `refresh`, and when each was used since the last `note`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._used_us: dict[str, int] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the keys, so that new and revoked ones take effect."""
        keys = read_keys(self._ledger)
        self._keyring, self._callers = Keyring(keys), {key.id: caller_of_key(key) for key in keys}

    def find(self, text: str) -> Caller | None:
        """Return the caller whose valid key this text is, or None."""
        at_us = now_us()
        key = self._keyring.find(text, at_us)
        if key is None:
            return None
        self._used_us[key.id] = at_us
        return self._callers[key.id]

    def admits(self, caller: Caller) -> bool:
        """Tell whether a key that was valid still is."""
        return self._keyring.is_valid(caller.id, now_us())

    def note(self) -> None:
        """Write when keys were used last. No request writes."""
        used_us, self._used_us = self._used_us, {}
        if used_us:
            note_uses(self._ledger, used_us)


class Doors:
    """Decides whether a request may pass. `access` None: no key is asked for, in development on loopback.

    `people` None: only keys are let in. `origins` are the sites whose pages may use the tools of programs.
    """

    def __init__(
        self, access: Access | None, hosts: Collection[str], people: People | None = None, origins: Collection[str] = ()
    ) -> None:
        self._access, self._people, self._reach = access, people, Reach(TABLE)
        self._hosts, self._origins = frozenset(hosts), frozenset(origins)

    def refusal(self, scope: Scope) -> Refusal | None:
        """Return why a request is refused, or None if it may pass; its caller is kept in `scope`.

        What is no route of the table is refused here, so that no other reading of a path goes round the table.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if _name_of(headers.get(b"host", b"").decode("latin-1")) not in self._hosts:
            return Refusal(WRONG_HOST)
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        return self._without_reach(scope, authorization) or self._beyond_its_kind(scope, headers)

    def _beyond_its_kind(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Return why a request is refused that its caller reaches: it is of a foreign page, a program, or no JSON."""
        return (
            self._of_foreign_page(scope, headers.get(b"origin"))
            or (self._beyond_programs(scope) if _PROGRAM in headers else None)
            or _not_json(scope, headers.get(b"content-type", b"").decode("latin-1"))
            or (_TOO_OFTEN if _LIMITED in headers else None)
        )

    def _of_foreign_page(self, scope: Scope, origin: bytes | None) -> Refusal | None:
        """Return the refusal of a request for tools by a page of a site that is not listed.

        Clients that are no browser name no origin. The key was checked before: HAProxy takes 403 for a key that is.
        """
        if scope["path"] != _TOOLS or origin is None or origin.decode("latin-1") in self._origins:
            return None
        return Refusal(WRONG_ORIGIN)

    def _beyond_programs(self, scope: Scope) -> Refusal | None:
        """Keep that a program makes the request, and return the refusal of a route that is for no program."""
        keep_program(scope)
        route = self._reach.route(scope["method"], scope["path"])
        return None if route in TABLE.programs or route in TABLE.public else Refusal(OUT_OF_SCOPE, _NOT_BY_PROGRAMS)

    def _without_reach(self, scope: Scope, authorization: str) -> Refusal | None:
        scopes = self._reach.scopes(scope["method"], scope["path"])
        if self._access is not None and scopes != ():
            caller = self._access.find(authorization[len(_BEARER) :]) if authorization[:7].lower() == _BEARER else None
            if caller is None:
                return Refusal(NO_KEY, "this key is wrong, expired or revoked" if authorization else None, _CHALLENGE)
            keep_caller(scope, caller)
            return self._out_of_reach(scope, caller, scopes)
        return None if scopes is not None else self._no_route(scope["path"])

    async def refusal_of_person(
        self, scope: Scope, receive: Receive, default: Refusal
    ) -> tuple[Refusal | None, Receive]:
        """Return why a request without a valid key is refused: `default`, unless a person who signed in makes it.

        Return also how the request is to be read. What a person sends carries the token of their session, which no page
        of another site can read; so no such page has a browser write anything in the person's name.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if self._people is None or b"authorization" in headers:
            return default, receive
        signed_in = await self._people.signed_in(scope)
        if signed_in is None:
            return default, receive
        keep_caller(scope, signed_in.caller)
        reads = scope["method"] in _READS
        if headers.get(b"sec-fetch-site") in _FOREIGN and not (reads and not scope["path"].startswith(_API)):
            return Refusal(NO_TOKEN), receive
        if not reads:
            carries, receive = await carries_token(scope, receive, signed_in)
            if not carries:
                return Refusal(NO_TOKEN), receive
        refusal = self._out_of_reach(scope, signed_in.caller, self._reach.scopes(scope["method"], scope["path"]))
        return refusal or self._beyond_its_kind(scope, headers), receive

    def _out_of_reach(self, scope: Scope, caller: Caller, scopes: Scopes | None) -> Refusal | None:
        """Return why a caller does not reach a path that only these scopes reach; None for no route."""
        if scopes is None:
            return self._no_route(scope["path"])
        return None if caller.has_any(scopes) else Refusal(OUT_OF_SCOPE, caller.needs(scopes))

    def _no_route(self, path: str) -> Refusal:
        methods = self._reach.methods(path)
        return Refusal(NO_METHOD, headers={"Allow": ", ".join(methods)}) if methods else Refusal(NO_PATH)


def check_fields(request: HTTPConnection, route: str, body: BaseModel) -> None:
    """Raise OutOfScope if a body has a field that its caller's scopes may not send."""
    caller = caller_of(request.scope)
    if caller is None or ADMIN in caller.scopes:
        return
    for field, scopes in TABLE.needed_for(route, body):
        if not caller.has_any(scopes):
            raise OutOfScope(field, caller.needs(scopes))


def within_caller(request: HTTPConnection, ask: Ask) -> Ask:
    """Return a request for a decision about no more issues than its caller may ask for.

    Raises OutOfScope for an issue or a channel that the caller may not ask for.
    """
    caller = caller_of(request.scope)
    if caller is None:
        return ask
    check_channel(request, ask.channel)
    if not caller.issues:
        return ask
    if others := sorted(set(ask.issues) - set(caller.issues)):
        own = ",".join(caller.issues)
        raise OutOfScope("issues", f"this {caller.kind} asks for {own} only, not for {others[0]}")
    return ask if ask.issues else ask.model_copy(update={"issues": caller.issues})


def check_channel(request: HTTPConnection, channel: str) -> None:
    """Raise OutOfScope if a request's caller is not for this channel."""
    caller = caller_of(request.scope)
    if caller is not None and caller.channels and channel not in caller.channels:
        raise OutOfScope("channel", f"this {caller.kind} is for the channels {','.join(caller.channels)} only")


def audience_of(request: HTTPConnection, detail: Audience | None = None) -> Audience:
    """Return for whom the answer to a request is: for `detail`, by default for whom its caller's answers are.

    Raises OutOfScope for a detail that the caller may not see. Without keys everything is the company's.
    """
    caller = caller_of(request.scope)
    if caller is None:
        return detail or "company"
    if detail is not None and not sees(caller.audience, detail):
        own = ", ".join(sorted(caller.scopes))
        raise OutOfScope(
            "detail", f"the scope of this {caller.kind} is {own}; its answers are for the {caller.audience}"
        )
    return detail or caller.audience


def _name_of(host: str) -> str:
    """Return a Host header without its port, in lower case."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _not_json(scope: Scope, media: str) -> Refusal | None:
    """Return the refusal of a body that is not declared as JSON: a page of another origin could send it unasked."""
    if scope["method"] not in _WITH_BODY or not scope["path"].startswith((_API, _TOOLS)):
        return None
    kind = media.partition(";")[0].strip().lower()
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    return None if is_json else Refusal(UNSUPPORTED_MEDIA)
