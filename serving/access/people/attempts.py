"""Sign-ins that an OpenID provider is to finish: each begins in one browser, and is finished there once, and soon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from decisioning.errors import Refused
from features.ledger import Ledger, now_us
from features.people import use_sign_in
from serving.access.files import read_private
from serving.access.people.signing import CookieSigner, new_token
from serving.sign_in_settings import CustomerSignInSettings, SignInSettings

if TYPE_CHECKING:
    from serving.access.people.provider import Confirmation, Provider

AGAIN: Final = "This sign-in is no longer valid. Start again."
_ATTEMPT_US: Final = 600_000_000
"""So long a sign-in with a provider may take."""
Purpose = Literal["attempt", "me-attempt"]
"""What a sign-in is for, which is the kind of its cookie: people of the company, or customers at their own page."""


class Attempts:
    """The sign-ins of one purpose with one provider."""

    def __init__(self, provider: Provider, ledger: Ledger, signer: CookieSigner, purpose: Purpose) -> None:
        self._provider, self._ledger, self._signer, self._purpose = provider, ledger, signer, purpose

    def begin(self, then: str = "") -> tuple[str, str]:
        """Return where a browser goes to sign in, and what it must bring back.

        :param then: a text that is there again when the sign-in is finished
        """
        token = new_token()
        attempt = self._signer.signed(self._purpose, f"{token}.{now_us()}.{then.encode().hex()}")
        return self._provider.address(*self._secrets(token)), attempt

    def finish(self, attempt: str, state: str, code: str) -> tuple[Confirmation, str]:
        """Return what the provider says of who came back from it, and the text that the sign-in began with.

        Raises Refused for what did not begin in this browser, is too old, or came back before; and if the provider does
        not confirm it. Raises Unavailable if the provider does not answer.
        """
        token, began_us, then = self._begun(attempt)
        expected, nonce, verifier = self._secrets(token)
        at_us = now_us()
        in_time = 0 <= at_us - began_us < _ATTEMPT_US
        if state != expected or not code or not in_time:
            raise Refused(AGAIN)
        if not use_sign_in(self._ledger, self._signer.mac("used", token), at_us, at_us - 2 * _ATTEMPT_US):
            raise Refused(AGAIN)
        return self._provider.answer(code, nonce, verifier), then

    def _begun(self, attempt: str) -> tuple[str, int, str]:
        """Return the token of a sign-in, when it began, and its text; raises Refused for what is none."""
        begun = self._signer.verified(self._purpose, attempt)
        if begun is None:
            raise Refused(AGAIN)
        token, began_us, then = begun.split(".")
        return token, int(began_us), bytes.fromhex(then).decode()

    def _secrets(self, token: str) -> tuple[str, str, str]:
        """Return state, nonce and verifier of a sign-in: nobody knows them who does not know the token."""
        state, nonce, verifier = (self._signer.mac(purpose, token) for purpose in ("state", "nonce", "verifier"))
        return state, nonce, verifier * 2


def provider_of(
    settings: SignInSettings | CustomerSignInSettings, root: Path, callback: str, wanted: tuple[str, ...], scope: str
) -> Provider | None:
    """Return the provider of the settings, None if they name none; raises Refused if its secret cannot be read."""
    if settings.issuer is None or settings.client_id is None:
        return None
    from serving.access.people.provider import Provider  # noqa: PLC0415  Authlib takes a third of a second to import

    file = settings.client_secret_file
    secret = None if file is None else read_private(root / file)
    return Provider(settings.issuer, settings.client_id, secret, callback, wanted, scope)
