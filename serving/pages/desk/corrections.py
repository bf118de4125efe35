"""Corrections at the desk: what was heard wrong of a mood, a wish or what the customer wants, by one click."""

from functools import partial
from typing import Any, Final, cast

from decisioning.catalogue.release import Release
from decisioning.errors import RequestError
from decisioning.spec import worded
from features.messages.hearing.corrections import CorrectedField, FieldValue
from features.messages.trained import CLASSES
from serving.pages.desk.acts import UNDO_US, once_of
from serving.pages.desk.site import DESK, Desk, Visitor
from serving.people.helping import hearing

Json = dict[str, Any]
_NOTHING: Final = "none"
_YES_OR_NO: Final = {"yes": True, "no": False}


def correctable(release: Release, heard: Json | None, locale: str) -> Json | None:
    """Return what may be corrected of what was heard, each with the other values that it may have.

    `heard`: the fields of which one click says that they are not so, with the value that each has then.
    """
    if heard is None:
        return None
    intents = [(intent.id, worded(intent.title, locale)) for intent in release.catalogue.intents]
    others = [(name, title) for name, title in intents if name != heard["intent"]]
    said = {field: "no" for field in hearing.ASKS if heard[field]}
    if heard["mood"] not in (None, "neutral"):
        said["sentiment"] = "neutral"
    if heard["intent"] is not None:
        said["intent"] = _NOTHING
    return {
        "event": heard["event"],
        "heard": said,
        "mood": heard["mood"],
        "moods": [name for name in CLASSES if name != heard["mood"]] if heard["mood"] is not None else [],
        "intents": [*others, *([(_NOTHING, None)] if heard["intent"] is not None else [])] if intents else [],
        "asks": [(field, "no" if heard[field] else "yes") for field in hearing.ASKS],
    }


async def correct(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Record that something was heard wrong; it changes what the desk shows, and no rule."""
    once, field = once_of(fields), cast(CorrectedField, fields.get("field", ""))
    wrong = hearing.HeardWrong(fields.get("event", ""), field, _value(field, fields.get("is", "")))
    work = partial(hearing.correct, desk.brain, handover_id, wrong, once, visitor.doer, UNDO_US)
    differs = await desk.brain.pools.short.run(work)
    return f"{DESK}/{handover_id}?done={'corrected' if differs else 'shown-so'}&once={once}"


def _value(field: str, value: str) -> FieldValue:
    if field in hearing.ASKS:
        if value not in _YES_OR_NO:
            raise RequestError("is", "choose yes or no")
        return _YES_OR_NO[value]
    return None if field == "intent" and value == _NOTHING else value
