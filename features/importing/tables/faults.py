"""The wrong cells of a file, by file, row and column."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from decisioning.errors import Refused

MAX_LISTED = 20
"""How many faults a message lists."""


@dataclass
class Faults:
    """The wrong cells of an import: the first `MAX_LISTED` as (file, row, column, message), and their number.

    Rows are counted from 1, without the header and empty lines.
    """

    listed: list[tuple[str, int, str, str]] = field(default_factory=list)
    count: int = 0

    def add(self, file: str, column: str, rows: Iterable[int], message: str) -> None:
        """Add rows (counted from 0) of a column that have the same fault."""
        for row in rows:
            self.count += 1
            if len(self.listed) < MAX_LISTED:
                self.listed.append((file, int(row) + 1, column, message))

    def raise_any(self, what: str = "nothing was imported") -> None:
        """Raise Refused, with the listed faults, if there are any faults; `what` says what did not happen."""
        if not self.count:
            return
        lines = [f"{file}: row {row}, column {column}: {message}" for file, row, column, message in self.listed]
        more = [f"and {self.count - len(lines)} more"] if self.count > len(lines) else []
        raise Refused("\n".join([f"{what}: {self.count} cells are wrong", *lines, *more]))


def rows_of(mask: pa.Array) -> list[int]:
    """Return the rows (counted from 0) where a bool column is true, and not null."""
    return np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False)).tolist()
