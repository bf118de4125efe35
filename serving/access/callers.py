"""Who makes a request: a key, or a person who signed in. Routes and doors ask for it here, and know no other kind."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from starlette.types import Scope

from decisioning.records.audiences import Audience
from features.access_keys import AccessKey
from features.people import User
from serving.access.table import ADMIN, TABLE

_CALLER: Final = "brain.caller"
_PROGRAM: Final = "brain.program"
Maker = Literal["program"]
"""What asks by itself, without a person: its decisions are disclosed, and what it tells is marked in the records."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A key, or a signed-in person, and what it may do.

    `id` is no secret and no name of a person. `made_by` is who let it in: the operating-system user that had the key
    or the local person made, or else the issuer of the sign-in. `issues` and `channels` are what its decisions may be
    about; empty: all. Only people have a `team` and a `site`.
    """

    kind: Literal["key", "person"]
    id: str
    name: str
    made_by: str
    scopes: frozenset[str]
    audience: Audience
    issues: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    team: str | None = None
    site: str | None = None

    @property
    def who(self) -> str:
        """The caller in records: `key:ID` or `person:ID`."""
        return f"{self.kind}:{self.id}"

    def has_any(self, scopes: Collection[str]) -> bool:
        """Tell whether one of the caller's scopes is among these, or is `admin`."""
        return ADMIN in self.scopes or not self.scopes.isdisjoint(scopes)

    def needs(self, scopes: Collection[str]) -> str:
        """Return the sentence that refuses what only these scopes reach."""
        own, needed = ", ".join(sorted(self.scopes)), " or ".join(scopes)
        if self.kind == "person":
            return f"your scopes are {own}; this needs {needed}"
        return f"the scope of this key is {own}; this needs {needed}"


def caller_of_key(key: AccessKey) -> Caller:
    """Return the caller that a key is."""
    return Caller(
        kind="key",
        id=key.id,
        name=key.name,
        made_by=key.owner,
        scopes=frozenset({key.scope}),
        audience=TABLE.audience_of(key.scope),
        issues=_listed(key.issues),
        channels=_listed(key.channels),
    )


def caller_of_person(person: User) -> Caller:
    """Return the caller that a person who signed in is."""
    scopes = frozenset(_listed(person.scopes))
    return Caller(
        kind="person",
        id=person.id,
        name=person.name,
        made_by=person.made_by,
        scopes=scopes,
        audience=TABLE.widest_audience(scopes),
        team=person.team,
        site=person.site,
    )


def caller_of(scope: Scope) -> Caller | None:
    """Return who makes a request: whoever the doors found.

    None on public routes, and where no key is asked for (`http.keys: off`): then everything is allowed.
    """
    caller: Caller | None = scope.get(_CALLER)
    return caller


def keep_caller(scope: Scope, caller: Caller) -> None:
    """Let `caller_of` return this caller for the request."""
    scope[_CALLER] = caller


def maker_of(scope: Scope) -> Maker | None:
    """Return `program` if a request said that a program makes it, by its header or through the tools; else None."""
    return "program" if _PROGRAM in scope else None


def marked(by: Maker | None) -> dict[str, str]:
    """Return the field of a record that says what told it; none for what a person, or a system for people, told."""
    return {} if by is None else {"by": by}


def keep_program(scope: Scope) -> None:
    """Let `maker_of` return `program` for the request."""
    scope[_PROGRAM] = True


def _listed(names: str) -> tuple[str, ...]:
    return tuple(names.split(",")) if names else ()
