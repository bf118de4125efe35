"""How the person who helps corrects what was heard in a conversation: its mood, what the customer wants or asks for.

A correction changes what is shown of the conversation, and no rule. It can be undone for a while, and teaches nothing
before that is over.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from decisioning.errors import RequestError
from decisioning.facts.signals import UNKNOWN_INTENT
from features.ledger import Duplicate, Entry, Record, now_us
from features.ledger.records import CORRECTION
from features.messages.hearing.corrections import CorrectedField, FieldValue, misfit, said_of
from features.signals.conversations import KeptSignal, message_of
from serving.access.looks import Doer
from serving.brain.runtime import Brain
from serving.people.handovers import row_of
from serving.people.package import HeardMessages, heard

CORRECTED: Final[tuple[CorrectedField, ...]] = ("sentiment", "intent", "wish", "complaint")
"""What may be corrected in a conversation."""
ASKS: Final[tuple[CorrectedField, ...]] = ("wish", "complaint")
"""Those that are said or not."""


@dataclass(frozen=True, slots=True)
class HeardWrong:
    """What a person says of a conversation: `event` is the key of the newest message that they saw."""

    event: str
    field: CorrectedField
    is_: FieldValue


def correct(brain: Brain, handover_id: str, wrong: HeardWrong, once: str, by: Doer, undoable_us: int) -> bool:
    """Record what was heard wrong, once for each `once`; return whether it differs from what is shown.

    :param undoable_us: for how long it can be undone
    :raises RequestError: it cannot be corrected like that
    """
    if brain.ledger.lookup(_key(once, 0)) is not None:
        return True
    conversation = heard(brain, row_of(brain, handover_id))
    _check(brain, conversation, wrong)
    said = {"field": wrong.field, "is": wrong.is_, "handover_id": handover_id, **by.fields}
    entries = list[Entry]()
    for message in _concerned(conversation, wrong):
        was, name = said_of(message.fields, wrong.field), _id(once, len(entries))
        body = {**said, "was": was, "correction_id": name, "event": message.key, "undoable_us": now_us() + undoable_us}
        stream = message_of(brain.ledger, message.key, "event").stream
        entries += [] if was == wrong.is_ else [Entry(stream, CORRECTION, body, None, key=f"{CORRECTION}:{name}")]
    with suppress(Duplicate):
        brain.ledger.append(entries) if entries else None
    return len(entries) > 0


def _check(brain: Brain, conversation: HeardMessages, wrong: HeardWrong) -> None:
    if wrong.field not in CORRECTED or (problem := misfit(wrong.field, wrong.is_)):
        raise RequestError("field", "this cannot be corrected here" if wrong.field not in CORRECTED else problem)
    if wrong.field == "sentiment" and not conversation.mood_read:
        raise RequestError("field", "the mood may not be read, so nothing of it is corrected")
    intents = {intent.id for intent in brain.snapshot.release.catalogue.intents}
    if wrong.field == "intent" and wrong.is_ is not None and wrong.is_ not in intents:
        raise RequestError("is", "the catalogue has no such intent; open the page again")


def _concerned(conversation: HeardMessages, wrong: HeardWrong) -> list[KeptSignal]:
    """Return the messages that a correction is about: the one that is shown, or all that say what is not so."""
    seen = _until(conversation, wrong.event)
    if wrong.field in ASKS:
        return [one for one in seen if said_of(one.fields, wrong.field)] if not wrong.is_ else seen[-1:]
    bearing = [one for one in seen if _bears(one, wrong.field)]
    return bearing[-1:] or (seen[-1:] if wrong.field == "intent" else [])


def _until(conversation: HeardMessages, event: str) -> list[KeptSignal]:
    keys = [one.key for one in conversation.messages]
    if event not in keys:
        raise RequestError("event", "this message is not shown any more; open the page again")
    return list(conversation.messages[: keys.index(event) + 1])


def _bears(message: KeptSignal, field: CorrectedField) -> bool:
    if field == "intent":
        return bool(message.fields.get("intent", UNKNOWN_INTENT) != UNKNOWN_INTENT)
    return "sentiment" in message.fields


def undo(brain: Brain, once: str, by: Doer) -> bool | None:
    """Undo what was corrected by a click; return whether there was time left, None if it corrected nothing."""
    records = list(_records(brain, once))
    if not records:
        return None
    if any((record.body or {}).get("undoable_us", 0) < now_us() for record in records):
        return False
    with suppress(Duplicate):
        brain.ledger.append([_undone(record, by) for record in records])
    return True


def _undone(record: Record, by: Doer) -> Entry:
    body = record.body or {}
    kept = {name: body.get(name) for name in ("event", "field", "handover_id")}
    name = f"undo-{body['correction_id']}"
    said = {**kept, "correction_id": name, "undoes": body["correction_id"], **by.fields}
    return Entry(record.stream, CORRECTION, said, None, key=f"{CORRECTION}:{name}")


def _records(brain: Brain, once: str) -> Iterator[Record]:
    for number in count():
        record = brain.ledger.lookup(_key(once, number))
        if record is None:
            return
        yield record


def _id(once: str, number: int) -> str:
    return f"desk-{once}-{number}"


def _key(once: str, number: int) -> str:
    return f"{CORRECTION}:{_id(once, number)}"


def shown(brain: Brain, row: Any) -> dict[str, Any] | None:
    """Return what is heard in the conversation of a handover and may be corrected, None if nothing was said in it."""
    conversation = heard(brain, row)
    if not conversation.messages:
        return None
    messages = [one.fields for one in conversation.messages]
    moods = [said_of(one, "sentiment") for one in messages if "sentiment" in one] if conversation.mood_read else []
    wants = [one["intent"] for one in messages if one.get("intent", UNKNOWN_INTENT) != UNKNOWN_INTENT]
    asked: dict[str, Any] = {field: any(said_of(one, field) for one in messages) for field in ASKS}
    return {
        "event": conversation.messages[-1].key,
        "mood": moods[-1] if moods else None,
        "intent": wants[-1] if wants else None,
        **asked,
    }
