"""The model that names the intent of a message: weights of terms per intent, learned from a release's examples."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decisioning.facts.signals import UNKNOWN_INTENT
from decisioning.spec import Value
from features.messages.intents.terms import WEIGHTS, grouped_terms, passages

Floats = NDArray[np.float64]
_DIGITS = 4
"""Decimals of a confidence, which are the same on every machine."""


class NamedIntent(NamedTuple):
    """The intent of a message, `unknown` if it has none, with the probability that this is right."""

    intent: str
    confidence: float

    def fields(self) -> dict[str, Value | None]:
        """Return it as fields of a message."""
        return {"intent": self.intent, "intent_confidence": self.confidence}


class TermVector(NamedTuple):
    """The m known terms of a text by their places in the vocabulary, with their values; each group has its weight."""

    places: list[int]
    values: list[float]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Terms with their places and how much they tell; a term that no example has tells `rarest`."""

    places: Mapping[str, int]
    tells: Sequence[float]
    rarest: float

    def vector(self, words: Sequence[str]) -> TermVector:
        """Return the vector of some words. What the examples do not have makes the rest of its group count less."""
        places: list[int] = []
        values: list[float] = []
        for terms, weight in zip(grouped_terms(words), WEIGHTS.values(), strict=True):
            counts = Counter(terms)
            known = [
                (at, (1.0 + math.log(n)) * self.tells[at])
                for t, n in counts.items()
                if (at := self.places.get(t)) is not None
            ]
            square = math.fsum(v * v for _, v in known) + (len(counts) - len(known)) * self.rarest**2
            scale = weight / math.sqrt(square) if square else 0.0
            places += [at for at, _ in known]
            values += [v * scale for _, v in known]
        return TermVector(places, values)


@dataclass(frozen=True, eq=False)
class IntentModel:
    """A linear model of k intents over m terms.

    `weights`: (m, k). A score is `offset` plus the sum over terms. The probability of each intent, and of none, is the
    softmax of `slope` x scores, where none has the score `unknown`. `held_out`: the share of examples that have their
    intent as the first, each judged without itself and those most like it. `confusions`: (intent, which it was taken
    for) -> the number of such examples that were taken for another one. Immutable; safe to share between threads.
    """

    intents: tuple[str, ...]
    vocabulary: Vocabulary
    weights: Floats
    offset: float
    slope: float
    unknown: float
    held_out: float
    confusions: Mapping[tuple[str, str], int]

    def name(self, cleaned: str) -> NamedIntent:
        """Return the intent of a text from `clean`; of a long one, that of its surest passage."""
        passage_results = [self._judged(words) for words in passages(cleaned)]
        named = [one for one in passage_results if one.intent != UNKNOWN_INTENT]
        if named:
            return max(named, key=lambda one: one.confidence)
        return min(passage_results, key=lambda one: one.confidence, default=NamedIntent(UNKNOWN_INTENT, 1.0))

    def _judged(self, words: Sequence[str]) -> NamedIntent:
        places, values = self.vocabulary.vector(words)
        scores = np.array(values) @ self.weights[places] + self.offset if places else np.full(len(self.intents), -1.0)
        logits = (self.slope * np.append(scores, self.unknown)).tolist()
        raised = [math.exp(logit - max(logits)) for logit in logits]
        best = max(range(len(raised)), key=raised.__getitem__)
        return NamedIntent((*self.intents, UNKNOWN_INTENT)[best], round(raised[best] / math.fsum(raised), _DIGITS))
