"""What a scorer says of one text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_HITS_ALONE = 0.2
_HITS_MOST = 0.7


@dataclass(frozen=True, slots=True)
class Judgement:
    """`polarity` from -1 to 1, `negative` from 0 to 1 (how negative it is), `confidence` from 0 to 1."""

    polarity: float
    negative: float
    confidence: float


NOTHING_SAID = Judgement(0.0, 0.0, 0.0)


def from_lexicon(polarity: float, hits: Sequence[float]) -> Judgement:
    """Of a polarity and the signed strengths of the words it came from.

    The confidence grows with their number and with how far they agree; without any it is `_HITS_ALONE`: that nothing
    was found says little.
    """
    bounded = max(-1.0, min(1.0, polarity))
    strength = math.fsum(abs(h) for h in hits)
    agreement = abs(math.fsum(hits)) / strength if strength > 0 else 0.0
    confidence = _HITS_ALONE + _HITS_MOST * agreement * len(hits) / (len(hits) + 1)
    return Judgement(bounded, max(0.0, -bounded), confidence)
