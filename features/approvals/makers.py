"""Who made whom: the keys of a workspace and its people, and whoever had them made."""

from decisioning.review.approval import MakerOf
from features.access_keys import read_keys
from features.ledger import Ledger
from features.people import LOCAL, read_people


def read_makers(ledger: Ledger) -> MakerOf:
    """Return the id of each key and local person -> the id of the operating-system user who made it."""
    people = {f"person:{user.id}": user.made_by for user in read_people(ledger) if user.issuer == LOCAL}
    return {**{f"key:{key.id}": key.owner for key in read_keys(ledger)}, **people}
