"""The linear base's inputs: made of a customer's features, and which of them moved a score most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


class Factors(Sequence[tuple[str, ...]]):
    """Per candidate the names of the one or two largest terms of its logit; none if all are zero.

    They are found when asked for, as reasons are given for few candidates.

    :param weights: of all actions, (n_actions, width), the intercept first
    :param actions: of the candidates, indices into `weights` (n,)
    :param inputs: of one customer (width,)
    :param names: of the inputs (width,)
    :param known: the names of single candidates that another model scored
    """

    def __init__(
        self,
        weights: Floats,
        actions: Ints,
        inputs: Floats,
        names: Sequence[str],
        known: Mapping[int, tuple[str, ...]],
    ) -> None:
        self._weights, self._actions, self._inputs = weights, actions, inputs
        self._names, self._known = names, known

    def __len__(self) -> int:
        return len(self._actions)

    def __getitem__(self, i: Any) -> Any:
        """Return the names of candidate `i`, or of a slice of candidates."""
        if isinstance(i, slice):
            return tuple(self[n] for n in range(*i.indices(len(self))))
        if i in self._known:
            return self._known[i]
        return self._largest(np.abs(self._weights[self._actions[i]] * self._inputs))

    def _largest(self, size: Floats) -> tuple[str, ...]:
        size[0] = 0.0  # the intercept is not a feature; argmax returns it where all terms are zero
        first = int(size.argmax())
        size[first] = 0.0
        second = int(size.argmax())
        return (self._names[first], self._names[second]) if second else (self._names[first],) if first else ()
