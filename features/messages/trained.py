"""A sentiment model trained on a company's own messages: TF-IDF and logistic regression, scored in numpy.

This module serves the model; `training.learning.sentiment` fits it. Its files are JSON and arrays, so that loading
them runs no code.
"""

import io
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from decisioning.errors import Refused
from features.messages.judgement import Judgement
from features.messages.text import MAX_WORDS, clean

FORMAT = 1
KIND = "sentiment"
NEGATIVE, NEUTRAL, POSITIVE = CLASSES = ("negative", "neutral", "positive")

_Floats = NDArray[np.float64]
_ANONYMOUS = (
    (re.compile(r"(?:https?://|www\.)\S+"), " _url_ "),
    (re.compile(r"\S+@\S+\.\S+"), " _mail_ "),
    (re.compile(r"[@#]\w+"), " _name_ "),
    (re.compile(r"\S*\d\S*"), " _number_ "),
)
"""Replacements for texts that may identify a person, which a model's vocabulary must not contain."""
_TERM = re.compile(r"_[a-z]+_|[^\W\d_]+(?:'[^\W\d_]+)*|[^\w\s.,;:'\"()-]")
_LONGEST = 30
"""The largest number of characters of a term."""


def terms(text: str) -> list[str]:
    """Return lower-case words, signs and pairs of them; addresses, handles and numbers are replaced by their kind."""
    anonymous = clean(text).lower()
    for pattern, kind in _ANONYMOUS:
        anonymous = pattern.sub(kind, anonymous)
    single = [match[0][:_LONGEST] for match in islice(_TERM.finditer(anonymous), MAX_WORDS)]
    return single + [f"{a} {b}" for a, b in pairwise(single)]


@dataclass(frozen=True, eq=False)
class SentimentModel:
    """A model of m terms and k classes out of `CLASSES`: `idf` (m,), `weights` (k, m), `intercepts` (k,).

    `gain`: its AUC for negative messages less that of the built-in scorer, on messages that it was not trained on, as
    (value, lower limit, upper limit) of the 95% interval. Immutable; safe to share between threads.
    """

    language: str
    classes: tuple[str, ...]
    vocabulary: tuple[str, ...]
    idf: _Floats
    weights: _Floats
    intercepts: _Floats
    gain: tuple[float, float, float]

    @property
    def wins(self) -> bool:
        """Whether the interval of its gain over the built-in scorer lies above zero."""
        return self.gain[1] > 0.0

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {term: i for i, term in enumerate(self.vocabulary)}

    def probabilities(self, text: str) -> dict[str, float]:
        """Return class -> probability. Sums run in the order of the vocabulary: the same text gives the same bits."""
        logits = self._logits(text)
        top = max(logits)
        raised = [math.exp(v - top) for v in logits]
        return {c: r / math.fsum(raised) for c, r in zip(self.classes, raised, strict=True)}

    def judge(self, text: str) -> Judgement:
        """Return a judgement with `negative` as the probability of negative.

        The polarity is the probability of positive less that of negative, the confidence the largest probability.
        """
        probabilities = self.probabilities(text)
        negative = probabilities[NEGATIVE]
        polarity = probabilities.get(POSITIVE, 0.0) - negative
        return Judgement(polarity, negative, max(probabilities.values()))

    def _logits(self, text: str) -> list[float]:
        counts = Counter(i for term in terms(text) if (i := self._index.get(term)) is not None)
        if not counts:
            return [float(v) for v in self.intercepts]
        at = sorted(counts)
        tfidf = [(1.0 + math.log(counts[i])) * float(self.idf[i]) for i in at]
        norm = math.sqrt(math.fsum(v * v for v in tfidf))
        columns = self.weights[:, at].tolist()
        return [
            math.fsum(w * v / norm for w, v in zip(row, tfidf, strict=True)) + float(b)
            for row, b in zip(columns, self.intercepts, strict=True)
        ]

    def files(self) -> dict[str, bytes]:
        """Return the whole model as relative path -> bytes; equal models give equal bytes."""
        about = {
            "kind": KIND,
            "format": FORMAT,
            "language": self.language,
            "classes": self.classes,
            "vocabulary": self.vocabulary,
            "gain": self.gain,
        }
        arrays = io.BytesIO()
        np.savez(arrays, idf=self.idf, weights=self.weights, intercepts=self.intercepts)
        return {
            "model.json": json.dumps(about, sort_keys=True, ensure_ascii=False).encode(),
            "arrays.npz": arrays.getvalue(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "SentimentModel":
        """Return the saved model, bit for bit. Raises Refused if it is none, or of another format."""
        about = json.loads(files.get("model.json", b"{}"))
        if about.get("kind") != KIND or "arrays.npz" not in files:
            raise Refused("no sentiment model is saved there; train one first")
        if about["format"] != FORMAT:
            raise Refused(f"the sentiment model has format {about['format']}, this version reads {FORMAT}; train again")
        arrays = np.load(io.BytesIO(files["arrays.npz"]), allow_pickle=False)
        gain, low, high = about["gain"]
        return cls(
            about["language"],
            tuple(about["classes"]),
            tuple(about["vocabulary"]),
            arrays["idf"],
            arrays["weights"],
            arrays["intercepts"],
            (gain, low, high),
        )
