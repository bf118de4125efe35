"""The terms of a text that tell what a customer wants: words, parts of words, concepts, and pairs of concepts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice
from pathlib import Path

from features.messages.hearing.concepts import LONGEST_WORD, listed_concepts

_CONCEPTS = Path(__file__).with_name("concepts.txt")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_PARTS = (3, 4, 5)
"""Numbers of characters of the parts of a word, with a blank before and after it."""
WIDEST = 30
"""How many words are judged together."""
_STEP = 15
_MOST_WORDS = 105
"""The intent is looked for among so many words."""

WEIGHTS: Mapping[str, float] = {"words": 0.5, "parts": 1.0, "concepts": 1.2, "pairs": 1.0}
"""Groups of terms, and the length of each group's vector."""


def passages(cleaned: str) -> list[list[str]]:
    """Return the lower-case words of a text from `clean`, in passages of up to `WIDEST` words that overlap."""
    words = [match[0][:LONGEST_WORD] for match in islice(_WORD.finditer(cleaned.lower()), _MOST_WORDS)]
    starts = range(0, max(1, len(words) - _STEP), _STEP) if len(words) > WIDEST else (0,)
    return [words[start : start + WIDEST] for start in starts] if words else []


def grouped_terms(words: Sequence[str]) -> list[list[str]]:
    """Return the terms of each group of `WEIGHTS`, in order; the groups share no term.

    A word of no concept stands beside the concepts, so that they count less in a text that is about something else.
    """
    listed = {word: listed_concepts(word, _CONCEPTS) for word in words}
    concepts = sorted({number for numbers in listed.values() for number in numbers})
    others = [f"?{word}" for word, numbers in listed.items() if not numbers]
    return [
        [f"={word}" for word in words],
        [part for word in words for part in _parts(f" {word} ")],
        [*(f"#{number}" for number in concepts), *others],
        [f"#{one}+{other}" for one, other in combinations(concepts, 2)],
    ]


def _parts(padded: str) -> Iterator[str]:
    for length in _PARTS:
        yield from (padded[at : at + length] for at in range(max(1, len(padded) - length + 1)))
