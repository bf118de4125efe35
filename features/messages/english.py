"""Sentiment of English, by VADER, with the lexicon and rules of the package vaderSentiment.

Hutto & Gilbert, A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text, ICWSM 2014. VADER's emoji
and emoticons are used for every language.
"""

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from features.messages.judgement import Judgement, from_lexicon
from features.messages.text import MAX_WORDS

_BLOCK = 100
"""Words that VADER gets at a time: it is made for sentences, and its time grows with the square of their length."""
_VALENCE = 4.0
"""The strongest valence of a word in VADER's lexicon."""
_EMOJI_WORDS = {
    "😡": "furious", "🤬": "furious", "😤": "angry", "🙄": "annoyed", "😔": "sad", "🤦": "frustrated",
    "🤮": "disgusting", "💩": "shit", "👎": "bad", "👍": "good", "👏": "great", "🙏": "thanks", "💪": "strong",
}  # fmt: skip
"""Emoji and a word that VADER knows, in place of a description (`pouting face`) to which it gives a wrong polarity."""
_LETTERS = re.compile(r"[^\W\d_]{2}")


def judge(cleaned: str) -> Judgement:
    """Return the judgement of a text from `clean`: VADER's compound score, for a long text the mean over its blocks."""
    words = _with_described_emoji(cleaned).split()[:MAX_WORDS]
    if not words:
        return from_lexicon(0.0, ())
    blocks = [words[start : start + _BLOCK] for start in range(0, len(words), _BLOCK)]
    total = math.fsum(len(b) * _analyzer().polarity_scores(" ".join(b))["compound"] for b in blocks)
    lexicon = _analyzer().lexicon
    valences = (lexicon.get(w.lower()) or lexicon.get(w.strip(".,;:!?\"'()").lower()) for w in words)
    return from_lexicon(total / len(words), [v for v in valences if v])


@cache
def known_words() -> frozenset[str]:
    """Return the words of the lexicon, in lower case."""
    return frozenset(_analyzer().lexicon)


def sign(token: str) -> float | None:
    """Return the polarity (-1 to 1) of one emoji or emoticon, the same in any language; None for anything else."""
    analyzer = _analyzer()
    if token in _descriptions():
        return _emoji(token)
    valence = analyzer.lexicon.get(token.lower())
    return None if valence is None or token.isalnum() or _LETTERS.search(token) else float(valence) / _VALENCE


@cache
def _emoji(character: str) -> float:
    return float(_analyzer().polarity_scores(_descriptions()[character])["compound"])


def _with_described_emoji(cleaned: str) -> str:
    """Return the text with each emoji replaced by the words that describe it."""
    described = _descriptions()
    return "".join(f" {described[c]} " if c in described else c for c in cleaned)


@cache
def _descriptions() -> Mapping[str, str]:
    """Return emoji -> description."""
    return {**_analyzer().emojis, **_EMOJI_WORDS}


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415 - reads 7,500 words

    return SentimentIntensityAnalyzer()
