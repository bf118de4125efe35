"""The judgement of a text: what every scorer returns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_BASE_CONFIDENCE = 0.2
_MOST_ADDED_CONFIDENCE = 0.7


@dataclass(frozen=True, slots=True)
class Judgement:
    """A scorer's judgement: `polarity` from -1 to 1, `negative` (how negative it is) and `confidence` from 0 to 1."""

    polarity: float
    negative: float
    confidence: float


NO_JUDGEMENT = Judgement(0.0, 0.0, 0.0)


def from_lexicon(polarity: float, hits: Sequence[float]) -> Judgement:
    """Return the judgement with this polarity; `hits` are the signed strengths of the words that it comes from.

    The confidence grows with the number of words and with their agreement. Without any word it is low, at
    `_BASE_CONFIDENCE`.
    """
    bounded = max(-1.0, min(1.0, polarity))
    strength = math.fsum(abs(h) for h in hits)
    agreement = abs(math.fsum(hits)) / strength if strength > 0 else 0.0
    confidence = _BASE_CONFIDENCE + _MOST_ADDED_CONFIDENCE * agreement * len(hits) / (len(hits) + 1)
    return Judgement(bounded, max(0.0, -bounded), confidence)
