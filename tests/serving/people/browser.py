"""A browser without scripts: it keeps cookies, follows what the server sends it to, and fills in forms."""

import html
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tests.serving.workspaces import Client

Answer = tuple[int, dict[str, str], str]
FORM = "application/x-www-form-urlencoded"
_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


class Browser:
    """A browser of one person, at one process; `at` another process it keeps its cookies."""

    def __init__(self, client: Client, **cookies: str) -> None:
        self._client = client.of_scope(None)
        self.cookies = dict(cookies)
        self.set: list[str] = []
        """The headers Set-Cookie of the last answer."""

    def at(self, client: Client) -> "Browser":
        """Return this browser, at another process of the same server."""
        other = Browser(client)
        other.cookies = self.cookies
        return other

    def get(self, path: str, **headers: str) -> Answer:
        """Return status, headers and text of a page."""
        return self._ask("GET", path, None, accept="text/html", **headers)

    def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Answer:
        """Return the answer to a form that is sent as it stands."""
        body = urlencode(fields).encode()
        return self._ask("POST", path, body, **{"accept": "text/html", "content_type": FORM, **headers})

    def api(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Return the answer to what a script of a page asks."""
        return self._ask(method, path, body, **{"sec_fetch_site": "same-origin", **headers})

    def fields(self, path: str) -> dict[str, str]:
        """Return the hidden fields of the form of a page."""
        return {name: html.unescape(value) for name, value in _FIELD.findall(self.get(path)[2])}

    def sign_in(self, name: str, password: str, path: str = "/sign-in") -> Answer:
        """Fill in the form of signing in."""
        return self.post("/sign-in", {**self.fields(path), "name": name, "password": password})

    def sign_out(self) -> Answer:
        """Press the button on the page that says who is signed in."""
        return self.post("/sign-out", self.fields("/sign-in"))

    @property
    def csrf(self) -> str:
        """The token of the session that a page holds for its scripts."""
        return self.fields("/sign-in")["csrf"]

    def _ask(self, method: str, path: str, body: Any, **headers: str) -> Answer:
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        status, answered, content = self._client.raw(method, path, body, **headers)
        self.set = answered.get("set-cookie", "").splitlines()
        for cookie in self.set:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        return status, answered, content.decode()
