"""What a person must say to a customer before they agree to a sale by voice, and for how long they may withdraw."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Annotated, Final

from pydantic import Field

from decisioning.spec import Id, Locale, Strict

PLACEHOLDERS: Final = ("{price}", "{days}")
"""What a text may name: the price of the offer, and the days in which the customer may withdraw."""
_Line = Annotated[str, Field(min_length=1, max_length=300)]


class MustSay(Strict):
    """One thing that must be said: its text by locale, with `PLACEHOLDERS`."""

    id: Id
    text: Annotated[dict[Locale, _Line], Field(min_length=1)]


class SalesRules(Strict):
    """What a country asks for sales at a distance. `text`: the law that says so."""

    cooling_off_days: Annotated[float, Field(gt=0, le=800)]
    must_say: Annotated[tuple[MustSay, ...], Field(min_length=1)]
    text: _Line


def to_say(rules: SalesRules | None, own: Iterable[MustSay]) -> tuple[MustSay, ...]:
    """Return what must be said: the country's, in its order, with an action's own in place of those of the same id."""
    by_id = {one.id: one for one in (*(rules.must_say if rules is not None else ()), *own)}
    return tuple(by_id.values())


def version_of(said: Iterable[MustSay]) -> str:
    """Return what changes whenever one of these texts does."""
    lines = ("\n".join((one.id, *(f"{name} {text}" for name, text in sorted(one.text.items())))) for one in said)
    return sha256("\n\n".join(lines).encode()).hexdigest()[:16]
