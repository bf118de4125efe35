"""Ids that are hashes of content."""

import hashlib
from collections.abc import Iterable


def content_id(parts: Iterable[bytes]) -> str:
    """Return `sha256:<hex>` over the concatenated parts: the id of a release, or of the data a model saw."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return f"sha256:{state.hexdigest()}"
