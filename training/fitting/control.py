"""Rows in which one action was shown or withheld, as evidence of the effect of showing it."""

from dataclasses import dataclass

import numpy as np

from decisioning.errors import Refused
from training.fitting.intervals import MIN_EFFECTIVE, effective_units
from training.model.frame import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class ControlRows:
    """n rows of one action: whether it was `shown`, the `outcome` (0 or 1, or euros), and the recorded `probability`
    of that: of showing it where it was shown, of withholding it where it was withheld, all (n,). `unit` (n,): codes of
    the customers; rows of one customer are not independent, and count as one.

    :raises Refused: a probability is missing or outside (0, 1], or too few effective customers are in either arm
    """

    shown: Bools
    outcome: Floats
    probability: Floats
    unit: Ints

    def __post_init__(self) -> None:
        p = self.probability
        if not ((p > 0.0) & (p <= 1.0)).all():  # NaN is neither
            raise Refused("uplift: the log does not say with what probability each row was chosen")
        for name, rows in (("shown to", self.shown), ("withheld from", ~self.shown)):
            effective = effective_units(1.0 / p[rows], self.unit[rows]) if rows.any() else 0.0
            if effective < MIN_EFFECTIVE:
                raise Refused(
                    f"uplift: it was {name} {effective:.0f} effective customers, {MIN_EFFECTIVE:.0f} are needed"
                )

    @property
    def weight(self) -> Floats:
        """Inverse probabilities (n,), scaled so that those of either arm sum to n."""
        inverse = 1.0 / self.probability
        total = np.where(self.shown, inverse[self.shown].sum(), inverse[~self.shown].sum())
        return np.asarray(inverse * (len(inverse) / total), dtype=np.float64)
