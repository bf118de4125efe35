"""The model that hears: weights of hashed features per kind, read with numpy alone."""

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.errors import Refused
from features.messages.hearing.concepts import listed_words
from features.messages.hearing.grams import GROUPS, Features, features

KINDS = ("wish", "objection", "access", "erasure", "complaint", "bereavement", "money", "danger", "violence")
FORMAT = 1
KIND = "hearing"
BUILT_IN = Path(__file__).with_name("built_in")
"""The files of the model that comes with the product; `python -m training.learning.messages.hearing` writes them."""
PERHAPS = 0.4
"""The share of its threshold from which a kind is perhaps heard, so that a person is asked."""
_WIDEST = 3
"""How many pieces in a row are judged together."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Heard:
    """What is heard in a text: kind -> probability of what is `surely` heard, and the kinds that `perhaps` are."""

    surely: Mapping[str, float]
    perhaps: frozenset[str] = frozenset()


NOTHING = Heard({})


@dataclass(frozen=True, eq=False)
class HearingModel:
    """A linear model of k kinds.

    `weights`: (BUCKETS, k), whole numbers of `steps` (k,), so that sums are exact. `intercepts` (k,). The probability
    of a kind is the logistic function of `slopes` x log-odds + `shifts`, (k,) each; it is heard from `thresholds` (k,).
    `words`: as `listed_words` returned when it was trained.
    """

    kinds: tuple[str, ...]
    weights: NDArray[np.int8]
    steps: Floats
    intercepts: Floats
    slopes: Floats
    shifts: Floats
    thresholds: Floats
    words: str = field(default_factory=listed_words)

    @property
    def is_of_these_words(self) -> bool:
        """Whether the words that this version lists are those that the model learned from."""
        return self.words == listed_words()

    def probabilities(self, cleaned: str) -> dict[str, float]:
        """Return kind -> probability that a text from `clean` says it anywhere; the same text gives the same bits."""
        extracted = features(cleaned)
        if not extracted.pieces:
            return dict.fromkeys(self.kinds, 0.0)
        best = (self._log_odds(extracted).max(0) * self.slopes + self.shifts).tolist()
        return {kind: _logistic(value) for kind, value in zip(self.kinds, best, strict=True)}

    def hear(self, cleaned: str) -> Heard:
        """Return what is heard, and perhaps heard, in a text from `clean`."""
        limits = dict(zip(self.kinds, self.thresholds.tolist(), strict=True))
        likely = {kind: p for kind, p in self.probabilities(cleaned).items() if p >= limits[kind] * PERHAPS}
        surely = {kind: p for kind, p in likely.items() if p >= limits[kind]}
        return Heard(surely, frozenset(likely.keys() - surely.keys()))

    def heard(self, cleaned: str) -> Mapping[str, float]:
        """Return kind -> probability of the kinds that are heard in a text from `clean`."""
        return self.hear(cleaned).surely

    def _log_odds(self, extracted: Features) -> Floats:
        """Return the log-odds of each range of up to `_WIDEST` pieces, (ranges, k)."""
        slots = extracted.pieces * GROUPS
        counts = np.bincount(extracted.slots, minlength=slots).reshape(extracted.pieces, GROUPS)
        picked = self.weights[extracted.buckets].astype(np.float64)
        sums: NDArray[Any] = np.stack([np.bincount(extracted.slots, column, slots) for column in picked.T], 1)
        sums = sums.reshape(extracted.pieces, GROUPS, len(self.kinds))
        return np.concatenate([self._judged(sums, counts, width) for width in range(1, _WIDEST + 1)])

    def _judged(self, sums: Floats, counts: NDArray[Any], width: int) -> Floats:
        ranges = len(counts) - width + 1
        if ranges < 1:
            return np.zeros((0, len(self.kinds)))
        total = sum(sums[start : start + ranges] for start in range(width))
        scale = np.sqrt(np.maximum(1, sum(counts[start : start + ranges] for start in range(width))))
        return np.asarray((total / scale[:, :, None]).sum(1) * self.steps + self.intercepts)

    def files(self) -> dict[str, bytes]:
        """Return the whole model as relative path -> bytes."""
        arrays = io.BytesIO()
        np.savez_compressed(
            arrays,
            weights=self.weights,
            numbers=np.stack([self.steps, self.intercepts, self.slopes, self.shifts, self.thresholds]),
        )
        about = {"kind": KIND, "format": FORMAT, "kinds": self.kinds, "words": self.words}
        return {"model.json": json.dumps(about, sort_keys=True).encode(), "arrays.npz": arrays.getvalue()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "HearingModel":
        """Return the saved model, bit for bit. Raises Refused if it is none, or of another format."""
        about = json.loads(files.get("model.json", b"{}"))
        if about.get("kind") != KIND or "arrays.npz" not in files:
            raise Refused("no model that hears is saved there; train one first")
        if about["format"] != FORMAT:
            raise Refused(
                f"the model that hears has format {about['format']}, this version reads {FORMAT}; train again"
            )
        arrays = np.load(io.BytesIO(files["arrays.npz"]), allow_pickle=False)
        steps, intercepts, slopes, shifts, thresholds = arrays["numbers"]
        kinds, words = tuple(about["kinds"]), about.get("words", "")
        return cls(kinds, arrays["weights"], steps, intercepts, slopes, shifts, thresholds, words)


@cache
def built_in() -> HearingModel:
    """Return the model that comes with the product."""
    return HearingModel.from_files({file.name: file.read_bytes() for file in BUILT_IN.iterdir()})


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value)) if value >= 0 else 1.0 - 1.0 / (1.0 + math.exp(min(value, 700.0)))
