"""The wrong cells of a file, by file, column and what is wrong."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pyarrow as pa

from decisioning.errors import Refused

MAX_LISTED = 20
"""How many kinds of faults a message lists."""
_EXAMPLES = 3
"""How many rows of each it names."""


@dataclass
class Faults:
    """The wrong cells of an import by (file, column, message), each with the first rows, and their number.

    `how` says of a file how it was read, as a wrong reading makes right cells wrong.
    """

    kinds: dict[tuple[str, str, str], tuple[list[int], int]] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def add(self, file: str, column: str, rows: Iterable[int], message: str) -> None:
        """Add rows of a column, by their numbers in the file, that have the same fault."""
        numbers = list(rows)
        if not numbers:
            return
        first, count = self.kinds.get((file, column, message), ([], 0))
        self.kinds[file, column, message] = (
            sorted({*first, *islice(numbers, _EXAMPLES)})[:_EXAMPLES],
            count + len(numbers),
        )
        self.count += len(numbers)

    def raise_any(self, what: str = "nothing was imported") -> None:
        """Raise Refused, with the listed faults, if there are any faults; `what` says what did not happen."""
        if not self.count:
            return
        lines = [_line(*kind, *rows) for kind, rows in islice(self.kinds.items(), MAX_LISTED)]
        more = [f"and {len(self.kinds) - len(lines)} more kinds"] if len(self.kinds) > len(lines) else []
        read = [how for file, how in self.how.items() if any(kind[0] == file for kind in self.kinds)]
        cells = "1 cell is" if self.count == 1 else f"{self.count} cells are"
        raise Refused("\n".join([f"{what}: {cells} wrong", *lines, *more, *read]))


def _line(file: str, column: str, message: str, rows: list[int], count: int) -> str:
    if count == 1:
        return f"{file}: row {rows[0]}, column {column}: {message}"
    named = ", ".join(map(str, rows[:-1]))
    rows_named = f"rows {named} and {rows[-1]}" if count <= len(rows) else f"rows {named}, {rows[-1]} and others"
    return f"{file}: {rows_named}, column {column}: {count} cells: {message}"


def rows_of(mask: pa.Array) -> list[int]:
    """Return the rows (counted from 0) where a bool column is true, and not null."""
    return np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False)).tolist()
