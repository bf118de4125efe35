"""Turns a customer's features into the inputs of the linear base."""

from dataclasses import dataclass

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
