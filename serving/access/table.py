"""The table of scopes (`scopes.yaml`): which scope reaches which route, and which field of a body."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_core import to_json
from yaml import safe_load

from decisioning.errors import Refused
from decisioning.facts.schema import Strict
from decisioning.records.audiences import AUDIENCES, Audience

ADMIN: Final = "admin"
_FILE: Final = Path(__file__).with_name("scopes.yaml")
_PARAMETER: Final = re.compile(r"\\\{[a-z_]+\\\}")
_SUBJECT: Final = re.compile(r"\{(customer|account|visitor|decision|handover)_id\}")
NOTHING: Final = "nothing"
Scopes = Annotated[tuple[str, ...], Field(min_length=1)]
Shown = Literal["glance", "handover", "package", "explanation", "export", "decision", "nothing"]
"""What a route shows of a customer. A decision is a record of its customer itself, so it needs no look beside it."""
UNSEEN: Final[frozenset[Shown]] = frozenset({"decision", NOTHING})
"""What is shown without a look."""


class FieldRule(Strict):
    """A field of a route's body that needs one of `scopes` if it has this value; null: whatever its value."""

    route: str
    field: str
    value: str | None
    scopes: Scopes

    def concerns(self, value: object) -> bool:
        """Tell whether the rule is about a field that has this value; a field that was not sent is None or empty."""
        return value == self.value if self.value is not None else value not in (None, {})


class LookPurpose(Strict):
    """Why somebody looks at a customer; `default_of` are the scopes that look for it unless they state another."""

    about: str
    default_of: tuple[str, ...] = ()
    needs_case: bool = False


class ScopeTable(Strict):
    """Who reaches what. A route is its method and path, as in `GET /v1/decisions/{decision_id}`.

    `programs`: the routes that a program may send, if its key reaches them. `topics`: what a stream may be about.
    """

    scopes: dict[str, str]
    public: tuple[str, ...]
    audiences: dict[Audience, Scopes]
    routes: dict[str, Scopes]
    programs: tuple[str, ...]
    topics: dict[str, Scopes]
    fields: tuple[FieldRule, ...] = ()
    looks: dict[str, Shown]
    purposes: dict[str, LookPurpose]

    @model_validator(mode="after")
    def _names_what_exists(self) -> Self:
        reaching = (*self.routes.values(), *self.topics.values(), *(rule.scopes for rule in self.fields))
        named = {scope for scopes in reaching for scope in scopes}
        if unknown := sorted(named - self.scopes.keys()):
            raise ValueError(f"no such scope: {', '.join(unknown)}")
        if unknown := sorted({*(r.route for r in self.fields), *self.programs} - self.routes.keys()):
            raise ValueError(f"no such route: {', '.join(unknown)}")
        if sorted(scope for scopes in self.audiences.values() for scope in scopes) != sorted(self.scopes):
            raise ValueError("audiences: every scope has one")
        return self

    @model_validator(mode="after")
    def _says_what_is_shown(self) -> Self:
        if unknown := sorted(self.looks.keys() - self.routes.keys()):
            raise ValueError(f"looks: no such route: {', '.join(unknown)}")
        if silent := sorted(self.routes.keys() - self.looks.keys()):
            raise ValueError(f"looks: what do these show of a customer: {', '.join(silent)}")
        reading = {r: shown for r, shown in self.looks.items() if r.startswith(("GET ", "HEAD "))}
        if hidden := sorted(r for r, shown in reading.items() if shown in UNSEEN and _SUBJECT.search(r)):
            raise ValueError(f"looks: the path names whom it shows: {', '.join(hidden)}")
        looking = {ADMIN, *(s for r, shown in self.looks.items() if shown not in UNSEEN for s in self.routes[r])}
        defaults = [scope for purpose in self.purposes.values() for scope in purpose.default_of]
        if not looking <= set(defaults) <= self.scopes.keys() or len(defaults) != len(set(defaults)):
            raise ValueError("purposes: every scope that looks at customers has one default")
        return self

    def check_scopes(self, names: Iterable[str]) -> None:
        """Raise Refused for a scope that does not exist."""
        if unknown := sorted(set(names) - self.scopes.keys()):
            raise Refused(f"there is no scope {unknown[0]}; there are: {', '.join(self.scopes)}")

    def default_purpose(self, scope: str) -> str:
        """Return the purpose for which this scope looks at a customer, unless it states another."""
        return next(name for name, purpose in self.purposes.items() if scope in purpose.default_of)

    def audience_of(self, scope: str) -> Audience:
        """Return for whom the answers are that a key of this scope gets."""
        return next(audience for audience, scopes in self.audiences.items() if scope in scopes)

    def widest_audience(self, scopes: Iterable[str]) -> Audience:
        """Return for whom the answers are that somebody with several scopes gets: the customer, if they have none."""
        return max((self.audience_of(scope) for scope in scopes), key=AUDIENCES.index, default="customer")

    def missing(self, routes: Iterable[str]) -> list[str]:
        """Return the routes that the table has no line for."""
        return sorted(set(routes) - self.routes.keys() - set(self.public))

    def needed_for(self, route: str, body: BaseModel) -> list[tuple[str, Scopes]]:
        """Return each field of a body that needs a scope of its own, with the scopes that may send it."""
        rules = (rule for rule in self.fields if rule.route == route)
        return [(rule.field, rule.scopes) for rule in rules if rule.concerns(getattr(body, rule.field))]


class Reach:
    """Finds the scopes that reach a path, by the same templates as the application's routes."""

    def __init__(self, table: ScopeTable) -> None:
        lines = {**dict.fromkeys(table.public, ()), **table.routes}
        self._exact = {line: scopes for line, scopes in lines.items() if "{" not in line}
        self._templates = [(line, _pattern(line), scopes) for line, scopes in lines.items() if "{" in line]
        self._methods = sorted({line.partition(" ")[0] for line in lines})

    def scopes(self, method: str, path: str) -> tuple[str, ...] | None:
        """Return the scopes that reach a path; () for one that is open to all, None for one that is no route."""
        line = f"{method} {path}"
        exact = self._exact.get(line)
        if exact is not None:
            return exact
        return next((scopes for _, pattern, scopes in self._templates if pattern.fullmatch(line)), None)

    def route(self, method: str, path: str) -> str:
        """Return the line of the table that a path belongs to; empty for one that is no route."""
        line = f"{method} {path}"
        if line in self._exact:
            return line
        return next((route for route, pattern, _ in self._templates if pattern.fullmatch(line)), "")

    def methods(self, path: str) -> list[str]:
        """Return the methods that a path has; none if there is nothing at the path."""
        return [method for method in self._methods if self.scopes(method, path) is not None]


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(_PARAMETER.sub("[^/]+", re.escape(line)))


TABLE: Final = ScopeTable.model_validate_json(to_json(safe_load(_FILE.read_text())))
