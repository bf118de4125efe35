"""The cookies of people who sign in: what they are called, how they are set, and how they are read."""

from collections.abc import Iterable
from typing import Final, Literal

from serving.access.people.signing import CookieSigner

Kind = Literal["session", "form", "attempt", "device", "leaving", "me", "me-attempt", "language", "desk-language"]
"""`session`: who is signed in. `form`: which browser a form was made for. `attempt`: a sign-in that a provider is to
finish. `device`: a browser in which a person signed in with a password before. `leaving`: a sign-out that a provider
is to finish. `me`: which customer is at their own page, `me-attempt`: a sign-in of theirs that a provider is to finish,
`language`: in which language; the three go to that page alone.
`desk-language`: in which language people work."""
OWN_PAGE: Final = "/me"
"""The path of the customer's own page."""
_KINDS: Final[dict[Kind, tuple[str, int | None]]] = {
    "session": ("Lax", None),
    "form": ("Strict", None),
    "attempt": ("Lax", 600),
    "device": ("Strict", 365 * 86_400),
    "leaving": ("Lax", 600),
    "me": ("Strict", None),
    "me-attempt": ("Strict", 600),
    "language": ("Strict", None),
    "desk-language": ("Strict", 365 * 86_400),
}
_OF_OWN_PAGE: Final[frozenset[Kind]] = frozenset({"me", "me-attempt", "language"})
"""Its SameSite, and for how many seconds a browser keeps it; None: until the browser is closed."""
Headers = Iterable[tuple[bytes, bytes]]


class Cookies:
    """The cookies of one workspace; browsers send them to every port of a machine, so each has names of its own.

    :param secure: the browser uses TLS
    :param root: the path under which browsers reach the server
    """

    def __init__(self, signer: CookieSigner, *, secure: bool, root: str = "") -> None:
        self._secure, self._place, self._root = secure, signer.place, root

    def read(self, kind: Kind, headers: Headers) -> str | None:
        """Return the value of a cookie that a request sent; None if it sent none, or several of its name."""
        name = self._name(kind)
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
        path = f"{self._root}{OWN_PAGE}" if kind in _OF_OWN_PAGE else "/"
        return f"{self._name(kind)}={value}; Path={path}; HttpOnly; SameSite={same_site}{age}{secure}"

    def _name(self, kind: Kind) -> str:
        """Return the name of a cookie; its prefix has browsers take it from this server alone, and over TLS."""
        prefix = "" if not self._secure else "__Secure-" if kind in _OF_OWN_PAGE else "__Host-"
        return f"{prefix}brain-{self._place}-{kind}"
