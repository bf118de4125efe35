"""Which known name somebody meant who wrote another one."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LONGEST = 100


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the closest of `known`, or None if none is close; case, hyphens and underscores make no difference."""
    by_form = {_form(name): name for name in sorted(known)}
    close = get_close_matches(_form(word[:_LONGEST]), by_form, n=1)
    return by_form[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean NAME?` with the closest of `known`, to end a sentence with; empty if none is close."""
    close = nearest(word, known)
    return f"; did you mean {close}?" if close else ""


def _form(name: str) -> str:
    return re.sub(r"[-_ ]+", "_", _HUMP.sub("_", name)).lower()
