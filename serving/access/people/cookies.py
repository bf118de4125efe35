"""The cookies of people who sign in: what they are called, how they are set, and how they are read."""

from collections.abc import Iterable
from typing import Final, Literal

from serving.access.people.signing import CookieSigner

Kind = Literal["session", "form", "attempt", "device", "leaving"]
"""`session`: who is signed in. `form`: which browser a form was made for. `attempt`: a sign-in that a provider is to
finish. `device`: a browser in which a person signed in with a password before. `leaving`: a sign-out that a provider
is to finish."""
_KINDS: Final[dict[Kind, tuple[str, int | None]]] = {
    "session": ("Lax", None),
    "form": ("Strict", None),
    "attempt": ("Lax", 600),
    "device": ("Strict", 365 * 86_400),
    "leaving": ("Lax", 600),
}
"""Its SameSite, and for how many seconds a browser keeps it; None: until the browser is closed."""
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
        same_site, kept_s = _KINDS[kind]
        lives_s = kept_s if value else 0
        age = "" if lives_s is None else f"; Max-Age={lives_s}"
        secure = "; Secure" if self._secure else ""
        return f"{self._prefix}{kind}={value}; Path=/; HttpOnly; SameSite={same_site}{age}{secure}"
