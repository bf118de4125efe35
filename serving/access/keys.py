"""How a key looks, how it is made, and how the one that a request shows is found among those that are kept."""

import hmac
import re
import secrets
import string
import zlib
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

from features.access_keys import AccessKey

PREFIX: Final = "brn_"
"""Scanners for leaked secrets find a key by it and by the last six characters, which are a checksum of the rest."""
_ALPHABET: Final = string.digits + string.ascii_letters
_ID_END, _SECRET_END, _LENGTH = 12, 46, 52
_FORM: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_LENGTH - len(PREFIX)}}}")
_SALT_BYTES: Final = 16
_NO_KEY: Final = AccessKey(
    id="", scope="", name="", owner="", salt=bytes(_SALT_BYTES), hash=b"", created_us=0, revoked_us=0
)
_NO_TEXT: Final = "-" * _LENGTH


def new_key_text() -> str:
    """Return a new key: the prefix, an id of 8 characters, 34 characters of secret (202 bits), and a checksum of 6."""
    body = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_END - len(PREFIX)))
    return body + _checksum(body)


def is_key_text(text: str) -> bool:
    """Tell whether a text has the form of a key, with the right checksum."""
    return _FORM.fullmatch(text) is not None and text[_SECRET_END:] == _checksum(text[:_SECRET_END])


def kept_key(text: str, scope: str, name: str, owner: str, now_us: int, **limits: Any) -> AccessKey:
    """Return what is kept of a new key; `limits`: `expires_us`, `issues` and `channels`, as of an AccessKey."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return AccessKey(
        id=text[len(PREFIX) : _ID_END],
        scope=scope,
        name=name,
        owner=owner,
        salt=salt,
        hash=_hashed(text, salt),
        created_us=now_us,
        **limits,
    )


class Keyring:
    """The keys of a workspace as they were when they were read."""

    def __init__(self, keys: Iterable[AccessKey]) -> None:
        self._keys = {key.id: key for key in keys}

    def find(self, text: str, now_us: int) -> AccessKey | None:
        """Return the valid key of this text, or None.

        A wrong key costs as much time as a right one: something is hashed and compared for each.
        """
        shown = text if len(text) == _LENGTH and text.isascii() else _NO_TEXT
        key = self._keys.get(shown[len(PREFIX) : _ID_END], _NO_KEY)
        is_right = hmac.compare_digest(_hashed(shown, key.salt), key.hash)
        return key if is_right and key.is_valid(now_us) else None

    def is_valid(self, key_id: str, now_us: int) -> bool:
        """Tell whether the key of this id is valid."""
        return self._keys.get(key_id, _NO_KEY).is_valid(now_us)


def _hashed(text: str, salt: bytes) -> bytes:
    """Return the salted hash of a key. One round is enough, as its secret is random and longer than can be guessed."""
    return blake2b(text.encode(), key=salt, digest_size=32).digest()


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    while len(digits) < _LENGTH - _SECRET_END:
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
