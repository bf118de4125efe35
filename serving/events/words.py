"""Which words of messages are held for the agent who helps, and until when."""

from collections.abc import Mapping
from typing import Any

from decisioning.times import HOUR_US
from features.conversations import words
from features.conversations.words import Utterance
from features.handovers.calls import conversation_key
from features.ledger import Ledger
from features.messages.text import stored
from features.signals.event import Event
from serving.brain.runtime import Brain
from serving.events.message_consents import MessageConsents


def held(
    ledger: Ledger, event: Event, data: Mapping[str, Any], consents: MessageConsents, before_h: float
) -> Utterance | None:
    """Return the words of a valid message if they are held, else None.

    They are while a handover of its conversation is open, and `before_h` hours long if none is.
    """
    conversation, text = data.get("conversation_id"), data.get("text")
    if not (text and isinstance(conversation, str) and consents.serves):
        return None
    kept_here = words.kept_here(ledger, consents.streams, conversation)
    until_us = None if kept_here else event.time_us + round(before_h * HOUR_US)
    if kept_here is False or (until_us is not None and until_us <= ledger.clock()):
        return None
    key, speaker = conversation_key(ledger, conversation), str(data.get("author", "customer"))
    return Utterance(event.key, key, speaker, event.time_us, stored(str(text)), until_us)


def tend(brain: Brain) -> None:
    """Delete the words whose time is over."""
    words.tend(brain.ledger, brain.snapshot.release.catalogue.settings.handover.text_hours)
