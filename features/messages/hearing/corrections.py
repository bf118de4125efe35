"""What of a message may be corrected by a person, and what a corrected message teaches the model that hears.

Bereavement, money trouble, danger and violence are not corrected: what is heard of them stays with the conversation.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, cast

from features.messages.hearing.channels import CHANNELS
from features.messages.trained import CLASSES

CorrectedField = Literal["sentiment", "intent", "wish", "objection", "complaint", "data_request"]
FieldValue = bool | str | None
"""What a message says of a field: null means that it says nothing of it."""
Corrections = Mapping[CorrectedField, FieldValue]
"""The latest correction of each field of one message."""
ORDINARY: Final = "ordinary"
"""The label of a message in which there is nothing to hear."""
_YES_OR_NO: Final = (True, False)
_NULLABLE: Final = ("intent", "data_request")
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
_POLARITY: Final = dict(zip(CLASSES, (-1.0, 0.0, 1.0), strict=True))
_NEUTRAL_WITHIN: Final = 0.2
"""Up to which polarity, up or down, a message counts as neither negative nor positive."""


def misfit(field: CorrectedField, value: object) -> str:
    """Return what is wrong with a value from JSON for a field, empty if nothing is."""
    if field == "intent":
        fits = value is None or (isinstance(value, str) and _INTENT.fullmatch(value))
        return "" if fits else "expected the id of an intent, or null"
    allowed = _VALUES[field]
    if any(value is one or (isinstance(value, str) and value == one) for one in allowed):
        return ""
    return f"expected one of {', '.join(one if isinstance(one, str) else json.dumps(one) for one in allowed)}"


def latest(bodies: Iterable[Mapping[str, Any]]) -> dict[str, dict[CorrectedField, FieldValue]]:
    """Return the latest correction of each field of each message, by the key of its event, without what was undone.

    :param bodies: records of corrections, oldest first
    """
    every = list(bodies)
    undone = {body["undoes"] for body in every if "undoes" in body}
    result: dict[str, dict[CorrectedField, FieldValue]] = {}
    for body in every:
        if "undoes" not in body and body["correction_id"] not in undone:
            result.setdefault(str(body["event"]), {})[cast(CorrectedField, body["field"])] = body["is"]
    return result


def said_of(event: Mapping[str, Any], field: CorrectedField) -> FieldValue:
    """Return what the recorded fields of a message say of a field that may be corrected."""
    if field != "sentiment":
        return cast(FieldValue, event.get(_HEARD_IN.get(field, field), None if field in _NULLABLE else False))
    polarity = float(event.get("sentiment", 0.0))
    return CLASSES[1 + (polarity > _NEUTRAL_WITHIN) - (polarity < -_NEUTRAL_WITHIN)]


def as_corrected(event: Mapping[str, Any], corrections: Corrections) -> dict[str, Any]:
    """Return the recorded fields of a message with what a person said of them in their place."""
    corrected = dict(event)
    for field, value in corrections.items():
        if field == "sentiment":
            corrected |= {"sentiment": _POLARITY[str(value)], "negative": float(value == CLASSES[0])}
        else:
            corrected[_HEARD_IN.get(field, field)] = value
    if "intent" in corrections:
        corrected["intent_confidence"] = 1.0
    return corrected


def mood_of(event: Mapping[str, Any], corrections: Corrections) -> str | None:
    """Return the sentiment that a message was corrected to, None if it was not; of the same arguments as `label_of`."""
    mood = corrections.get("sentiment")
    return mood if isinstance(mood, str) else None


def label_of(event: Mapping[str, Any], corrections: Corrections) -> str | None:
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
