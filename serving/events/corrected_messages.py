"""Corrected messages as labelled rows to train on: those whose text is kept, with consent that holds now."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from decisioning.catalogue.release import Release
from decisioning.errors import RequestError
from features.ledger import Ledger
from features.ledger.records import CORRECTION
from features.messages.hearing.corrections import Corrections, latest
from features.messages.language import Language, detect
from features.messages.text import clean
from features.signals.conversations import Message, message_of
from features.signals.intake import Subject
from serving.events.message_consents import KEEP_TEXT, consents_for

_PAGE = 1_000
LabelOf = Callable[[Mapping[str, Any], Corrections], str | None]
"""Returns what a message teaches, from its recorded fields and its corrections; None for nothing."""


@dataclass(slots=True)
class CorrectedMessages:
    """`labels`: text -> what it is an example of. `only_counted`: other messages that were corrected."""

    labels: dict[str, str] = field(default_factory=dict)
    only_counted: int = 0

    def by_language(self) -> dict[Language | None, dict[str, str]]:
        """Return the labels of the texts of each language, None for those of which it cannot be told."""
        parts: dict[Language | None, dict[str, str]] = {}
        for text, label in self.labels.items():
            parts.setdefault(detect(clean(text)), {})[text] = label
        return parts


def corrected_messages(ledger: Ledger, release: Release, at_us: int, label_of: LabelOf) -> CorrectedMessages:
    """Return what corrected messages teach; of several corrections of a field the latest counts."""
    result = CorrectedMessages()
    for key, corrections in latest(_bodies(ledger, at_us)).items():
        message = _message(ledger, key)
        text = None if message is None else message.fields.get("text")
        label = None if message is None or not text else label_of(message.fields, corrections)
        if message is not None and label is not None and _may_be_kept(ledger, release, message, at_us):
            result.labels[str(text)] = label
        else:
            result.only_counted += 1
    return result


def _bodies(ledger: Ledger, at_us: int) -> Iterator[Mapping[str, Any]]:
    """Yield what was corrected, without what whoever did it may still undo."""
    after = 0
    while records := ledger.scan([CORRECTION], after, _PAGE):
        bodies = (record.body for record in records if record.body is not None)
        yield from (body for body in bodies if body.get("undoable_us", at_us) <= at_us)
        after = records[-1].seq


def _message(ledger: Ledger, key: str) -> Message | None:
    """Return the message of a key, None if it is not kept any more."""
    try:
        return message_of(ledger, key, "event_id")
    except RequestError:
        return None


def _may_be_kept(ledger: Ledger, release: Release, message: Message, at_us: int) -> bool:
    """Tell whether everybody behind a message lets its text be kept now."""
    subject = Subject(message.stream, "customer_id", "")
    return KEEP_TEXT in consents_for(ledger, release, subject, message.fields.get("channel_kind"), at_us).granted
