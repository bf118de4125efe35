"""Passwords: which are taken, and how they are hashed."""

import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from decisioning.errors import Refused

SHORTEST: Final = 12
LONGEST: Final = 256
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""Argon2id as OWASP's least: about 30 ms and 19 MB a try. It runs beside decisions, so no more."""
_NOBODYS: Final = _HASHER.hash("nobody has this password")


def hashed(password: str, name: str) -> str:
    """Return what is kept of a new password; raises Refused if it is too easy to guess."""
    text = _normal(password)
    if not SHORTEST <= len(text) <= LONGEST:
        raise Refused(f"a password has {SHORTEST} to {LONGEST} characters")
    if len(set(text)) < 5 or name.lower() in text.lower():
        raise Refused("the password is easy to guess: use more different characters, and not the name")
    return _HASHER.hash(text)


def is_right(kept: str | None, password: str) -> bool:
    """Tell whether a password is the one that is kept. This takes as long if none is kept (None)."""
    try:
        _HASHER.verify(kept or _NOBODYS, _normal(password[: 2 * LONGEST]))
    except (Argon2Error, InvalidHashError):
        return False
    return kept is not None


def _normal(password: str) -> str:
    """Return a password in one spelling, as keyboards spell the same letter in different ways."""
    return unicodedata.normalize("NFKC", password)
