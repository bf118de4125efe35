"""The linear base's inputs: made of a customer's features, and which of them moved a score most."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np

from training.model.frame import Floats, Ints

_CLIP = 8.0
_CHUNK = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Maps features (f,) to the base's inputs (1 + f + m,): a one, the standardised features, and m missing flags.

    A missing feature counts as the average. `flagged` (m,): indices of the features whose absence is itself an input.
    """

    mean: Floats
    inverse_scale: Floats
    flagged: Ints

    @property
    def width(self) -> int:
        """Number of inputs."""
        return 1 + len(self.mean) + len(self.flagged)

    def columns(self, x: Floats) -> Floats:
        """Return the inputs (width, n), C-contiguous, of rows (n, f)."""
        out = np.ones((self.width, len(x)))
        n_features = len(self.mean)
        z = (x.T - self.mean[:, None]) * self.inverse_scale[:, None]
        out[1 : 1 + n_features] = np.where(np.isnan(z), 0.0, np.clip(z, -_CLIP, _CLIP))
        out[1 + n_features :] = np.isnan(x.T[self.flagged])
        return out

    def row(self, row: Floats) -> Floats:
        """Return the inputs (width,) of one row (f,), with the same bits as `columns`."""
        return self.columns(row[None, :])[:, 0]

    def rows(self, x: Floats) -> Floats:
        """Return the inputs (n, width) of rows (n, f), filled in chunks so that a million rows need no second copy."""
        out = np.empty((len(x), self.width))
        for at in range(0, len(x), _CHUNK):
            out[at : at + _CHUNK] = self.columns(x[at : at + _CHUNK]).T
        return out


def make_design(x: Floats) -> Design:
    """Return the design of features (n, f): standardised by their known values, one flag per pattern of absence."""
    n_features = x.shape[1]
    mean, inverse_scale = np.zeros(n_features), np.ones(n_features)
    patterns: dict[bytes, int] = {}
    for j in range(n_features):
        missing = np.isnan(x[:, j])
        if missing.all():
            continue
        values = x[~missing, j]
        mean[j], deviation = values.mean(), values.std()
        inverse_scale[j] = 1.0 / deviation if deviation > 1e-12 else 1.0
        if missing.any():
            patterns.setdefault(np.packbits(missing).tobytes(), j)
    return Design(mean, inverse_scale, np.array(sorted(patterns.values()), dtype=np.int64))


STRONGEST: Final = 9.9
"""Larger parts of a logit are told as this one."""
_LEAST: Final = 0.05
"""Smaller parts of a logit are not told: they would be 0.0 in tenths."""
_NO_FEATURE: Final = 0
_MOST_FACTORS: Final = 2
"""The most features that are told of a candidate."""


@dataclass(frozen=True, slots=True, eq=False)
class InputNames:
    """What the inputs (width,) of a model are called, and which feature each is about.

    `feature_of` (width,): the number of the feature in `features`, of which the first is no feature: that of the
    intercept and of the missing flags. `doubt` (n_models, n_features): how much the trees of each action can add to or
    take from what a feature adds to the logit by the base.
    """

    names: tuple[str, ...]
    features: tuple[str, ...]
    feature_of: Ints
    doubt: Floats


def input_names(feature_names: Sequence[str], design: Design, doubt: Floats) -> InputNames:
    """Return the names of a model's inputs.

    :param feature_names: the columns of the features (f,); that of an enum's value is `feature=value`
    :param doubt: per action and column (n_models, f)
    """
    bare = [name.partition("=")[0] for name in feature_names]
    features = ("", *dict.fromkeys(bare))
    of_column = [features.index(name) for name in bare]
    feature_of = np.asarray([_NO_FEATURE, *of_column, *([_NO_FEATURE] * len(design.flagged))], dtype=np.int64)
    of_features = np.zeros((len(doubt), len(features)))
    for column, feature in enumerate(of_column):
        of_features[:, feature] += doubt[:, column]
    flagged = (feature_names[i] for i in design.flagged)
    return InputNames(("", *feature_names, *flagged), features, feature_of, np.maximum(of_features, _LEAST))


class Factors(Sequence[tuple[str, ...]]):
    """Per candidate the names of the one or two largest terms of its logit; none if all are zero.

    They are found when asked for, as reasons are given for few candidates.

    :param weights: of all actions, (n_actions, width), the intercept first
    :param actions: of the candidates, indices into `weights` (n,)
    :param inputs: of one customer (width,)
    :param names: of the inputs
    :param frozen: the factors of single candidates that another model scored alone
    """

    def __init__(
        self, weights: Floats, actions: Ints, inputs: Floats, names: InputNames, frozen: Mapping[int, "Factors"]
    ) -> None:
        self._weights, self._actions, self._inputs = weights, actions, inputs
        self._names, self._frozen = names, frozen

    def __len__(self) -> int:
        return len(self._actions)

    def __getitem__(self, i: Any) -> Any:
        """Return the names of candidate `i`, or of a slice of candidates."""
        if isinstance(i, slice):
            return tuple(self[n] for n in range(*i.indices(len(self))))
        if i in self._frozen:
            return self._frozen[i][0]
        return self._largest(np.abs(self._weights[self._actions[i]] * self._inputs))

    def _largest(self, size: Floats) -> tuple[str, ...]:
        size[0] = 0.0  # the intercept is not a feature; argmax returns it where all terms are zero
        first, names = int(size.argmax()), self._names.names
        size[first] = 0.0
        second = int(size.argmax())
        return (names[first], names[second]) if second else (names[first],) if first else ()

    def directed(self, sayable: Callable[[str], bool]) -> "DirectedFactors":
        """Return the same factors with their directions; of equal direction, first those of `sayable` features."""
        return DirectedFactors(self, sayable)

    def signed(self, i: int, sayable: Callable[[str], bool]) -> tuple[str, ...]:
        """Return at most two features of candidate `i`, each with what it adds to the logit, such as `age+0.4`.

        The first is the one that speaks most for it, the second the largest of the others, both of the sayable ones if
        there are any. An unknown feature is not among them, nor one whose direction the trees could turn.
        """
        if i in self._frozen:
            return self._frozen[i].signed(0, sayable)
        action, names = self._actions[i], self._names
        parts = np.bincount(names.feature_of, self._weights[action] * self._inputs, len(names.features))
        parts[_NO_FEATURE] = 0.0
        size = np.abs(parts)
        size[size <= names.doubt[action]] = 0.0
        added, ordered = parts.tolist(), (-size).argsort(kind="stable")[: np.count_nonzero(size)].tolist()
        chosen = _two(added, (n for n in ordered if sayable(names.features[n])))
        if len(chosen) < _MOST_FACTORS:
            chosen = [*chosen, *_two(added, (n for n in ordered if n not in chosen))][:_MOST_FACTORS]
        return tuple(f"{names.features[n]}{min(max(added[n], -STRONGEST), STRONGEST):+.1f}" for n in chosen)


def _two(added: Sequence[float], largest_first: Iterator[int]) -> list[int]:
    """Return the feature that adds most and the largest of the others; the two largest if none adds."""
    negative: list[int] = []
    for n in largest_first:
        if added[n] > 0.0:
            return [n, *(negative[:1] or islice(largest_first, 1))]
        negative.append(n)
    return negative[:_MOST_FACTORS]


class DirectedFactors(Sequence[tuple[str, ...]]):
    """The same factors with their directions, as `Factors.signed` gives them."""

    def __init__(self, factors: Factors, sayable: Callable[[str], bool]) -> None:
        self._factors, self._sayable = factors, sayable

    def __len__(self) -> int:
        return len(self._factors)

    def __getitem__(self, i: Any) -> Any:
        """Return the signed names of candidate `i`, or of a slice of candidates."""
        if isinstance(i, slice):
            return tuple(self[n] for n in range(*i.indices(len(self))))
        return self._factors.signed(i, self._sayable)
