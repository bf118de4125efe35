"""Texts that a browser keeps for us, and cannot make or change: they carry a keyed hash of themselves."""

import base64
import hmac
import secrets
from typing import Final

from decisioning.errors import Unavailable
from features.access_keys import FIRST_GENERATION
from serving.settings import Workspace

_MAC_BYTES: Final = 24


SESSIONS: Final = "sessions"
"""The name of the secret that signs cookies, as `brain secret rotate` takes it."""


class CookieSigner:
    """Signs texts with a key of the workspace; what is signed for one purpose says nothing for another."""

    def __init__(self, key: bytes) -> None:
        self._first = self._key = key

    def use(self, generation: int) -> None:
        """Sign with the key of this generation from now on; what another one signed counts no more."""
        derived = hmac.digest(self._first, f"generation:{generation}".encode(), "sha256")
        self._key = self._first if generation == FIRST_GENERATION else derived

    @property
    def place(self) -> str:
        """Eight characters that are the workspace's, whatever the generation of its key."""
        return hmac.digest(self._first, b"key:cookies", "sha256").hex()[:8]

    def mac(self, purpose: str, text: str) -> str:
        """Return the keyed hash of a text, in 32 letters, digits, `-` and `_`."""
        digest = hmac.digest(self._key, f"{purpose}:{text}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:_MAC_BYTES]).decode()

    def key(self, purpose: str) -> bytes:
        """Return 32 bytes that nobody finds without the key."""
        return hmac.digest(self._key, f"key:{purpose}".encode(), "sha256")

    def signed(self, purpose: str, text: str) -> str:
        """Return a text with its keyed hash behind it."""
        return f"{text}.{self.mac(purpose, text)}"

    def verified(self, purpose: str, signed: str) -> str | None:
        """Return the text of what `signed` returned; None for anything else."""
        text, _, shown = signed.rpartition(".")
        return text if self.matches(purpose, text, shown) else None

    def matches(self, purpose: str, text: str, shown: str) -> bool:
        """Tell whether `shown` is the keyed hash of a text."""
        return hmac.compare_digest(self.mac(purpose, text).encode(), shown.encode("utf-8", "replace"))


def signer_of(workspace: Workspace) -> CookieSigner:
    """Return what signs for people of this workspace.

    With the ledger in the workspace, the key is of this very `data` folder: no cookie of the original opens a copy.
    Raises Unavailable if the folder cannot be read.
    """
    place = b""
    if workspace.settings.database.url is None:
        try:
            data = workspace.data.stat()
        except OSError:
            raise Unavailable("the folder `data` of the workspace cannot be read") from None
        place = f":{data.st_dev}:{data.st_ino}".encode()
    return CookieSigner(hmac.digest(workspace.secret(), b"people" + place, "sha256"))


def new_token() -> str:
    """Return 128 random bits as 22 letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(16)
