"""Who made whom: the keys of a workspace, and whoever had them made."""

from decisioning.review.approval import MakerOf
from features.access_keys import read_keys
from features.ledger import Ledger


def read_makers(ledger: Ledger) -> MakerOf:
    """Return the id of each key -> the id of the operating-system user who made it."""
    return {f"key:{key.id}": key.owner for key in read_keys(ledger)}
