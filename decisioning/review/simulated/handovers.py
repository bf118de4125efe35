"""Whether a recorded decision would have called a person under another release. Pure."""

from collections.abc import Mapping
from typing import Any

from decisioning.catalogue.actions import EMOTION
from decisioning.catalogue.release import Release
from decisioning.deciding.consent import Permission
from decisioning.deciding.ethics import mood


def calls_a_person(release: Release, recorded: Mapping[str, Any]) -> bool:
    """Tell whether a release calls a person for a recorded decision, by the facts and permissions that it served.

    What the release reads and the record does not hold is unknown. Nothing counts as an outcome of the past.
    """
    permitted = Permission(EMOTION in recorded["permissions"], None, "")
    permissions = {EMOTION: permitted} if EMOTION in release.purposes else {}
    moment = recorded["request"].get("moment")
    return mood(release, recorded["facts"], lambda *_: 0, permissions, moment).handover is not None
