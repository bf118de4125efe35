"""What an online store keeps of a subject, and the one interface to the two that keep it: SQLite and Redis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value as Proto

BUSY_S = 5.0
"""How long a write may be kept from its turn by other writers."""

Values = Mapping[str, Any]
"""Column -> Feast's protobuf value; a column that was never written is not there. No two views share a column."""


@dataclass(frozen=True)
class Table:
    """A feature view as an online store needs it."""

    name: str
    columns: tuple[str, ...]
    feast: Any


class Write(NamedTuple):
    """Columns to set of one subject; the times are for Feast's own readers, ours are in a column of each view."""

    values: Values
    event_us: int
    created_us: int


Reader = Callable[[Sequence[str]], list[Values]]
"""Subjects -> their values, in the same order; nothing for one never heard of. Raises Unavailable."""
Change = Callable[[str, Values], Write | None]
"""From a subject and its values to what is written, if anything; called again when another writer came first."""


class Online(Protocol):
    """One online store of one workspace; safe for threads and processes. Everything raises Unavailable."""

    def reader(self, tables: Sequence[Table]) -> Reader:
        """Reads all of these tables in one round trip; made once, called often."""
        ...

    def update(self, table: Table, subjects: Sequence[str], change: Change, *, durable: bool = True) -> None:
        """Read, change and write each subject as if nobody else wrote; not `durable`: a power cut may undo it."""
        ...

    def forget(self, tables: Sequence[Table], subjects: Sequence[str]) -> None:
        """Erase subjects, and leave no erased byte where this store can help it. Redis forgets all tables at once."""
        ...

    def rewrite(self) -> None:
        """Leave no byte of the erased between what is there; takes as long as there is much."""
        ...

    def filled(self) -> bool:
        """Whether what the history holds was brought here, and is not lost since."""
        ...

    def fill(self) -> None:
        """Note that it was."""
        ...


def entity_key(subject: str) -> Any:
    """Feast's key of a subject."""
    return EntityKey(join_keys=["subject"], entity_values=[Proto(string_val=subject)])
