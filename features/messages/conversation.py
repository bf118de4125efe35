"""How a conversation goes: from the scores of its messages, in order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 100
"""Of a longer conversation the last so many messages count, after the first."""


@dataclass(frozen=True, slots=True)
class Trend:
    """`messages`: how many. `change`: last minus first. `slope`: least squares, per message. `lowest`: the worst."""

    messages: int
    change: float
    slope: float
    lowest: float


def trend(polarities: Sequence[float]) -> Trend:
    """Of the customer's messages of one conversation, oldest first, polarities from -1 to 1; all 0 without any."""
    if not polarities:
        return Trend(0, 0.0, 0.0, 0.0)
    recent = polarities[-LONGEST:]
    return Trend(len(polarities), polarities[-1] - polarities[0], _slope(recent), min(polarities))


def _slope(values: Sequence[float]) -> float:
    middle = (len(values) - 1) / 2
    spread = math.fsum((i - middle) ** 2 for i in range(len(values)))
    return math.fsum((i - middle) * v for i, v in enumerate(values)) / spread if spread else 0.0
