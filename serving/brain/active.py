"""Which release serves an environment. Imports little, because Ray's controller asks it too."""

from decisioning.errors import Refused
from features.ledger import Ledger


def active_release(ledger: Ledger, environment: str) -> str:
    """Return the hash of the release that serves `environment`; raises Refused if nothing has been released yet."""
    name = ledger.active(environment)
    if name is None:
        raise Refused(f"nothing is released in {environment} yet: run `brain release`")
    return name
