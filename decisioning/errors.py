"""The tree of errors. Every message says what is wrong and what to do, and none contains personal data.

BrainError
├── ConfigError        a file of the workspace is wrong (file, line, suggestion)
├── RequestError       a request is wrong (field)
│   ├── RequestReused  the same id with another body
│   ├── LinkedElsewhere  the identifier belongs to another customer
│   ├── ToldOfAnother  the id was told of another subject
│   ├── Erased         the subject was erased, and nothing told of it is kept
│   ├── OutOfScope     the caller's key does not reach this
│   └── NotFound       no such decision, offer, release or model
├── Conflict           another record came first; decide again
├── Unavailable        the ledger or a store cannot be reached; nothing was decided
│   ├── Unconfirmed    the caller stopped waiting; it may be written
│   ├── Overloaded     more is asked for than can be answered in time; nothing was decided
│   └── TooLate        the time that the caller gave is over; nothing was decided
├── Refused            the data or the rules do not support the request
└── SealBroken         a decision contains a candidate that screening did not permit (a bug: no answer is given)
"""

from collections.abc import Iterable
from dataclasses import dataclass


class BrainError(Exception):
    """Root of every error that the brain raises on purpose; `str()` is one plain line for a person."""


@dataclass(frozen=True)
class Mistake:
    """One mistake in a workspace file: the path relative to the workspace, and the line counted from 1."""

    file: str
    line: int
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.file}:{self.line}: {self.message}{hint}"


class ConfigError(BrainError):
    """All mistakes in workspace files that one pass found."""

    def __init__(self, problems: Iterable[Mistake]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class RequestError(BrainError):
    """A request that cannot be answered; `field` is the JSON path of what is wrong, such as `placements.0.limit`."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field}: {message}")


class RequestReused(RequestError):
    """The id that `field` names was sent with another body."""


class LinkedElsewhere(RequestError):
    """The identifier is, or was at that time, linked to another customer; it must be unlinked there first."""


class WrongState(RequestError):
    """What is asked for cannot follow from the state that a thing is in now."""


class ToldOfAnother(RequestError):
    """An id under which something was told of one subject came with another subject."""


class Erased(RequestError):
    """The subject was erased: nothing that is told of it is kept, and its id is not taken into use again."""


class OutOfScope(RequestError):
    """The caller's key is valid, and its scope does not reach what `field` asks for."""


class NotFound(RequestError):
    """What `field` names does not exist here."""


class Conflict(BrainError):
    """A stream got another record after it was read."""


class Unavailable(BrainError):
    """A store cannot be reached; nothing was written."""


class Unconfirmed(Unavailable):
    """The caller stopped waiting while it was being written, so that it may have been written."""


class Overloaded(Unavailable):
    """More decisions are asked for than can be made in time; nothing was decided."""

    def __init__(self) -> None:
        super().__init__("more decisions are asked for than can be made in time; nothing was decided, ask again later")


class TooLate(Unavailable):
    """The time that the caller gave was over before anything was written; nothing was decided."""

    def __init__(self) -> None:
        super().__init__("the time that the request gave was over before it was decided; nothing was decided")


class TooOften(BrainError):
    """Nothing more of this kind is done for now; the message says when to try again."""


class Refused(BrainError):
    """The data or the rules do not support what was asked for."""


class SealBroken(BrainError):
    """A decision contains a candidate that screening did not permit; the decision is not answered."""
