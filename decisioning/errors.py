"""One tree of errors; every message says what is wrong and what to do, and never holds personal data.

BrainError
├── ConfigError        a file of the workspace is wrong (file, line, suggestion)
├── RequestError       a request is wrong (field)
│   ├── RequestReused  the same request_id with another body
│   ├── LinkedElsewhere  the identifier is another customer's
│   └── NotFound       no such decision, offer, release or model
├── Conflict           another record came first; decide again
├── Unavailable        the ledger or a store cannot be reached; nothing was decided
├── Refused            asked for something the data or the rules do not support
└── SealBroken         a decision would have held what screening did not permit (a bug: fail closed)
"""

from collections.abc import Iterable
from dataclasses import dataclass


class BrainError(Exception):
    """Root of everything the brain raises on purpose; `str()` is one plain line for a person."""


@dataclass(frozen=True)
class Mistake:
    """One mistake in a workspace file: path relative to the workspace, line counted from 1."""

    file: str
    line: int
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.file}:{self.line}: {self.message}{hint}"


class ConfigError(BrainError):
    """Mistakes in workspace files, all of those found in one pass."""

    def __init__(self, problems: Iterable[Mistake]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class RequestError(BrainError):
    """A request that cannot be answered as asked: `field` is its JSON path, such as `placements.0.limit`."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field}: {message}")


class RequestReused(RequestError):
    """The same `request_id` came with another body."""


class LinkedElsewhere(RequestError):
    """The identifier is linked to another customer, or was at that time; it must be unlinked there first."""


class NotFound(RequestError):
    """What `field` names does not exist here."""


class Conflict(BrainError):
    """A stream moved on after it was read."""


class Unavailable(BrainError):
    """A store cannot be reached; nothing was written."""


class Refused(BrainError):
    """The data or the rules do not support what was asked."""


class SealBroken(BrainError):
    """A decision held a candidate that screening did not permit; it is not answered."""
