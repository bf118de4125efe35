"""The trend of a conversation, computed from the scores of its messages in order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 100
"""The slope uses only the last so many messages of a conversation."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The trend of polarities over a conversation.

    `messages`: their number. `change`: the last minus the first. `slope`: by least squares, per message. `lowest`: the
    smallest.
    """

    messages: int
    change: float
    slope: float
    lowest: float


def trend(polarities: Sequence[float]) -> Trend:
    """Return the trend of the customer's messages in one conversation; all 0 without messages.

    `polarities` are from -1 to 1, oldest first.
    """
    if not polarities:
        return Trend(0, 0.0, 0.0, 0.0)
    recent = polarities[-LONGEST:]
    return Trend(len(polarities), polarities[-1] - polarities[0], _slope(recent), min(polarities))


def _slope(values: Sequence[float]) -> float:
    middle = (len(values) - 1) / 2
    spread = math.fsum((i - middle) ** 2 for i in range(len(values)))
    return math.fsum((i - middle) * v for i, v in enumerate(values)) / spread if spread else 0.0
