"""How far columns of two periods differ: the population stability index, and what chance alone makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.model.frame import Floats

DRIFTED = 0.2
"""The population stability index from which on a column is called drifted (Siddiqi 2006)."""
ALPHA = 0.05
"""The probability, at most, that any column of a report is called drifted where nothing moved."""
_BINS = 10


@dataclass(frozen=True, slots=True)
class Index:
    """The population stability index `psi` of a column, and the index that `chance` alone exceeds with a probability of
    `ALPHA` over all columns of a report together.
    """

    psi: float
    chance: float

    @property
    def drifted(self) -> bool:
        """Whether the column moved by more than chance would have it, and far enough to matter."""
        return self.psi >= DRIFTED and self.psi > self.chance


def stability(before: pa.ChunkedArray, after: pa.ChunkedArray, *, numeric: bool, columns: int = 1) -> Index:
    """Return the index of two columns, each with one value per customer.

    Numeric columns are compared over ten bins with equally many customers before, others over their values; unknown
    values are a bin of their own. Half a customer is added to each bin, so that an empty bin does not make the index
    infinite. Where nothing moved, the index over 1 / n before + 1 / n after is distributed as chi squared with a degree
    of freedom less than there are bins (Yurdakul, Statistical properties of population stability index, 2018).

    :param columns: how many columns are compared in the same report
    """
    edges = _bin_edges(before) if numeric else None
    counts = [_counts(column, edges) for column in (before, after)]
    bins = sorted(set().union(*counts))
    shares = [np.array([c.get(b, 0) + 0.5 for b in bins]) for c in counts]
    p, q = (s / s.sum() for s in shares)
    per_customer = sum(1.0 / max(len(column), 1) for column in (before, after))
    chance = per_customer * _chi_squared(len(bins) - 1, ALPHA / columns)
    return Index(float(np.sum((q - p) * np.log(q / p))), chance)


def _chi_squared(freedom: int, tail: float) -> float:
    """Return what a chi squared variable exceeds with the probability `tail` (Wilson and Hilferty 1931)."""
    if freedom == 0:
        return 0.0
    spread = 2.0 / (9.0 * freedom)
    return float(freedom * (1.0 - spread + NormalDist().inv_cdf(1.0 - tail) * spread**0.5) ** 3)


def _bin_edges(column: pa.ChunkedArray) -> Floats:
    known = pc.drop_null(column.cast(pa.float64())).to_numpy()
    return np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(known) else np.zeros(0)


def _counts(column: pa.ChunkedArray, edges: Floats | None) -> Mapping[str, int]:
    """Return the rows per bin of a numeric column, or per value of another; `unknown` for missing values."""
    if edges is not None:
        known = pc.drop_null(column.cast(pa.float64())).to_numpy()
        bins, rows = np.unique(np.searchsorted(edges, known, side="right"), return_counts=True)
        counts = {f"{b:02d}": int(n) for b, n in zip(bins.tolist(), rows.tolist(), strict=True)}
        return {**counts, "unknown": column.null_count} if column.null_count else counts
    values = pc.value_counts(pc.fill_null(column.cast(pa.string()), "unknown")).to_pylist()
    return {row["values"]: row["counts"] for row in values}
