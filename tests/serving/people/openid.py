"""An OpenID provider that runs in this process: code flow with PKCE and a client secret, over real HTTP.

It follows the standard, unless a test lets it lie. (A provider of the package index was tried: it does not check PKCE,
and lies about nothing.)
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlparse

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "brain", "s3cr/et of the+client"
Json = dict[str, Any]


class OpenId:
    """A provider with one person at the keyboard: `claims` are theirs, `lies` go into ID tokens in place of the truth.

    `is_down`: it answers nothing but 503. `allows` is False: the person is not let in. `is_signed_in`: it knows the
    person, who is not asked again. `back` is the only place to which it sends a browser that it signed out.
    """

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.claims: Json = {"sub": "u-1", "name": "Ann de Vries", "groups": ["agents"]}
        self.lies: Json = {}
        self.key = self.signing_key = RSAKey.generate_key(2048, {"kid": "k-1", "use": "sig", "alg": "RS256"})
        self.is_down, self.allows, self.gives_refresh_tokens = False, True, True
        self.is_signed_in, self.has_sign_out = False, True
        self.back = "http://localhost:8000/sign-out"
        self.requests: list[str] = []
        self._codes: dict[str, Json] = {}
        self._refresh_tokens: set[str] = set()
        self._access_tokens: set[str] = set()

    def answer(self, method: str, target: str, headers: Any, body: str) -> tuple[int, Json | str]:
        """Return status, and JSON or the address of a redirect."""
        path, query = urlparse(target).path, _fields(urlparse(target).query)
        self.requests.append(path)
        match "DOWN" if self.is_down else method, path:
            case "DOWN", _:
                return 503, {"error": "temporarily_unavailable"}
            case "GET", "/.well-known/openid-configuration":
                return 200, self._metadata()
            case "GET", "/jwks":
                return 200, KeySet([self.key]).as_dict(private=False)
            case "GET", "/authorize" | "/leave":
                return 302, (self._authorize if path == "/authorize" else self._leave)(query)
            case "POST", "/token":
                return self._token(headers, _fields(body))
        shown = headers.get("Authorization", "").removeprefix("Bearer ")
        return (200, self.claims) if shown in self._access_tokens else (401, {"error": "invalid_token"})

    def revoke(self) -> None:
        """Forget all tokens: the person signed out, or was locked out, at the provider."""
        self._refresh_tokens.clear()
        self._access_tokens.clear()

    def _metadata(self) -> Json:
        places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        told = {name: f"{self.issuer}/{place}" for name, place in places.items()}
        if self.has_sign_out:
            told["end_session_endpoint"] = f"{self.issuer}/leave?ui=en"
        return {"issuer": self.issuer, "userinfo_endpoint": f"{self.issuer}/userinfo", **told}

    def _authorize(self, query: Json) -> str:
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT)
        assert query["code_challenge_method"] == "S256"
        back = {"state": query["state"]}
        if not self.allows:
            return f"{query['redirect_uri']}?{urlencode({**back, 'error': 'access_denied'})}"
        self.is_signed_in = True
        code = secrets.token_urlsafe(8)
        self._codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({**back, 'code': code})}"

    def _leave(self, query: Json) -> str:
        """Sign the person out; return where they go, which is a place that was told for it beforehand."""
        assert (query.pop("client_id"), query.pop("ui")) == (CLIENT, "en")
        assert query.keys() == {"post_logout_redirect_uri", "state"}
        assert query["post_logout_redirect_uri"] == self.back
        self.is_signed_in = False
        self.revoke()
        return f"{query['post_logout_redirect_uri']}?{urlencode({'state': query['state']})}"

    def _token(self, headers: Any, form: Json) -> tuple[int, Json]:
        basic = base64.b64decode(headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if [unquote(part) for part in basic.split(":")] != [CLIENT, SECRET] and basic != f"{CLIENT}:{SECRET}":
            return 401, {"error": "invalid_client"}
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self._refresh_tokens:
                return 400, {"error": "invalid_grant"}
            self._refresh_tokens.discard(form["refresh_token"])
            return 200, self._tokens({})
        asked = self._codes.pop(form["code"], None)
        if asked is None or asked["redirect_uri"] != form["redirect_uri"] or not _proves(asked, form):
            return 400, {"error": "invalid_grant"}
        return 200, self._tokens({"nonce": asked["nonce"]})

    def _tokens(self, more: Json) -> Json:
        now_s = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, **self.claims, **more}
        header = {"alg": "RS256", "kid": self.signing_key.kid}
        told = {name: value for name, value in {**claims, **self.lies}.items() if value is not None}
        access, refresh = secrets.token_urlsafe(8), secrets.token_urlsafe(8)
        self._access_tokens.add(access)
        tokens = {"access_token": access, "token_type": "Bearer", "expires_in": 300}
        if self.gives_refresh_tokens:
            self._refresh_tokens.add(refresh)
            tokens["refresh_token"] = refresh
        return {**tokens, "id_token": jwt.encode(header, told, self.signing_key)}


def _proves(asked: Json, form: Json) -> bool:
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    return bool(asked["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("="))


def _fields(text: str) -> Json:
    return {name: values[0] for name, values in parse_qs(text).items()}


@contextmanager
def provider() -> Iterator[OpenId]:
    """Yield a provider that is served on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())

        def _answer(self, body: str) -> None:
            status, content = served.answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            if isinstance(content, str):
                self.send_header("Location", quote(content, safe=":/?&=%+-_.~"))
                content = {}
            data = json.dumps(content).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = OpenId(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield served
        server.shutdown()
