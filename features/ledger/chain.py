"""Hashes that make a stream tamper-evident and its bodies erasable.

A body's hash is salted: once body and salt are destroyed, nothing can be guessed from the hash, and the chain over the
hashes still verifies. Parts are length-prefixed, so that different records never hash the same bytes.
"""

import os
from hashlib import sha256

SALT_BYTES = 16


def new_salt() -> bytes:
    """Return 16 random bytes from the operating system. No decision depends on them."""
    return os.urandom(SALT_BYTES)


def genesis_hash(stream: str) -> bytes:
    """Return the hash that the first record of a stream links to; a record moved to another stream does not verify."""
    return sha256(b"stream:" + stream.encode()).digest()


def hash_body(salt: bytes, body: bytes) -> bytes:
    """Return H(salt, body). The salt has a fixed length."""
    return sha256(salt + body).digest()


def record_hash(
    previous: bytes, kind: str, at_us: int, occurred_us: int, body_hash: bytes, keys: bytes | None = None
) -> bytes:
    """Return H(previous hash, kind, at_us, occurred_us, body hash, keys).

    :param keys: those under which the record is found; None for records that were written before the hash covered them
    """
    times = (at_us.to_bytes(8, "big", signed=True), occurred_us.to_bytes(8, "big", signed=True))
    parts = (previous, kind.encode(), *times, body_hash, *(() if keys is None else (keys,)))
    return sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
