"""Texts that are kept encrypted in the database, with a key that is not in it."""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from serving.access.people.signing import CookieSigner

_NONCE_BYTES: Final = 12


def sealed(signer: CookieSigner, text: str | None) -> bytes | None:
    """Return a text encrypted; None stays None."""
    if text is None:
        return None
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(signer.key("sealing")).encrypt(nonce, text.encode(), None)


def opened(signer: CookieSigner, kept: bytes | None) -> str | None:
    """Return the text of what `sealed` returned; None for what was not sealed with this key."""
    if kept is None:
        return None
    try:
        return AESGCM(signer.key("sealing")).decrypt(kept[:_NONCE_BYTES], kept[_NONCE_BYTES:], None).decode()
    except (InvalidTag, ValueError):
        return None
