"""Turns any text that a sender may send into plain text of bounded length, and into words."""

import re
import unicodedata
from itertools import islice

from decisioning.facts.signals import MAX_CHARACTERS

__all__ = ["MAX_CHARACTERS", "MAX_WORDS", "clean", "stored", "words"]

MAX_WORDS = 1_000
_APOSTROPHES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'", "`": "'", "\u00b4": "'"})
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def clean(text: str) -> str:
    """Return the first `MAX_CHARACTERS` of a text, composed (NFC), without controls, direction marks and surrogates.

    White space becomes a single blank. Joiners of emoji are dropped too, so that each emoji stands for itself.
    """
    head = text[:MAX_CHARACTERS]
    if not (head.isascii() and head.isprintable()):
        head = "".join(" " if c.isspace() else c for c in head if c.isspace() or _is_plain(c))
    composed = unicodedata.normalize("NFC", head)[:MAX_CHARACTERS]
    return " ".join(composed.translate(_APOSTROPHES).split())


def stored(text: str) -> str:
    """Return the first `MAX_CHARACTERS` of a text, with U+FFFD for NUL and lone surrogates, which databases refuse."""
    return "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in text[:MAX_CHARACTERS])


def words(cleaned: str) -> list[str]:
    """Return the first `MAX_WORDS` words of letters, in lower case and in order."""
    return [m[0] for m in islice(_WORD.finditer(cleaned.lower()), MAX_WORDS)]


def _is_plain(character: str) -> bool:
    return " " <= character <= "~" or unicodedata.category(character) not in _DROPPED
