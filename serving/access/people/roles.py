"""Who a person is by the claims of their provider: scopes by their roles, team and site."""

from collections.abc import Mapping
from typing import Any, Final

from decisioning.errors import Refused
from features.people import User
from serving.access.people.signing import new_token
from serving.access.table import TABLE
from serving.sign_in_settings import SignInSettings

_LONGEST: Final = 200
_LONGEST_SUBJECT: Final = 255
"""As OpenID limits it."""
_NAMES: Final = ("name", "preferred_username", "email")


def check_roles(settings: SignInSettings) -> None:
    """Raise Refused if a role gives a scope that does not exist."""
    for role, scopes in settings.roles.items():
        if unknown := sorted(set(scopes) - TABLE.scopes.keys()):
            raise Refused(f"brain.yaml: sign_in.roles.{role}: there is no scope {unknown[0]}")


def wanted_claims(settings: SignInSettings) -> tuple[str, ...]:
    """Return the outermost names of the claims that say who a person is."""
    claims = (settings.claim, settings.team_claim, settings.site_claim)
    return tuple(dict.fromkeys(claim.partition(".")[0] for claim in claims if claim))


def new_person_id() -> str:
    """Return an id for a person: it says nothing of them."""
    return f"p-{new_token()[:14]}"


def person_of(settings: SignInSettings, claims: Mapping[str, Any], at_us: int) -> User:
    """Return the person that claims are about; raises Refused for claims of nobody."""
    issuer, subject = settings.issuer, claims.get("sub")
    if issuer is None or not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise Refused("The sign-in provider does not say who this is.")
    names = (_text(claims.get(name)) for name in _NAMES)
    return User(
        id=new_person_id(),
        issuer=issuer,
        subject=subject,
        name=next(filter(None, names), subject),
        scopes=",".join(scopes_of(settings, claims)),
        team=_text(claim_of(claims, settings.team_claim)),
        site=_text(claim_of(claims, settings.site_claim)),
        made_by=issuer,
        created_us=at_us,
    )


def scopes_of(settings: SignInSettings, claims: Mapping[str, Any]) -> list[str]:
    """Return the scopes of the roles that claims name; those that nobody mapped give nothing."""
    value = claim_of(claims, settings.claim)
    roles = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return sorted({scope for role in roles if isinstance(role, str) for scope in settings.roles.get(role, ())})


def claim_of(claims: Mapping[str, Any], name: str | None) -> Any:
    """Return a claim, in a claim where the name has a dot; one whose own name has a dot goes first."""
    if name is None or name in claims:
        return claims.get(name) if name else None
    inner: Any = claims
    for part in name.split("."):
        inner = inner.get(part) if isinstance(inner, Mapping) else None
    return inner


def _text(value: Any) -> str | None:
    """Return a claim's text, or the first of a list; None for what is no text."""
    first = value[0] if isinstance(value, list) and value else value
    return first[:_LONGEST] if isinstance(first, str) and first else None
