"""Makes the model of intents from the examples of a catalogue, by kernel ridge regression in closed form.

It takes a fraction of a second for ten intents, so every process makes it of the release that it serves: the same
release gives the same model, and nothing has to be kept beside it. What it named is recorded with each message.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.intents import SPOKEN, Intent
from features.messages.intents.model import Floats, IntentModel, TermVector, Vocabulary
from features.messages.intents.terms import WEIGHTS, WIDEST, grouped_terms, passages
from features.messages.text import clean

_RIDGE = 0.5
_LIKEST = 3
"""How many examples of the same intent that are most like one are held out with it: others word it otherwise."""
_MANY_CONFUSED = 8
"""From how many examples on two intents are told to be confused."""
_SHARE_UNKNOWN = 0.3
"""How many of all messages have none of the intents, as far as probabilities are concerned."""
_SLOPES = np.arange(1.0, 9.0, 0.5)
_UNKNOWNS = np.arange(-0.9, 0.4, 0.05)

Ints = NDArray[np.int64]


class _Examples(NamedTuple):
    """The words of n examples, and the place of the intent of each, (n,); k for those of no intent."""

    words: list[list[str]]
    labels: Ints


def intent_model(intents: Iterable[Intent]) -> IntentModel | None:
    """Return the model of a catalogue's intents, made once for the same; None if it lists none."""
    examples = tuple((i.id, tuple((s, i.examples.get(s, ())) for s in SPOKEN)) for i in intents)
    return _fitted(examples) if examples else None


def confused_examples(model: IntentModel) -> list[str]:
    """Return advice about pairs of intents of which the examples of one are often taken for the other."""
    return [
        f"{count} examples of intent `{one}` are taken for `{other}` if they and those like them are held out: "
        "give both more examples in words of their own, or make them one intent"
        for (one, other), count in sorted(model.confusions.items())
        if count >= _MANY_CONFUSED
    ]


@lru_cache(maxsize=4)
def _fitted(intents: tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], ...]) -> IntentModel:
    examples = _examples([dict(by_language) for _, by_language in intents])
    k = len(intents)
    vocabulary = _vocabulary(examples.words)
    vectors = [vocabulary.vector(words) for words in examples.words]
    targets = np.where(examples.labels[:, None] == np.arange(k), 1.0, -1.0)
    offset = float(targets.mean())
    kernel = _kernel(vectors, len(vocabulary.places))
    inverse = np.asarray(np.linalg.inv(kernel + _RIDGE * np.eye(len(kernel))), np.float64)
    duals: Floats = inverse @ (targets - offset)
    apart = _held_out(examples.labels, kernel, inverse, duals, targets)
    slope, unknown = _calibrated(apart, examples.labels)
    names, firsts = tuple(name for name, _ in intents), zip(examples.labels, apart.argmax(1), strict=True)
    confusions = Counter((names[label], names[first]) for label, first in firsts if first != label < k)
    held_out = 1.0 - confusions.total() / int((examples.labels < k).sum())
    weights = _weights(vectors, duals, len(vocabulary.places))
    return IntentModel(names, vocabulary, weights, offset, slope, unknown, held_out=held_out, confusions=confusions)


def _examples(intents: Sequence[dict[str, tuple[str, ...]]]) -> _Examples:
    """Return the examples of the intents, and messages of no intent in the same languages."""
    spoken = [language for language in SPOKEN if any(examples.get(language) for examples in intents)]
    texts = [(text, at) for at, examples in enumerate(intents) for language in spoken for text in examples[language]]
    texts += [(text, len(intents)) for language in spoken for text in _of_no_intent(language)]
    words = [(next(iter(passages(clean(text))), [])[:WIDEST], at) for text, at in texts]
    return _Examples([said for said, _ in words], np.array([at for _, at in words], np.int64))


@cache
def _of_no_intent(language: str) -> tuple[str, ...]:
    return tuple(Path(__file__).with_name(f"other.{language}.txt").read_text(encoding="utf-8").splitlines())


def _vocabulary(examples: Sequence[Sequence[str]]) -> Vocabulary:
    """Return the terms of the examples; the fewer examples have one, the more it tells."""
    counts = Counter(term for words in examples for term in {t for group in grouped_terms(words) for t in group})
    tells = [math.log((len(examples) + 1) / (n + 1)) + 0.5 for n in counts.values()]
    places = {term: at for at, term in enumerate(counts)}
    return Vocabulary(places, tells, math.log(len(examples) + 1) + 0.5)


def _kernel(vectors: Sequence[TermVector], terms: int) -> Floats:
    """Return how much each example is like each other, (n, n): 1 for itself."""
    kernel = np.zeros((len(vectors), len(vectors)))
    for rows, values in _by_term(vectors, terms):
        if len(rows) > 1:
            kernel[rows[:, None], rows] += values[:, None] * values
    kernel /= math.fsum(weight**2 for weight in WEIGHTS.values())
    np.fill_diagonal(kernel, 1.0)
    return kernel


def _weights(vectors: Sequence[TermVector], duals: Floats, terms: int) -> Floats:
    """Return the weights of the terms, (terms, k)."""
    scale = math.fsum(weight**2 for weight in WEIGHTS.values())
    return np.stack([values @ duals[rows] / scale for rows, values in _by_term(vectors, terms)])


def _by_term(vectors: Sequence[TermVector], terms: int) -> list[tuple[Ints, Floats]]:
    """Return the examples that have each term, in order, with its value in each."""
    rows = np.repeat(np.arange(len(vectors)), [len(v.places) for v in vectors])
    places = np.concatenate([np.array(v.places, np.int64) for v in vectors])
    values = np.concatenate([np.array(v.values) for v in vectors])
    order = np.argsort(places, kind="stable")
    ends = np.cumsum(np.bincount(places, minlength=terms))[:-1]
    return list(zip(np.split(rows[order], ends), np.split(values[order], ends), strict=True))


def _held_out(labels: Ints, kernel: Floats, inverse: Floats, duals: Floats, targets: Floats) -> Floats:
    """Return the scores of each example by a model without it and those of its intent most like it, (n, k).

    The residuals of a held-out set are its duals times the inverse of its block of the inverse (leave-one-out of ridge
    regression, for several at once).
    """
    scores = np.empty_like(targets)
    for row, label in enumerate(labels):
        same = np.flatnonzero(labels == label)
        likest = same[np.argsort(-kernel[row, same], kind="stable")]
        out = np.array([row, *(other for other in likest if other != row)][: _LIKEST + 1])
        scores[row] = targets[row] - np.linalg.solve(inverse[np.ix_(out, out)], duals[out])[0]
    return scores


def _calibrated(scores: Floats, labels: Ints) -> tuple[float, float]:
    """Return the slope, and the score of none, by which the held-out examples are the most likely."""
    k = scores.shape[1]
    of_none = labels == k
    share = np.where(of_none, _SHARE_UNKNOWN / max(1, of_none.sum()), (1 - _SHARE_UNKNOWN) / max(1, (~of_none).sum()))
    best = (-math.inf, 1.0, 0.0)
    for unknown in _UNKNOWNS.tolist():
        with_none = np.column_stack([scores, np.full(len(scores), unknown)])
        right, top = with_none[np.arange(len(labels)), labels], with_none.max(1)
        for slope in _SLOPES.tolist():
            total = np.log(np.exp(slope * (with_none - top[:, None])).sum(1))
            best = max(best, (float(share @ (slope * (right - top) - total)), slope, unknown))
    return best[1], best[2]
