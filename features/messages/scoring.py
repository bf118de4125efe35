"""A text -> its language, sentiment and cues. Pure: the same text and scorers give the same numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from features.messages import dutch, english
from features.messages.cues import Cues, find_cues
from features.messages.judgement import NOTHING_SAID, Judgement, from_lexicon
from features.messages.language import Language, detect
from features.messages.text import MAX_WORDS, clean
from features.messages.trained import SentimentModel

Level = Literal[-2, -1, 0, 1, 2]
Trained = Mapping[Language, SentimentModel]
"""Models that score a language in place of its lexicon."""

_NEUTRAL = 0.1
_STRONG = 0.5
_PULL = 0.25
"""What a complaint takes from a lexicon's polarity, and repetition too: few of their words are in a lexicon."""


@dataclass(frozen=True, slots=True)
class MessageScore:
    """`language`: None where it is neither Dutch nor English as far as can be told; then emoji alone are scored.

    `polarity` from -1 to 1; `level` from -2 (very negative) to 2; `negative`, how negative it is, and `confidence` from
    0 to 1. Of the first `text.MAX_CHARACTERS` characters.
    """

    language: Language | None
    polarity: float
    level: Level
    negative: float
    confidence: float
    cues: Cues


def score(text: str, language: Language | None = None, *, trained: Trained | None = None) -> MessageScore:
    """`language`: as the sender states it, else detected. Takes any text."""
    cleaned = clean(text)
    spoken = language or detect(cleaned)
    cues = find_cues(cleaned)
    model = (trained or {}).get(spoken) if spoken else None
    judged = model.judge(cleaned) if model else built_in(cleaned, spoken, cues)
    return MessageScore(spoken, judged.polarity, level(judged.polarity), judged.negative, judged.confidence, cues)


def built_in(cleaned: str, language: Language | None, cues: Cues) -> Judgement:
    """By the lexicon of the language, and what the cues add."""
    if language is None:
        return _signs(cleaned)
    judged = english.judge(cleaned) if language == "en" else dutch.judge(cleaned)
    pull = _PULL * (cues.complaint + cues.repetition)
    polarity = max(-1.0, judged.polarity - pull)
    return Judgement(polarity, max(0.0, -polarity), judged.confidence)


def level(polarity: float) -> Level:
    """From a polarity between -1 and 1."""
    if abs(polarity) < _NEUTRAL:
        return 0
    if polarity < 0:
        return -2 if polarity <= -_STRONG else -1
    return 2 if polarity >= _STRONG else 1


def _signs(cleaned: str) -> Judgement:
    """Emoji and emoticons, which are of no language."""
    tokens = cleaned.split()[:MAX_WORDS]
    found = [v for token in tokens if (v := english.sign(token)) is not None]
    found += [v for c in cleaned[:MAX_WORDS] if not c.isascii() and (v := english.sign(c)) is not None]
    return from_lexicon(sum(found) / len(found), found) if found else NOTHING_SAID
