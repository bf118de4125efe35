"""The effect of showing an action on the log-odds of its outcome, from which uplift is computed. Uses numpy alone.

For action a and a customer x with the base's inputs z(x), the effect is v_a . z(x).
"""

import io
from dataclasses import dataclass

import numpy as np

from training.model.frame import Floats, Ints

_LIMIT = 10.0
"""Largest effect, in log-odds; larger ones are clipped."""


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """`weights` (k + g + 1, width) over the base's inputs, in the order of the model's rows; NaN where unknown.

    The effects of groups and of all actions are always unknown: an action that was never withheld has no uplift.
    """

    weights: Floats

    def row(self, inputs: Floats, actions: Ints) -> Floats:
        """Return the effects (n,) of n candidates for one customer's inputs (width,); NaN where unknown."""
        parts = self.weights[actions] * inputs
        return np.clip(np.add.accumulate(parts, axis=1)[:, -1], -_LIMIT, _LIMIT)

    def column(self, inputs: Floats, action: int) -> Floats:
        """Return the effects (n,) of one action for customers' inputs (width, n), with the same bits as `row`."""
        total: Floats = inputs[0] * self.weights[action, 0]
        for j in range(1, len(inputs)):
            total = total + inputs[j] * self.weights[action, j]
        return np.clip(total, -_LIMIT, _LIMIT)

    def to_bytes(self) -> bytes:
        """Return the effects as bytes; equal effects give equal bytes."""
        packed = io.BytesIO()
        np.savez(packed, weights=self.weights)
        return packed.getvalue()

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Effects":
        """Return the effects that `to_bytes` wrote."""
        return cls(np.load(io.BytesIO(packed), allow_pickle=False)["weights"])
