"""Every kind of error that an HTTP answer may be, and how it is written (RFC 9457). The one place for both.

An answer names the kind in `type`, a path of this server that describes it. It repeats nothing that was sent: no value,
and no name of a field that is not spelt like one. HAProxy gives the same documents (serving/lifecycle/haproxy.py).
"""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel
from pydantic_core import to_json

from decisioning.errors import (
    BrainError,
    ConfigError,
    Conflict,
    Erased,
    LinkedElsewhere,
    NotFound,
    OutOfScope,
    Overloaded,
    Refused,
    RequestError,
    RequestReused,
    SealBroken,
    ToldOfAnother,
    TooLate,
    TooOften,
    Unavailable,
    WrongState,
)

PROBLEM = "application/problem+json"
TYPES = "/problems"
"""The path below which the server describes each type."""
RETRY_AFTER_S = 1
MAX_BODY_BYTES = 262_144
"""The largest body of any request, arrays included; HAProxy waits for all of it."""
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}|[0-9]{1,5}|\*")


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem: the last part of its type, its HTTP status, its title, and what it means.

    `root` is the path under which callers reach the server of this process (see `serve_under`).
    """

    root: ClassVar[str] = ""
    name: str
    status: int
    title: str
    about: str

    @property
    def uri(self) -> str:
        """The value of `type`: a URI reference with its whole path."""
        return f"{self.root}{TYPES}/{self.name}"

    @property
    def may_be_repeated(self) -> bool:
        """Tell whether the same request may succeed a moment later."""
        return self.status in (429, 503)


INVALID = ProblemType(
    "invalid-request", 422, "invalid request", "A field is wrong. `field` is its JSON path, `detail` says what is wrong"
)
REUSED = ProblemType(
    "request-reused", 409, "id reused", "The id that `field` names was sent with another body: use a new one for each"
)
LINKED = ProblemType(
    "linked-elsewhere", 409, "linked to another customer", "The identifier must be unlinked from another customer first"
)
TOLD_OF_ANOTHER = ProblemType(
    "told-of-another", 409, "id of another customer", "An id means one thing told: use a new one for each"
)
WRONG_STATE = ProblemType(
    "wrong-state",
    409,
    "not possible now",
    "It does not follow from the state it is in: somebody else may have come first",
)
ERASED = ProblemType(
    "erased",
    410,
    "erased",
    "Nothing told of who was erased is kept. The id stays barred: who returns gets a new id",
)
NOT_FOUND = ProblemType("not-found", 404, "not found", "What `field` names does not exist here")
REFUSED = ProblemType("refused", 422, "refused", "The data or the rules do not support what was asked for")
SIGNALS = ProblemType("signals-refused", 422, "signals refused", "None was recorded. `results` says why, by index")
NONE_TAKEN = ProblemType("none-recorded", 422, "none recorded", "None was recorded. `results` says why, by index")
BUSY = ProblemType(
    "busy", 503, "busy", "The server is busy or starts. It may have been done: send it again, with the same ids"
)
UNAVAILABLE = ProblemType(
    "unavailable", 503, "unavailable", "A store or the decision process is away. Send it again, with the same ids"
)
OVERLOADED = ProblemType(
    "overloaded", 503, "overloaded", "More decisions are asked for than can be made in time. Nothing was decided"
)
TOO_LATE = ProblemType(
    "too-late", 503, "too late", "The time that the header Request-Timeout gave was over. Nothing was decided"
)
NOT_DECIDED = ProblemType(
    "not-decided", 500, "not decided", "A decision was not safe to answer. Tell who operates this"
)
BUG = ProblemType("internal-error", 500, "internal error", "A mistake in the server. Its log says where, with the time")
NO_KEY = ProblemType(
    "no-key",
    401,
    "no key",
    "Send the header `Authorization: Bearer KEY`. `brain serve` says where keys are, `brain key create` makes one. "
    "People sign in at /sign-in",
)
OUT_OF_SCOPE = ProblemType(
    "out-of-scope", 403, "out of scope", "The key is valid, and its scope does not reach this. See `brain key list`"
)
NO_TOKEN = ProblemType(
    "no-csrf-token",
    403,
    "no token",
    "A page that a person signed in to sends the token of their session: in the header X-CSRF-Token, or in its form",
)
SIGN_IN_REFUSED = ProblemType("sign-in-refused", 401, "not signed in", "Name, password or provider let nobody in")
WRONG_HOST = ProblemType(
    "wrong-host", 421, "wrong host", "The header Host names another server: add the name to `http.hosts` in brain.yaml"
)
WRONG_ORIGIN = ProblemType(
    "wrong-origin",
    403,
    "wrong origin",
    "A page of a site that is not listed sent this: add the site to `http.origins` in brain.yaml",
)
UNSUPPORTED_MEDIA = ProblemType(
    "unsupported-media-type", 415, "unsupported media type", "Send the header `Content-Type: application/json`"
)
NO_PATH = ProblemType("no-such-path", 404, "no such path", "There is nothing at this path. See /openapi.json")
NO_METHOD = ProblemType(
    "method-not-allowed", 405, "method not allowed", "The path has no such method. The header Allow names those it has"
)
MALFORMED = ProblemType("malformed-request", 400, "malformed request", "This is not an HTTP request that can be read")
TOO_SLOW = ProblemType("request-timeout", 408, "request timeout", "The request did not arrive in time")
TOO_LARGE = ProblemType("too-large", 413, "too large", f"A body may have {MAX_BODY_BYTES} bytes")
TOO_MANY = ProblemType(
    "too-many-requests", 429, "too many requests", "This key, or this address, sends more requests than are taken"
)
NOT_IMPLEMENTED = ProblemType(
    "not-implemented", 501, "not implemented", "The server does not know this kind of request"
)

PROBLEM_TYPES = {
    kind.name: kind
    for kind in (
        *(INVALID, REUSED, LINKED, TOLD_OF_ANOTHER, WRONG_STATE, ERASED, NOT_FOUND, REFUSED, SIGNALS, NONE_TAKEN),
        *(BUSY, UNAVAILABLE, OVERLOADED, TOO_LATE, NOT_DECIDED, BUG),
        *(NO_KEY, OUT_OF_SCOPE, NO_TOKEN, SIGN_IN_REFUSED, WRONG_HOST, WRONG_ORIGIN, UNSUPPORTED_MEDIA),
        *(NO_PATH, NO_METHOD, MALFORMED, TOO_SLOW, TOO_LARGE, TOO_MANY, NOT_IMPLEMENTED),
    )
}
_OF_ERRORS: tuple[tuple[type[BrainError], ProblemType], ...] = (
    (RequestReused, REUSED),
    (LinkedElsewhere, LINKED),
    (WrongState, WRONG_STATE),
    (ToldOfAnother, TOLD_OF_ANOTHER),
    (Erased, ERASED),
    (NotFound, NOT_FOUND),
    (OutOfScope, OUT_OF_SCOPE),
    (RequestError, INVALID),
    (Refused, REFUSED),
    (ConfigError, REFUSED),
    (Conflict, BUSY),
    (Overloaded, OVERLOADED),
    (TooLate, TOO_LATE),
    (TooOften, TOO_MANY),
    (Unavailable, UNAVAILABLE),
    (SealBroken, NOT_DECIDED),
)
_OF_HTTP = {
    kind.status: kind for kind in (MALFORMED, NO_PATH, NO_METHOD, TOO_SLOW, TOO_LARGE, BUG, NOT_IMPLEMENTED, BUSY)
}
"""The kind of an error that is known by its HTTP status alone: the framework's and HAProxy's."""


class Problem(BaseModel):
    """RFC 9457 problem details; `field` is the JSON path of what is wrong."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    fallbacks: dict[str, str | None] | None = None


def serve_under(root: str) -> None:
    """Let every `type` that this process writes begin with the path under which a reverse proxy serves it."""
    ProblemType.root = root


def type_of(error: Exception) -> ProblemType:
    """Return the kind of an error; whatever the brain did not raise on purpose is a mistake in the server."""
    return next((kind for known, kind in _OF_ERRORS if isinstance(error, known)), BUG)


def type_of_status(status: int) -> ProblemType:
    """Return the kind of an error of which the HTTP status alone is known."""
    return _OF_HTTP.get(status, BUG if status >= 500 else MALFORMED)


def document(kind: ProblemType, detail: str | None = None, field: str | None = None, **more: Any) -> bytes:
    """Return a problem document as JSON; without `detail` it says what its kind means."""
    content = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": detail or kind.about,
        "field": None if field is None else _safe(field),
        **more,
    }
    return to_json({name: value for name, value in content.items() if value is not None})


def field_name(key: object) -> str:
    """Return a key of a body as a part of `field`; `*` for one that cannot be the name of a field.

    A key may be an address or a number of a person.
    """
    text = str(key)
    return text if _FIELD_NAME.fullmatch(text) else "*"


def _safe(field: str) -> str:
    """Return the path if all of its parts can be names of fields, else `*`."""
    return field if all(map(_FIELD_NAME.fullmatch, field.split("."))) else "*"
