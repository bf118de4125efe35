"""Looks at customers whom a person does not help now: for a stated purpose, a few an hour, shown to leads.

The record of the look is what lets the person see the customer, until an hour after it was stated.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import bindparam, select

from decisioning.errors import RequestError, TooOften
from features.ledger import now_us
from features.ledger.records import reason_of
from features.ledger.tables import LOOKS, RECORDS
from serving.access.looks import Looker, record_looks
from serving.access.table import TABLE
from serving.brain.runtime import Brain

MOST_AN_HOUR: Final = 10
"""How many customers one person may look at within an hour for stated purposes."""
STATED_PURPOSES: Final = tuple(
    name
    for name, purpose in TABLE.purposes.items()
    if not {"agent", "lead", "operate", "privacy"} & set(purpose.default_of)
)
"""What may be stated of those who do not help the customer now; whoever helps them states nothing."""
CASE: Final = re.compile(r"[0-9]{1,12}")
"""The number of a case."""
_HOUR_US: Final = 3_600_000_000
STATED_REASONS: Final = tuple(
    reason_of({"role": role, "purpose": name})
    for name, purpose in TABLE.purposes.items()
    for role in TABLE.scopes
    if role not in purpose.default_of
)
"""The reasons of looks for a purpose that the caller stated, and not for the one of their role."""
_OWN: Final = (
    select(RECORDS)
    .join(LOOKS, LOOKS.c.seq == RECORDS.c.seq)
    .where(
        LOOKS.c.who == bindparam("who"),
        LOOKS.c.reason.in_(STATED_REASONS),
        LOOKS.c.at_us > bindparam("since"),
        RECORDS.c.body.is_not(None),
    )
    .order_by(LOOKS.c.at_us.desc())
)


def state_look(brain: Brain, looker: Looker, stream: str, ids: Mapping[str, str]) -> None:
    """Record that somebody looks at a customer for the purpose that they stated.

    :raises RequestError: the purpose is none that may be stated here
    :raises TooOften: they looked at MOST_AN_HOUR customers within the hour
    """
    if looker.purpose not in STATED_PURPOSES:
        raise RequestError("purpose", f"expected one of: {', '.join(STATED_PURPOSES)}")
    seen = {str(body["subject"]) for body in _stated(brain, looker.who)}
    if stream not in seen and len(seen) >= MOST_AN_HOUR:
        raise TooOften(
            f"you looked at {MOST_AN_HOUR} customers within the hour for stated reasons: wait, or ask a lead"
        )
    record_looks(brain.ledger, [looker.at(stream, ids)])


def stated_purpose(brain: Brain, who: str, stream: str) -> str | None:
    """Return the purpose for which somebody looks at a customer, as they stated it within the hour; None without."""
    for body in _stated(brain, who):
        if body["subject"] == stream:
            case = body.get("case")
            return str(body["purpose"]) if case is None else f"{body['purpose']} {case}"
    return None


def _stated(brain: Brain, who: str) -> list[dict[str, Any]]:
    rows = brain.ledger.select(_OWN, {"who": who, "since": now_us() - _HOUR_US})
    return [brain.ledger.record_of(row).body or {} for row in rows]
