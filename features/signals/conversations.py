"""Earlier messages of a conversation, from the log of signals."""

from typing import Final

from pydantic_core import from_json
from sqlalchemy import bindparam, select

from features.ledger import Ledger
from features.ledger.tables import SIGNALS

_MAX_EVENTS: Final = 200
_LATEST = (
    select(SIGNALS.c.type, SIGNALS.c.occurred_us, SIGNALS.c.body)
    .where(SIGNALS.c.stream == bindparam("stream"))
    .order_by(SIGNALS.c.version.desc(), SIGNALS.c.seq.desc())
    .limit(_MAX_EVENTS)
)


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
