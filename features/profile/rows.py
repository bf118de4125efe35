"""The rows of an online store, and the one interface to its two implementations, SQLite and Redis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value as Proto

BUSY_S = 5.0
"""How long a write may wait for other writers."""

Values = Mapping[str, Any]
"""Column -> Feast's protobuf value, without columns that were never written. No two views share a column."""


@dataclass(frozen=True)
class Table:
    """A feature view as an online store needs it."""

    name: str
    columns: tuple[str, ...]
    feast: Any


class Write(NamedTuple):
    """The columns to set for one subject.

    The two times are for Feast's own readers; this package keeps its times in a column of each view.
    """

    values: Values
    event_us: int
    created_us: int


Reader = Callable[[Sequence[str]], list[Values]]
"""Returns the values of the given subjects in the same order, empty for an unknown one. Raises Unavailable."""
Change = Callable[[str, Values], Write | None]
"""Returns what to write, or None, from a subject and its values; called again if another writer came first."""


class Online(Protocol):
    """One online store of one workspace; safe for threads and processes. Every method may raise Unavailable."""

    def reader(self, tables: Sequence[Table]) -> Reader:
        """Return a function that reads all of these tables in one round trip; create it once and call it often."""
        ...

    def update(self, table: Table, subjects: Sequence[str], change: Change, *, durable: bool = True) -> None:
        """Read, change and write each subject atomically. If not `durable`, a power cut may undo the write."""
        ...

    def forget(self, tables: Sequence[Table], subjects: Sequence[str]) -> None:
        """Erase subjects, and their bytes as far as the store can. Redis always erases all tables of a subject."""
        ...

    def rewrite(self) -> None:
        """Rewrite the store so that no erased byte stays; the time it takes grows with the size of the store."""
        ...

    def filled(self) -> bool:
        """Tell whether the history was written to this store and has not been lost since."""
        ...

    def fill(self) -> None:
        """Note that the history was written to this store."""
        ...


def entity_key(subject: str) -> Any:
    """Return Feast's key of a subject."""
    return EntityKey(join_keys=["subject"], entity_values=[Proto(string_val=subject)])
