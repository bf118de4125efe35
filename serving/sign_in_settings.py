"""The sections `sign_in` and `customer_sign_in` of `brain.yaml`: how people and customers sign in."""

from typing import Annotated, Any, Final, Self

from pydantic import Field, field_validator, model_validator

from decisioning.facts.schema import Strict

_PLACE: Final = r"^(https://[A-Za-z0-9.\[\]:-]{1,253}|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?)"
_LOOPBACK: Final = "it begins with https://; http:// is for this machine only"
ClaimName = Annotated[str, Field(min_length=1, max_length=200)]


Issuer = Annotated[str, Field(max_length=500, pattern=_PLACE + r"(/[^\s?#]*)?$")]
ClientId = Annotated[str, Field(min_length=1, max_length=500)]
SecretFile = Annotated[str, Field(min_length=1, max_length=1000)]


def _encrypted(text: Any) -> Any:
    if isinstance(text, str) and not text.startswith(
        ("https://", "http://localhost", "http://127.0.0.1", "http://[::1]")
    ):
        raise ValueError(_LOOPBACK)
    return text


class CustomerSignInSettings(Strict):
    """How customers sign in at their own page: with the OpenID provider of the company's own site.

    It needs no link then, and customers who signed in may download, erase and allow for a quarter of an hour. `issuer`
    and `client_id` are as the provider names them, `client_secret_file` is a file with the client's secret alone that
    only its owner may read, or null for a client without one. The provider must know `ADDRESS/me/signed-in`, where
    ADDRESS is `sign_in.address`. `claim` names the claim that holds the `customer_id`. The client is for this workspace
    alone.
    """

    issuer: Issuer | None = None
    client_id: ClientId | None = None
    client_secret_file: SecretFile | None = None
    claim: ClaimName = "sub"

    _is_encrypted = field_validator("issuer", mode="before")(_encrypted)

    @model_validator(mode="after")
    def _names_its_client(self) -> Self:
        if (self.issuer is None) != (self.client_id is None):
            raise ValueError("customer_sign_in: `issuer` and `client_id` go together")
        return self


class SignInSettings(Strict):
    """How people sign in: with an OpenID provider if `issuer` is set, else with a password (`brain user add`).

    `issuer` and `client_id` are as the provider names them; `client_secret_file` is a file with the client's secret
    alone that only its owner may read, as in `keys/sign-in`, or null for a client without one. `address` is where
    browsers reach the brain, as in `https://brain.example.com`; the provider must know `ADDRESS/sign-in/callback`. By
    default it is the port on this machine.

    `roles` says which scopes each value of the claim `claim` gives; a claim within a claim has a dot:
    `realm_access.roles`. Whoever has none of them may not sign in. `team_claim` and `site_claim` name the claims with
    a person's team and site. Every `check_min` minutes the provider is asked whether the person still has the roles.

    A session ends `idle_min` minutes after its last request, and `longest_h` hours after the sign-in.
    """

    issuer: Issuer | None = None
    client_id: ClientId | None = None
    client_secret_file: SecretFile | None = None
    address: Annotated[str, Field(max_length=500, pattern=_PLACE + r"(/[A-Za-z0-9._~-]+)*$")] | None = None
    claim: ClaimName = "groups"
    roles: dict[str, tuple[str, ...]] = {}
    team_claim: ClaimName | None = None
    site_claim: ClaimName | None = None
    check_min: Annotated[float, Field(ge=0.01, le=24 * 60)] = 5.0
    idle_min: Annotated[float, Field(ge=0.01, le=24 * 60)] = 30.0
    longest_h: Annotated[float, Field(ge=0.01, le=24 * 7)] = 12.0

    _is_encrypted = field_validator("issuer", "address", mode="before")(_encrypted)

    @model_validator(mode="after")
    def _says_who_may(self) -> Self:
        if self.issuer is not None and (self.client_id is None or not self.roles):
            raise ValueError("sign_in: with `issuer` it needs `client_id`, and `roles` with the scopes of each role")
        return self
