"""Ids that are hashes of content."""

import hashlib
from collections.abc import Iterable


def content_id(parts: Iterable[bytes]) -> str:
    """Return `sha256:<hex>` over the concatenated parts: the id of a release, or of the data a model saw."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return f"sha256:{state.hexdigest()}"


def hashed_uniform(seed: str, name: str | int) -> float:
    """Return a number in [0, 1) that depends on `seed` and `name` alone: 53 bits of SHA-256, the same everywhere."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53
