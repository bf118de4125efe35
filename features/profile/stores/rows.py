"""The rows of an online store, and the one interface to its two implementations, SQLite and Redis."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import pyarrow as pa

from decisioning.facts.schema import Dtype
from features.profile.versions import Cell, State
from features.views import SIGNALS, SIGNALS_STATE, SIGNALS_VERSION, ProfileView

BUSY_S = 5.0
"""How long a write may wait for other writers."""
READ_S = 1.0
"""How long a read of the file may wait for a lock. It needs none, but while the file is opened first."""

Kind = Literal["d", "q", "?", "s", "b"]
"""How a value is kept: as float64, int64, bool, text or bytes. The first three are codes of `struct`."""
KINDS: Mapping[Dtype, Kind] = {"float": "d", "int": "q", "bool": "?", "string": "s", "enum": "s", "timestamp": "q"}


class Table(NamedTuple):
    """A feature view as an online store needs it: its columns, and whether each value has its own time."""

    name: str
    kinds: Mapping[str, Kind]
    stamped: bool = True


SIGNALS_TABLE = Table(SIGNALS, {SIGNALS_VERSION: "q", SIGNALS_STATE: "b"}, stamped=False)


def as_whole(value: float) -> int | None:
    """Return a float as an int of 64 bits, None if it is none."""
    return int(value) if value.is_integer() and -(2.0**63) <= value < 2.0**63 else None


def table_of(view: ProfileView) -> Table:
    """Return the table of a view as its release declares it."""
    return Table(view.name, {f.name: KINDS[f.dtype] for f in view.features})


OnlineRow = tuple[dict[str, Cell], int | Mapping[str, int]]
"""What a table holds of one subject: known values by column, and when they were true (microseconds).

The times are one time for all values, or a time per column. A value whose time was never stated is not known.
"""
Reader = Callable[[Sequence[str]], list[Sequence[OnlineRow | None]]]
"""Returns for each of the given subjects, in order, a row per table, None where it has none. Raises Unavailable.

A row has only columns of its table, and only values of the table's kind; an int is a float where a float is wanted, and
a float that is whole is an int where an int is wanted: a release, or a rollback, may have changed the kind."""
Change = Callable[[str, State], State | None]
"""Returns the versions to set, or None, from a subject and its state; called again if another writer came first."""


class Online(Protocol):
    """One online store of one workspace; safe for threads and processes. Every method may raise Unavailable."""

    def reader(self, tables: Sequence[Table]) -> Reader:
        """Return a function that reads all of these tables in one round trip; create it once and call it often."""
        ...

    def update(self, table: Table, subjects: Sequence[str], change: Change, *, durable: bool = True) -> None:
        """Read, change and write each subject atomically. If not `durable`, a power cut may undo the write.

        What the row holds beside the versions that `change` returns stays, also columns that `table` does not have.
        """
        ...

    def replace(self, table: Table, rows: pa.Table) -> pa.Array:
        """Write rows in bulk that leave nothing of what is stored, and return a bool column (n,): which are left.

        `rows` (n rows, a subject at most once) has the columns subject, event_timestamp, created (one time for all
        values of a row) and columns of `table`, null where a value is known to be unknown. A row is written if its
        subject has none, or one with the same columns that were stated at one earlier time. The others are for
        `update`, but for those that are stored as they are.
        """
        ...

    def forget(self, tables: Sequence[Table], subjects: Sequence[str]) -> None:
        """Erase subjects. Redis always erases all tables of a subject."""
        ...

    def probe(self) -> None:
        """Write something that nobody reads, to see whether the store can be written."""
        ...

    def remove_remains(self, pass_us: int) -> None:
        """Remove copies of rows that were deleted before a pass of cleaning began, named by its time.

        Other writers wait for some milliseconds at most. A pass that was interrupted goes on where it was.
        """
        ...

    def filled(self) -> bool:
        """Tell whether the history was written to this store and has not been lost since."""
        ...

    def fill(self) -> None:
        """Note that the history was written to this store."""
        ...
