"""English, by VADER: Hutto & Gilbert, A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text,
ICWSM 2014; lexicon and rules of the package vaderSentiment. Its emoji and emoticons serve every language.
"""

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from features.messages.judgement import Judgement, from_lexicon
from features.messages.text import MAX_WORDS

_BLOCK = 100
"""VADER is made for sentences, and its time grows with the square of their length: it gets so many words at once."""
_VALENCE = 4.0
"""The strongest valence of a word in VADER's lexicon."""
_SAID = {
    "😡": "furious", "🤬": "furious", "😤": "angry", "🙄": "annoyed", "😔": "sad", "🤦": "frustrated",
    "🤮": "disgusting", "💩": "shit", "👎": "bad", "👍": "good", "👏": "great", "🙏": "thanks", "💪": "strong",
}  # fmt: skip
"""Emoji whose description (`pouting face`) VADER finds no feeling in, or the wrong one, in a word that it knows."""
_LETTERS = re.compile(r"[^\W\d_]{2}")


def judge(cleaned: str) -> Judgement:
    """Of a text from `clean`: VADER's compound score, the mean over blocks of words where it is long."""
    spelled = _spelled(cleaned).split()[:MAX_WORDS]
    if not spelled:
        return from_lexicon(0.0, ())
    blocks = [spelled[at : at + _BLOCK] for at in range(0, len(spelled), _BLOCK)]
    total = math.fsum(len(b) * _analyzer().polarity_scores(" ".join(b))["compound"] for b in blocks)
    valence = _analyzer().lexicon
    found = (valence.get(w.lower()) or valence.get(w.strip(".,;:!?\"'()").lower()) for w in spelled)
    return from_lexicon(total / len(spelled), [v for v in found if v])


@cache
def known_words() -> frozenset[str]:
    """Words of the lexicon, in lower case."""
    return frozenset(_analyzer().lexicon)


def sign(token: str) -> float | None:
    """Polarity (-1 to 1) of one emoji or emoticon, the same in any language; None for anything else."""
    analyzer = _analyzer()
    if token in _descriptions():
        return _emoji(token)
    valence = analyzer.lexicon.get(token.lower())
    return None if valence is None or token.isalnum() or _LETTERS.search(token) else float(valence) / _VALENCE


@cache
def _emoji(character: str) -> float:
    return float(_analyzer().polarity_scores(_descriptions()[character])["compound"])


def _spelled(cleaned: str) -> str:
    """Each emoji as the words that describe it."""
    described = _descriptions()
    return "".join(f" {described[c]} " if c in described else c for c in cleaned)


@cache
def _descriptions() -> Mapping[str, str]:
    """Of each emoji."""
    return {**_analyzer().emojis, **_SAID}


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415 - reads 7,500 words

    return SentimentIntensityAnalyzer()
