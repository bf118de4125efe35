"""What of a message may be corrected by a person, and what a corrected message teaches the model that hears.

Bereavement, money trouble, danger and violence are not corrected: what is heard of them stays with the conversation.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from features.messages.hearing.channels import CHANNELS
from features.messages.trained import CLASSES

CorrectedField = Literal["sentiment", "intent", "wish", "objection", "complaint", "data_request"]
FieldValue = bool | str | None
"""What a message says of a field: null means that it says nothing of it."""
ORDINARY: Final = "ordinary"
"""The label of a message in which there is nothing to hear."""
_YES_OR_NO: Final = (True, False)
_INTENT: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VALUES: Final[Mapping[CorrectedField, tuple[FieldValue, ...]]] = {
    "sentiment": CLASSES,
    "wish": _YES_OR_NO,
    "objection": (*_YES_OR_NO, *CHANNELS),
    "complaint": _YES_OR_NO,
    "data_request": ("access", "erasure", None),
}
_HEARD_IN: Final[Mapping[CorrectedField, str]] = {
    "wish": "wants_person",
    "objection": "objection",
    "complaint": "complaint",
    "data_request": "data_request",
}
"""Each field that is heard, and the field of the event that holds what was heard."""


def misfit(field: CorrectedField, value: object) -> str:
    """Return what is wrong with a value from JSON for a field, empty if nothing is."""
    if field == "intent":
        fits = value is None or (isinstance(value, str) and _INTENT.fullmatch(value))
        return "" if fits else "expected the id of an intent, or null"
    allowed = _VALUES[field]
    if any(value is one or (isinstance(value, str) and value == one) for one in allowed):
        return ""
    return f"expected one of {', '.join(one if isinstance(one, str) else json.dumps(one) for one in allowed)}"


def mood_of(event: Mapping[str, Any], corrections: Mapping[CorrectedField, FieldValue]) -> str | None:
    """Return the sentiment that a message was corrected to, None if it was not; of the same arguments as `label_of`."""
    mood = corrections.get("sentiment")
    return mood if isinstance(mood, str) else None


def label_of(event: Mapping[str, Any], corrections: Mapping[CorrectedField, FieldValue]) -> str | None:
    """Return the one kind that a corrected message is an example of, `ORDINARY` for none.

    None if it teaches nothing: what it says is not heard by this model, it says several things, or somebody in it
    needs care, of which no kind is recorded.

    :param event: the recorded fields of the message
    :param corrections: the latest correction of each field
    """
    corrected = {field: corrections[field] for field in _HEARD_IN if field in corrections}
    if not corrected or event.get("needs_care"):
        return None
    said = {field: corrected.get(field, event.get(name)) for field, name in _HEARD_IN.items()}
    kinds = [str(value) if field == "data_request" else field for field, value in said.items() if value]
    if len(kinds) > 1:
        return None
    return kinds[0] if kinds else ORDINARY
