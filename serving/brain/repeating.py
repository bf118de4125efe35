"""Whether a recorded decision may be returned again for a repeated request."""

from typing import Any

from decisioning.catalogue.release import Release
from decisioning.deciding.screening import permissions_for
from decisioning.facts.forms import Ask, Known, canonical


def still_permitted(record: dict[str, Any], release: Release, known: Known, now_us: int) -> bool:
    """Tell whether every permission that the decision cited still holds.

    False if one of its subjects has been erased or restricted since.
    """
    subjects = [s for s in (known.person, known.account) if s is not None]
    if any(s.erased or s.restricted for s in subjects):
        return False
    ask = Ask.model_validate_json(canonical(record["request"]))
    permissions = permissions_for(ask, known, release, now_us=now_us)
    return all(permissions[p].allowed for p in record["permissions"])
