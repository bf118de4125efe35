"""An OpenID provider: where a person is sent to sign in, and what it says of who came back.

Authlib makes the requests (code flow with PKCE) and judges the claims; joserfc checks the signature.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.common.urls import add_params_to_uri
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from decisioning.errors import Refused, Unavailable

_TIMEOUT_S: Final = (1.0, 2.0)
"""To connect, and to answer."""
_METADATA_S: Final = 600.0
_KEYS_S: Final = 10.0
"""Keys that are younger are not asked for again when a signature names another one."""
_MAX_BYTES: Final = 1_000_000
_LEEWAY_S: Final = 60
"""How far the provider's clock may be from ours."""
_ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
_NOT_ANSWERING: Final = "The sign-in provider does not answer. Try again in a minute, or tell who runs it."
_NOT_ACCEPTED: Final = "The sign-in provider did not confirm this sign-in. Start again."


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a provider says of a person. `grant` is with what it can be asked again, None if it cannot."""

    claims: Mapping[str, Any]
    grant: str | None


class Provider:
    """A provider. Its methods ask it, and raise Unavailable if it does not answer, Refused if it says no.

    :param wanted: names of claims that are asked for once more if the ID token lacks them; the first holds the roles
    :param scope: what is asked for at sign-in, as OpenID names it
    """

    def __init__(
        self, issuer: str, client_id: str, secret: str | None, callback: str, wanted: tuple[str, ...], scope: str
    ) -> None:
        self._issuer, self._client_id, self._secret, self._callback = issuer, client_id, secret, callback
        self._wanted, self._scope = wanted, scope
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def address(self, state: str, nonce: str, verifier: str) -> str:
        """Return where the browser goes to sign in."""
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._endpoint("authorization_endpoint"), state=state, nonce=nonce, code_verifier=verifier
            )
        return str(url)

    def leaving(self, back: str, state: str) -> str | None:
        """Return where the browser goes to sign out; None if the provider has no such place.

        The client's id says who asks, and not an ID token: that would be personal data in an address.

        :param back: where the provider sends the browser afterwards, with `state`
        """
        endpoint = self._known().get("end_session_endpoint")
        if endpoint is None:
            return None
        asked = {"client_id": self._client_id, "post_logout_redirect_uri": back, "state": state}
        return str(add_params_to_uri(_checked(endpoint), list(asked.items())))

    def answer(self, code: str, nonce: str, verifier: str) -> Confirmation:
        """Return what the provider says of the person who came back with a code."""

        def ask() -> Confirmation:
            with self._client() as client:
                endpoint = self._endpoint("token_endpoint")
                token = client.fetch_token(endpoint, grant_type="authorization_code", code=code, code_verifier=verifier)
                return self._read(client, token, nonce)

        return _asked(ask)

    def again(self, grant: str) -> Confirmation:
        """Return what the provider says now of a person of whom it said something before."""
        kept = json.loads(grant)

        def ask() -> Confirmation:
            with self._client() as client:
                token = {"access_token": kept["access"], "token_type": "Bearer"}
                if kept["refresh"]:
                    endpoint = self._endpoint("token_endpoint")
                    token = client.refresh_token(endpoint, refresh_token=kept["refresh"])
                    token.setdefault("refresh_token", kept["refresh"])
                return self._read(client, token, None)

        return _asked(ask)

    def _client(self) -> Any:
        method = "none" if self._secret is None else "client_secret_basic"
        if self._secret is not None and "client_secret_basic" not in self._auth_methods():
            method = "client_secret_post"
        client = OAuth2Session(
            self._client_id,
            self._secret,
            scope=self._scope,
            redirect_uri=self._callback,
            code_challenge_method="S256",
            token_endpoint_auth_method=method,
        )
        client.default_timeout = _TIMEOUT_S
        client.max_redirects = 0
        return client

    def _read(self, client: Any, token: Mapping[str, Any], nonce: str | None) -> Confirmation:
        """Return what a token says, and what else the provider tells whoever has it."""
        access, refresh = str(token["access_token"]), token.get("refresh_token")
        claims = self._claims(str(token["id_token"]), nonce, access) if "id_token" in token else {}
        if nonce is not None and not claims:
            raise Refused(_NOT_ACCEPTED)
        asked_again = self._userinfo(client, token, claims) if self._lacks(claims) else {}
        can_be_asked = bool(refresh) or self._wanted[0] in asked_again
        grant = json.dumps({"access": access, "refresh": refresh}) if can_be_asked else None
        return Confirmation({**asked_again, **claims}, grant)

    def _lacks(self, claims: Mapping[str, Any]) -> bool:
        return any(name not in claims for name in self._wanted)

    def _userinfo(self, client: Any, token: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
        """Return the claims of the user information, if the provider has it and it is of the same person."""
        endpoint = self._known().get("userinfo_endpoint")
        if endpoint is None:
            return {}
        client.token = dict(token)
        answer = client.get(_checked(endpoint), allow_redirects=False)
        if answer.status_code in (401, 403):
            raise Refused(_NOT_ACCEPTED)
        document = _json(answer)
        if claims and document.get("sub") != claims["sub"]:
            raise Refused(_NOT_ACCEPTED)
        return document

    def _claims(self, id_token: str, nonce: str | None, access_token: str) -> dict[str, Any]:
        """Return the claims of an ID token of this provider for us."""
        token = self._decoded(id_token)
        exactly = {"iss": self._issuer, "aud": self._client_id}
        options: Any = {name: {"essential": True, "value": value} for name, value in exactly.items()}
        params = {"nonce": nonce, "client_id": self._client_id, "access_token": access_token}
        claims = CodeIDToken(token.claims, token.header, options, params)
        claims.validate(leeway=_LEEWAY_S)
        return dict(claims)

    def _decoded(self, id_token: str) -> jwt.Token:
        for fresh in (False, True):
            try:
                return jwt.decode(id_token, self._key_set(fresh=fresh), algorithms=list(_ALGORITHMS))
            except (JoseError, ValueError):
                if fresh:
                    raise Refused(_NOT_ACCEPTED) from None
        raise AssertionError

    def _key_set(self, *, fresh: bool) -> KeySet:
        """Return the provider's keys; they are asked for again if they are `fresh`er than was kept."""
        old_s = _KEYS_S if fresh else _METADATA_S
        if self._keys is None or time.monotonic() - self._keys[0] > old_s:
            keys = KeySet.import_key_set(_json(_get(self._endpoint("jwks_uri"))))  # type: ignore[arg-type]
            self._keys = time.monotonic(), keys
        return self._keys[1]

    def _endpoint(self, name: str) -> str:
        return _checked(self._known().get(name))

    def _auth_methods(self) -> list[str]:
        methods: list[str] = self._known().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return methods

    def _known(self) -> dict[str, Any]:
        """Return what the provider says of itself."""
        if self._metadata is None or time.monotonic() - self._metadata[0] > _METADATA_S:
            document = _json(_get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"))
            if document.get("issuer") != self._issuer:
                raise Unavailable("The sign-in provider calls itself otherwise than sign_in.issuer in brain.yaml.")
            self._metadata = time.monotonic(), document
        return self._metadata[1]


def _asked(ask: Callable[[], Confirmation]) -> Confirmation:
    """Return what `ask` returns; errors of libraries become ours, without what the provider said."""
    try:
        return ask()
    except requests.RequestException:
        raise Unavailable(_NOT_ANSWERING) from None
    except (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError):
        raise Refused(_NOT_ACCEPTED) from None


def _get(address: str) -> requests.Response:
    try:
        return requests.get(_checked(address), timeout=_TIMEOUT_S, allow_redirects=False)
    except requests.RequestException:
        raise Unavailable(_NOT_ANSWERING) from None


def _json(answer: requests.Response) -> dict[str, Any]:
    """Return the object that an answer holds."""
    if answer.status_code != requests.codes.ok or len(answer.content) > _MAX_BYTES:
        raise Unavailable(_NOT_ANSWERING)
    try:
        document = answer.json()
    except ValueError:
        raise Unavailable(_NOT_ANSWERING) from None
    if not isinstance(document, dict):
        raise Unavailable(_NOT_ANSWERING)
    return document


def _checked(address: object) -> str:
    """Return an address of the provider that is encrypted, or on this machine."""
    here = ("http://localhost", "http://127.0.0.1", "http://[::1]")
    if not isinstance(address, str) or not address.startswith(("https://", *here)):
        raise Unavailable("The sign-in provider names no address for this that begins with https://.")
    return address
