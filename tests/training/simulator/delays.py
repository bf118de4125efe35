"""Delayed outcomes: how many decisions later each becomes known, and which never do."""

from dataclasses import dataclass

import numpy as np

from training.model.frame import Bools, Ints


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays counted in decisions, geometric with this `mean`; an outcome after more than `window` is never recorded.

    Both 0: every outcome is known before the next decision.
    """

    mean: float = 0.0
    window: int = 0
    seed: int = 0

    def after(self, n: int) -> Ints:
        """Return the delay of each outcome in decisions, (n,)."""
        rng = np.random.default_rng([self.seed, 98])
        return np.asarray(rng.geometric(1.0 / (1.0 + self.mean), n) - 1, dtype=np.int64)

    def in_time(self, n: int) -> Bools:
        """Return whether each outcome occurs before its window closes, (n,)."""
        return np.asarray(self.after(n) <= self.window, dtype=np.bool_)

    def closed(self, n_decisions: int) -> int:
        """Return how many of the first `n_decisions` have a closed window; training may see only those.

        An early outcome waits, too: if a success counted at once and a failure at the end, rows would have too many
        successes.
        """
        return max(n_decisions - self.window, 0)


AT_ONCE = Delays()
