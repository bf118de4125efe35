"""The rows of a file by their numbers, as a person sees them there."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Batch = tuple[pa.RecordBatch, int, int]
"""Some rows of a file, with how much of it was read, and of how much."""


class RowNumbers:
    """Gives each row of data, counted from 0, the number that it has in the file.

    :param first: the number of the first row after the header
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._left_out: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def leave_out(self, numbers: Iterable[int]) -> None:
        """Note rows of the file, by number, that are no rows of data."""
        self._left_out = np.sort(np.concatenate([self._left_out, np.fromiter(numbers, np.int64)]))

    def of(self, rows: Iterable[int]) -> list[int]:
        """Return the numbers of rows of data."""
        at = np.fromiter(rows, np.int64)
        gaps = self._left_out - self._first - np.arange(len(self._left_out))
        numbers: list[Any] = (self._first + at + np.searchsorted(gaps, at, side="right")).tolist()
        return numbers
