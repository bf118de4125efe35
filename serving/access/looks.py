"""Who looks at a customer and for which purpose, and the record of it.

A purpose is one of a short list, with the number of a case where the list asks for one: so no name can be stated.
"""

import os
import pwd
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from starlette.types import Scope

from decisioning.errors import Erased, RequestError
from features.ledger import Duplicate, Ledger, Look
from serving.access.callers import Caller, caller_of
from serving.access.table import ADMIN, NOTHING, TABLE, UNSEEN, Reach, Shown

PURPOSE_HEADER: Final = "Look-Purpose"
_RECORDED: Final = "brain.look-recorded"
_STATED: Final = re.compile(r"([a-z]{1,20})(?: ([0-9]{1,12}))?")
_CHOICE: Final = ", ".join(f"{name} NUMBER" if p.needs_case else name for name, p in TABLE.purposes.items())
EXPECTED: Final = f"expected one of: {_CHOICE}; NUMBER is that of the case"
_METHODS: Final = frozenset(route.partition(" ")[0] for route, shown in TABLE.looks.items() if shown not in UNSEEN)
_REACH: Final = Reach(TABLE)
_UNKNOWN: Final = "unknown"
"""Who looks where no key is asked for (`http.keys: off`), and as what."""


class Doer(NamedTuple):
    """Who does something, not by a name, and as what: by a scope, or as the customer."""

    who: str
    role: str

    @property
    def fields(self) -> dict[str, str]:
        """The fields of a record that say so."""
        return {"who": self.who, "role": self.role}


@dataclass(frozen=True, slots=True)
class Looker:
    """Who looks at a customer, as what (`role`, a scope), at what of them, and why; `case` is the number of a case."""

    who: str
    role: str
    what: Shown
    purpose: str
    case: str | None = None

    def at(self, subject: str, ids: Mapping[str, str]) -> Look:
        """Return the look at one subject; `ids` names the id that was asked for, if it is known."""
        return Look(subject, self.who, self.role, self.what, self.purpose, case=self.case, ids=ids)


def looker_of(scope: Scope, stated: str | None) -> Looker:
    """Return who makes a request for what shows a customer, with the purpose that they stated.

    Raises RequestError for a purpose that is not on the list.
    """
    (who, role), route = doer_of(scope), _route(scope)
    return Looker(who, role, TABLE.looks[route], *_purpose(PURPOSE_HEADER, role, stated))


def doer_of(scope: Scope) -> Doer:
    """Return who makes a request, not by a name, and as what: the scope by which they reach its route."""
    caller = caller_of(scope)
    return Doer(_UNKNOWN, _UNKNOWN) if caller is None else Doer(caller.who, _role(caller, _route(scope)))


def _route(scope: Scope) -> str:
    return _REACH.route(scope["method"], scope["path"])


def looker_here(what: Shown, stated: str | None) -> Looker:
    """Return who runs this process, as `looker_of` does: the operating-system user, whatever the environment says."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return Looker(f"user:{user}", ADMIN, what, *_purpose("--purpose", ADMIN, stated))


def _role(caller: Caller, route: str) -> str:
    """Return the scope by which a caller reaches a route."""
    return next((scope for scope in TABLE.routes[route] if scope in caller.scopes), ADMIN)


def _purpose(field: str, role: str, stated: str | None) -> tuple[str, str | None]:
    """Return a purpose and the number of its case; without one that of the role."""
    if stated is None:
        return TABLE.default_purpose(ADMIN if role == _UNKNOWN else role), None
    match = _STATED.fullmatch(stated)
    purpose = TABLE.purposes.get(match[1]) if match else None
    if match is None or purpose is None or (match[2] is not None) != purpose.needs_case:
        raise RequestError(field, EXPECTED)
    return match[1], match[2]


def record_looks(ledger: Ledger, looks: Iterable[Look]) -> bool:
    """Record looks; return False if a subject was erased meanwhile.

    There is one record of what the same caller looks at for the same purpose within an hour, of the first time: so a
    program that asks again and again adds nothing. Once this returns, the record is committed.
    """
    at_us = ledger.clock()
    try:
        for look in looks:
            _record(ledger, look, look.key(at_us))
    except Erased:
        return False
    return True


def _record(ledger: Ledger, look: Look, key: str) -> None:
    if ledger.lookup(key) is None:
        try:
            ledger.append([look.entry(key)])
        except Duplicate:
            return  # another process recorded it meanwhile


def note_recorded(scope: Scope) -> None:
    """Note that what a request shows is recorded."""
    scope[_RECORDED] = True


def is_unrecorded(scope: Scope, status: int) -> bool:
    """Tell whether the answer to a request would show a customer although no look was recorded."""
    if scope["method"] not in _METHODS or not 200 <= status < 300 or scope.get(_RECORDED):
        return False
    return TABLE.looks.get(_REACH.route(scope["method"], scope["path"]), NOTHING) not in UNSEEN
