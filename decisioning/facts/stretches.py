"""The stretches of a visitor: each is a ledger stream of its own, so that what one person did is no one else's.

A device may be shared. When a person is unlinked from a visitor, a new stretch begins, which belongs to whoever is
linked next. So a stretch holds what came unlinked, and then what came while one person was linked; it belongs to that
person, and nothing else that is keyed by a stream (records, contacts, signals, moments) can mix two people.
"""

from functools import lru_cache
from hashlib import sha256


@lru_cache(maxsize=65_536)
def stretch_of(visitor: str, number: int) -> str:
    """Return the stream of a stretch of a visitor, 40 hex characters; the first, 0, is the visitor's own stream.

    :param visitor: the stream that `stream_of` names for the visitor's id
    """
    return visitor if number == 0 else sha256(f"{visitor}.{number}".encode()).hexdigest()[:40]


@lru_cache(maxsize=65_536)
def ends_of(visitor: str) -> str:
    """Return the stream with a record for each stretch of a visitor that ended.

    Its version is the number of the stretch that takes what comes now. It is never erased.
    """
    return sha256(f"{visitor}.ends".encode()).hexdigest()[:40]
