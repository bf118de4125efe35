"""Whether a recorded decision may be given again: only while everything it was permitted by still permits it."""

from typing import Any

from decisioning.consent import permission
from decisioning.decision import Known
from decisioning.release import Release


def still_permitted(record: dict[str, Any], release: Release, known: Known, now_us: int) -> bool:
    """True where every permission that the decision cited holds now, and its subjects were not erased or restricted."""
    subjects = [s for s in (known.person, known.account) if s is not None]
    if any(s.erased or s.restricted for s in subjects):
        return False
    channel = record["request"]["channel"]
    return all(
        permission(known.person, release.purposes[p], channel, release.catalogue.bases, now_us).allowed
        for p in record["permissions"]
    )
