"""Looks that people took at subjects: who, when, for which purpose.

A look is a record of a stream beside its subject's (`records.looks_of`), so it is chained, sealed by checkpoints and
erased as all records are, and changes nothing that a decision reads. A table finds looks by subject and by who took
them; the append that writes the record writes the row, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.sql import Select

from features.ledger.records import LOOK, Entry, looks_of
from features.ledger.tables import LOOKS, RECORDS

HOUR_US: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """That somebody looked at a subject.

    `subject` is their stream. `who` names a caller, not by a name; `role` is the scope by which they reached it, `what`
    was shown, and `case` is the number of the case that it was for. `ids` names the id that was asked for, and the
    decision that was explained.
    """

    subject: str
    who: str
    role: str
    what: str
    purpose: str
    case: str | None = None
    ids: Mapping[str, str] = field(default_factory=dict)

    def key(self, at_us: int) -> str:
        """Return the key of the one record of such looks in the hour of a time."""
        parts = (self.subject, self.who, self.role, self.what, self.purpose, self.case or "")
        explained = f":{self.ids['decision_id']}" if "decision_id" in self.ids else ""
        return f"look:{':'.join(parts)}{explained}:{at_us // HOUR_US}"

    def entry(self, key: str) -> Entry:
        """Return the record to append under this key."""
        body = {"subject": self.subject, "who": self.who, "role": self.role, "what": self.what, "purpose": self.purpose}
        more = {**self.ids, **({} if self.case is None else {"case": self.case})}
        return Entry(looks_of(self.subject), LOOK, {**body, **more}, None, key=key)


def looks_query(after: int, upto: int, limit: int, streams: Sequence[str], who: str | None) -> Select[Any]:
    """Return the statement that reads the records of looks after one `seq` and up to another, in order.

    :param streams: the subjects; none: all
    :param who: who took them; None: everybody
    """
    looks = select(RECORDS).join(LOOKS, LOOKS.c.seq == RECORDS.c.seq).where(LOOKS.c.seq > after, LOOKS.c.seq <= upto)
    if streams:
        looks = looks.where(LOOKS.c.stream.in_(streams))
    if who is not None:
        looks = looks.where(LOOKS.c.who == who)
    return looks.order_by(LOOKS.c.seq).limit(limit)
