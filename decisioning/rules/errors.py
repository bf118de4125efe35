"""The error of the rule language."""

from collections.abc import Iterable

from decisioning.errors import BrainError
from decisioning.nearest import nearest


class RuleError(BrainError):
    """A rule text that cannot be used.

    `position` is the offset into the text, counted from 0, where the mistake begins. `suggestion` is a phrase that says
    how to correct it, or None.
    """

    def __init__(self, message: str, position: int, suggestion: str | None = None) -> None:
        self.message = message
        self.position = position
        self.suggestion = suggestion
        hint = f"; {suggestion}" if suggestion else ""
        super().__init__(f"{message} (at character {position + 1}){hint}")


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return a phrase that names the closest of `known`, or None if none is close."""
    close = nearest(word, known)
    return f"did you mean {close!r}?" if close else None
