"""Whether a recorded decision may be given again: only while everything it was permitted by still permits it."""

from typing import Any

from decisioning.catalogue.release import Release
from decisioning.deciding.engine import permissions_for
from decisioning.facts.forms import Ask, Known, canonical


def still_permitted(record: dict[str, Any], release: Release, known: Known, now_us: int) -> bool:
    """True where every permission that the decision cited holds now, and its subjects were not erased or restricted."""
    subjects = [s for s in (known.person, known.account) if s is not None]
    if any(s.erased or s.restricted for s in subjects):
        return False
    ask = Ask.model_validate_json(canonical(record["request"]))
    allowed = permissions_for(ask, known, release, now_us=now_us)
    return all(allowed[p].allowed for p in record["permissions"])
