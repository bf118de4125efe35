"""What showing an action does to the log-odds of its outcome: the part of a model that uplift is made of. numpy alone.

For action a and customer x with the base's inputs z(x), the effect is v_a . z(x).
"""

import io
from dataclasses import dataclass

import numpy as np

from training.model.frame import Bools, Floats, Ints

_MOST = 10.0
"""Log-odds beyond which no effect is believed."""


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """`weights` (k + g + 1, width) over the inputs of the base, rows as in the model's; NaN where nothing is known.

    Of groups and of all nothing is known: what was never withheld has no uplift, and none is made up.
    """

    weights: Floats

    @property
    def known(self) -> Bools:
        """(k + g + 1,), of which action the effect is known."""
        return np.asarray(~np.isnan(self.weights[:, 0]))

    def row(self, inputs: Floats, actions: Ints) -> Floats:
        """The effect (n,) of n candidates on one customer's inputs (width,); NaN where it is not known."""
        parts = self.weights[actions] * inputs
        return np.clip(np.add.accumulate(parts, axis=1)[:, -1], -_MOST, _MOST)

    def column(self, inputs: Floats, action: int) -> Floats:
        """The effect (n,) of one action on customers' inputs (width, n); the same bits as `row`."""
        total: Floats = inputs[0] * self.weights[action, 0]
        for j in range(1, len(inputs)):
            total = total + inputs[j] * self.weights[action, j]
        return np.clip(total, -_MOST, _MOST)

    def to_bytes(self) -> bytes:
        """Equal effects give equal bytes."""
        packed = io.BytesIO()
        np.savez(packed, weights=self.weights)
        return packed.getvalue()

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Effects":
        """What `to_bytes` wrote."""
        return cls(np.load(io.BytesIO(packed), allow_pickle=False)["weights"])
