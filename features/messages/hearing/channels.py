"""Tells which channel an objection is about."""

from typing import Literal

from features.messages.hearing.concepts import concept_names
from features.messages.text import words

Channel = Literal["all", "phone", "email", "sms", "post", "app"]
CHANNELS: tuple[Channel, ...] = ("all", "phone", "email", "sms", "post", "app")
_OF_CONCEPT: dict[str, Channel] = {
    "mailch": "email",
    "smsch": "sms",
    "postch": "post",
    "appch": "app",
    "call": "phone",
    "becalled": "phone",
    "phone": "phone",
}


def channel_of(cleaned: str) -> Channel:
    """Return the one channel that an objection from `clean` names, or `all` if it names none or several."""
    named = {_OF_CONCEPT[name] for word in words(cleaned) for name in concept_names(word) if name in _OF_CONCEPT}
    return named.pop() if len(named) == 1 else "all"
