"""What a column of a file holds, as a draft of a mapping tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["empty", "constant", "bool", "int", "float", "time", "enum", "text"]
MAX_VALUES: Final = 100
"""Different texts of a column that a model may read as such."""


@dataclass(frozen=True)
class Column:
    """A column: its `kind`, and `values`, the most frequent texts with their numbers of rows, the most frequent first.

    `distinct` is the number of different texts, `filled` of rows that hold one. `missing`: texts that mean "not known".
    `numbers`: float64 (n,), NaN where unknown, if it is one of numbers. `is_unique`: no text stands in two rows.
    """

    name: str
    kind: Kind
    rows: int
    filled: int
    distinct: int
    values: Mapping[str, int]
    missing: tuple[str, ...] = ()
    numbers: npt.NDArray[np.float64] | None = None
    codes: npt.NDArray[np.int64] | None = None
    holds_ids: bool = True

    @property
    def is_unique(self) -> bool:
        """Whether every row holds something, and no two the same."""
        return self.distinct == self.rows

    @property
    def is_two_valued(self) -> bool:
        """Whether it holds two different texts."""
        return self.distinct == len(("yes", "no"))

    @property
    def limits(self) -> tuple[float, float] | None:
        """The smallest and the largest number."""
        known = self.numbers[~np.isnan(self.numbers)] if self.numbers is not None else np.empty(0)
        return (float(known.min()), float(known.max())) if len(known) else None

    @property
    def evidence(self) -> str:
        """What the column holds, in words."""
        words = {"int": "whole numbers", "float": "numbers", "time": "times", "bool": "yes or no", "text": "texts"}
        kind = words.get(self.kind, "texts")
        count = f"{self.filled:,} of {self.rows:,} rows hold {kind}"
        if self.kind in ("bool", "enum") and len(self.values) <= 6:
            return f"{count}: " + ", ".join(f"{shown(text)} {n:,}" for text, n in self.values.items())
        limits = self.limits
        spread = f", {limits[0]:g} to {limits[1]:g}" if limits else ""
        return f"{count}, {self.distinct:,} different{spread}"


def shown(text: str) -> str:
    """Return a text of a file as a comment may hold it."""
    plain = " ".join(text.split())
    return plain if len(plain) <= 30 else plain[:29] + "…"
