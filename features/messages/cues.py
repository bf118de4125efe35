"""Cues beside sentiment: capitals, repeated punctuation, "for the third time", a wish for a person, complaint words.

In Dutch and English at once: a cue of either language counts in any text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from features.messages import phrases

_LOUD_LETTERS = 10
_LOUD_SHARE = 0.6
_RUN = re.compile(r"[!?！？؟¡¿]{2,}")

_REPETITION, _WISH, _COMPLAINT = (
    tuple(re.compile(phrase) for phrase in listed)
    for listed in (phrases.REPETITION, phrases.WISH_FOR_A_PERSON, phrases.COMPLAINT)
)
_DENIED, _NOT_WISHED, _DENIED_AFTER = map(re.compile, (phrases.DENIED, phrases.NOT_WISHED, phrases.DENIED_AFTER))
_BESIDE = 60
"""Characters before and after a phrase that may deny it."""


@dataclass(frozen=True, slots=True)
class Cues:
    """`capitals`: share of the letters that have a case, 0 to 1. `punctuation`: runs of two or more ! and ?."""

    capitals: float
    punctuation: int
    shouting: bool
    repetition: bool
    wants_person: bool
    complaint: bool


def find_cues(cleaned: str) -> Cues:
    """Of a text from `clean`."""
    upper, lower = sum(map(str.isupper, cleaned)), sum(map(str.islower, cleaned))
    share = upper / (upper + lower) if upper + lower else 0.0
    said = cleaned.lower()
    return Cues(
        capitals=share,
        punctuation=sum(1 for _ in _RUN.finditer(cleaned)),
        shouting=upper >= _LOUD_LETTERS and share >= _LOUD_SHARE,
        repetition=any(phrase.search(said) for phrase in _REPETITION),
        wants_person=_said(said, _WISH, _NOT_WISHED),
        complaint=_said(said, _COMPLAINT, _DENIED),
    )


def _said(text: str, phrases: Iterable[re.Pattern[str]], negation: re.Pattern[str]) -> bool:
    """Whether a phrase occurs that nothing just before or after it denies."""
    return any(
        not negation.search(text[max(0, found.start() - _BESIDE) : found.start()])
        and not _DENIED_AFTER.match(text[found.end() : found.end() + _BESIDE])
        for phrase in phrases
        for found in phrase.finditer(text)
    )
