"""The cookies of people who sign in: what they are called, how they are set, and how they are read."""

from collections.abc import Iterable
from typing import Final, Literal

from serving.access.people.signing import CookieSigner

Kind = Literal["session", "form", "attempt", "device"]
"""`session`: who is signed in. `form`: which browser a form was made for. `attempt`: a sign-in that a provider is to
finish. `device`: a browser in which a person signed in with a password before."""
_SAME_SITE: Final[dict[Kind, str]] = {"session": "Lax", "form": "Strict", "attempt": "Lax", "device": "Strict"}
_LIVES_S: Final[dict[Kind, int | None]] = {"session": None, "form": None, "attempt": 600, "device": 365 * 86_400}
"""None: until the browser is closed."""
Headers = Iterable[tuple[bytes, bytes]]


class Cookies:
    """The cookies of one workspace; browsers send them to every port of a machine, so each has names of its own.

    :param secure: the browser uses TLS
    """

    def __init__(self, signer: CookieSigner, *, secure: bool) -> None:
        self._secure = secure
        self._prefix = f"{'__Host-' if secure else ''}brain-{signer.place}-"

    def read(self, kind: Kind, headers: Headers) -> str | None:
        """Return the value of a cookie that a request sent; None if it sent none, or several of its name."""
        name = self._prefix + kind
        pairs = (
            pair.strip().partition("=")
            for header, value in headers
            if header == b"cookie"
            for pair in value.decode("latin-1").split(";")
        )
        values = [value for shown, _, value in pairs if shown == name]
        return values[0] if len(values) == 1 else None

    def set(self, kind: Kind, value: str) -> str:
        """Return the header Set-Cookie that lets the browser keep a cookie; an empty one is removed."""
        lives_s = _LIVES_S[kind] if value else 0
        age = "" if lives_s is None else f"; Max-Age={lives_s}"
        secure = "; Secure" if self._secure else ""
        return f"{self._prefix}{kind}={value}; Path=/; HttpOnly; SameSite={_SAME_SITE[kind]}{age}{secure}"
