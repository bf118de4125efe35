"""Hashes that make a stream tamper-evident and its bodies erasable.

A body's hash is salted, so that once body and salt are destroyed nothing can be guessed from it, while the chain over
the hashes still verifies. Parts are length-prefixed: no two different records have the same bytes to hash.
"""

import os
from hashlib import sha256

SALT_BYTES = 16


def new_salt() -> bytes:
    """16 bytes from the operating system; not an input of any decision."""
    return os.urandom(SALT_BYTES)


def genesis(stream: str) -> bytes:
    """What the first record of a stream links to: a record moved to another stream no longer verifies."""
    return sha256(b"stream:" + stream.encode()).digest()


def hash_body(salt: bytes, body: bytes) -> bytes:
    """H(salt, body); the salt's length is fixed."""
    return sha256(salt + body).digest()


def link(
    previous: bytes, kind: str, at_us: int, occurred_us: int, body_hash: bytes, keys: bytes | None = None
) -> bytes:
    """H(previous hash, kind, recorded, occurred, body hash, keys); without `keys`, as records from before had it."""
    times = (at_us.to_bytes(8, "big", signed=True), occurred_us.to_bytes(8, "big", signed=True))
    parts = (previous, kind.encode(), *times, body_hash, *(() if keys is None else (keys,)))
    return sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
