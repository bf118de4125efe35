"""Outcomes that come late: how many decisions later each is known, and which never are."""

from dataclasses import dataclass

import numpy as np

from training.model.frame import Bools, Ints


@dataclass(frozen=True, slots=True)
class Delays:
    """Time counts in decisions. An outcome comes `mean` decisions after its own on average (geometric), or never:
    what would come more than `window` later is not told. Both 0: every outcome is known before the next decision.
    """

    mean: float = 0.0
    window: int = 0
    seed: int = 0

    def after(self, n: int) -> Ints:
        """How many further decisions are made before each outcome would come, (n,)."""
        rng = np.random.default_rng([self.seed, 98])
        return np.asarray(rng.geometric(1.0 / (1.0 + self.mean), n) - 1, dtype=np.int64)

    def in_time(self, n: int) -> Bools:
        """Whether each outcome comes before its window closes, (n,)."""
        return np.asarray(self.after(n) <= self.window, dtype=np.bool_)

    def closed(self, made: int) -> int:
        """Of so many decisions, the first ones, whose window has closed: all that training may see.

        An outcome that came early waits as well: if a yes counted at once and a no at the end, the rows would say yes
        too often.
        """
        return max(made - self.window, 0)


AT_ONCE = Delays()
