"""Messages in the log of signals: the earlier ones of a conversation, and those of given keys."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic_core import from_json
from sqlalchemy import bindparam, select

from decisioning.errors import Erased, NotFound
from decisioning.facts.signals import MESSAGE_TYPES
from features.ledger import Ledger
from features.ledger.tables import EMPTIED, SIGNALS

_MAX_EVENTS: Final = 200
_LATEST = (
    select(SIGNALS.c.key, SIGNALS.c.type, SIGNALS.c.occurred_us, SIGNALS.c.body)
    .where(SIGNALS.c.stream == bindparam("stream"))
    .order_by(SIGNALS.c.version.desc(), SIGNALS.c.seq.desc())
    .limit(_MAX_EVENTS)
)

_OF_KEY = select(SIGNALS.c.stream, SIGNALS.c.type, SIGNALS.c.body).where(SIGNALS.c.key == bindparam("key"))


class Message(NamedTuple):
    """A recorded message: the stream that has it, and its fields."""

    stream: str
    fields: Mapping[str, Any]


def message_of(ledger: Ledger, key: str, field: str) -> Message:
    """Return the customer's message of a key.

    :param field: the field of a request that named it, for errors
    :raises NotFound: there is none, or it is no longer kept
    :raises Erased: its customer was erased
    """
    rows = ledger.select(_OF_KEY, {"key": key})
    if rows and rows[0].type == EMPTIED:
        raise Erased(field, "its customer was erased")
    if not rows or rows[0].type not in MESSAGE_TYPES:
        raise NotFound(field, "no such message is kept: events are named by their source and id")
    fields = from_json(rows[0].body)
    if fields.get("author", "customer") != "customer":
        raise NotFound(field, "the customer did not write this message, and nothing is heard in what others write")
    return Message(rows[0].stream, fields)


class KeptSignal(NamedTuple):
    """A signal as the log has it: the key of its event, its type, when it happened, and its fields."""

    key: str
    type: str
    at_us: int
    fields: Mapping[str, Any]


def latest_signals(ledger: Ledger, stream: str) -> list[KeptSignal]:
    """Return the latest 200 signals of a stream, the newest first, so that the cost does not grow with the history."""
    rows = ledger.select(_LATEST, {"stream": stream})
    return [KeptSignal(row.key, row.type, row.occurred_us, from_json(row.body)) for row in rows]


def earlier_sentiments(ledger: Ledger, stream: str, type_: str, conversation_id: str, before_us: int) -> list[float]:
    """Return the sentiments of a conversation's messages before a time, oldest first.

    Only the subject's latest 200 events are searched, so that the cost does not grow with the history.
    """
    messages = [
        (row.occurred_us, float(fields["sentiment"]))
        for row in ledger.select(_LATEST, {"stream": stream})
        if row.type == type_ and row.occurred_us < before_us
        if (fields := from_json(row.body)).get("conversation_id") == conversation_id and "sentiment" in fields
    ]
    return [sentiment for _, sentiment in sorted(messages)]
