"""Finds cues in a text: capitals, repeated punctuation, "for the third time", words of complaint.

Phrases of Dutch and English are looked for in every text, whatever its language.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from features.messages import phrases

_LOUD_LETTERS = 10
_LOUD_SHARE = 0.6
_RUN = re.compile(r"[!?！？؟¡¿]{2,}")

_REPETITION, _COMPLAINT = (
    tuple(re.compile(phrase) for phrase in listed) for listed in (phrases.REPETITION, phrases.COMPLAINT)
)
_DENIED, _DENIED_AFTER = map(re.compile, (phrases.DENIED, phrases.DENIED_AFTER))
_NEGATION_REACH = 60
"""The number of characters before and after a phrase in which a negation may deny it."""


@dataclass(frozen=True, slots=True)
class Cues:
    """The cues in one text.

    `capitals`: share of capitals among the letters that have a case, 0 to 1. `punctuation`: number of runs of two or
    more ! and ?.
    """

    capitals: float
    punctuation: int
    shouting: bool
    repetition: bool
    complaint: bool


def find_cues(cleaned: str) -> Cues:
    """Return the cues in a text from `clean`."""
    upper, lower = sum(map(str.isupper, cleaned)), sum(map(str.islower, cleaned))
    share = upper / (upper + lower) if upper + lower else 0.0
    lowered = cleaned.lower()
    return Cues(
        capitals=share,
        punctuation=sum(1 for _ in _RUN.finditer(cleaned)),
        shouting=upper >= _LOUD_LETTERS and share >= _LOUD_SHARE,
        repetition=any(phrase.search(lowered) for phrase in _REPETITION),
        complaint=_occurs(lowered, _COMPLAINT),
    )


def _occurs(text: str, phrases: Iterable[re.Pattern[str]]) -> bool:
    """Tell whether a phrase occurs without a negation just before or after it."""
    return any(
        not _DENIED.search(text[max(0, match.start() - _NEGATION_REACH) : match.start()])
        and not _DENIED_AFTER.match(text[match.end() : match.end() + _NEGATION_REACH])
        for phrase in phrases
        for match in phrase.finditer(text)
    )
