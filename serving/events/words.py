"""Which words of messages are held for the agent who helps, and until when."""

from collections.abc import Mapping
from typing import Any

from features.conversations import words
from features.conversations.words import Utterance
from features.handovers.calls import conversation_key
from features.ledger import Ledger
from features.messages.text import stored
from features.signals.event import Event
from serving.brain.runtime import Brain
from serving.events.message_consents import MessageConsents


def held(ledger: Ledger, event: Event, data: Mapping[str, Any], consents: MessageConsents) -> Utterance | None:
    """Return the words of a valid message, if a handover of its conversation is open; None if they are not held."""
    conversation, text = data.get("conversation_id"), data.get("text")
    if not (text and isinstance(conversation, str) and consents.serves):
        return None
    if not words.are_held(ledger, consents.streams, conversation):
        return None
    speaker = str(data.get("author", "customer"))
    return Utterance(event.key, conversation_key(ledger, conversation), speaker, event.time_us, stored(str(text)))


def tend(brain: Brain) -> None:
    """Delete the words whose time is over."""
    words.tend(brain.ledger, brain.snapshot.release.catalogue.settings.handover.text_hours)
