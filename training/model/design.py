"""From what is known of a customer to the inputs of a linear base."""

from dataclasses import dataclass

import numpy as np

from training.model.frame import Floats, Ints

_CLIP = 8.0
_CHUNK = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """From features (f,) to the base's inputs (1 + f + m,): one, standardised features, flags of what is missing.

    A missing feature counts as the average one; `flagged` (m,) are the features whose absence itself is an input.
    """

    mean: Floats
    inverse_scale: Floats
    flagged: Ints

    @property
    def width(self) -> int:
        return 1 + len(self.mean) + len(self.flagged)

    def columns(self, x: Floats) -> Floats:
        """Rows (n, f) -> inputs (width, n), C-contiguous."""
        out = np.ones((self.width, len(x)))
        n_features = len(self.mean)
        z = (x.T - self.mean[:, None]) * self.inverse_scale[:, None]
        out[1 : 1 + n_features] = np.where(np.isnan(z), 0.0, np.clip(z, -_CLIP, _CLIP))
        out[1 + n_features :] = np.isnan(x.T[self.flagged])
        return out

    def row(self, row: Floats) -> Floats:
        """One row (f,) -> inputs (width,); the same bits as `columns`."""
        return self.columns(row[None, :])[:, 0]

    def rows(self, x: Floats) -> Floats:
        """Rows (n, f) -> inputs (n, width), filled in chunks: a million rows leave no room for several copies."""
        out = np.empty((len(x), self.width))
        for at in range(0, len(x), _CHUNK):
            out[at : at + _CHUNK] = self.columns(x[at : at + _CHUNK]).T
        return out


def make_design(x: Floats) -> Design:
    """Standardisation of features (n, f) by what is known of them, and a flag per distinct pattern of absence."""
    n_features = x.shape[1]
    mean, inverse_scale = np.zeros(n_features), np.ones(n_features)
    patterns: dict[bytes, int] = {}
    for j in range(n_features):
        unknown = np.isnan(x[:, j])
        if unknown.all():
            continue
        known = x[~unknown, j]
        mean[j], spread = known.mean(), known.std()
        inverse_scale[j] = 1.0 / spread if spread > 1e-12 else 1.0
        if unknown.any():
            patterns.setdefault(np.packbits(unknown).tobytes(), j)
    return Design(mean, inverse_scale, np.array(sorted(patterns.values()), dtype=np.int64))
