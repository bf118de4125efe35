"""`brain key` and `brain secret`: the keys of callers, and the secrets of the workspace."""

from collections.abc import Sequence
from typing import Any, Final, get_args

from decisioning.errors import NotFound, Refused
from decisioning.facts.forms import Issue
from decisioning.times import HOUR_US, datetime_at, days_us, iso, microseconds, parse_decision_time
from features.access_keys import AccessKey, add_key, add_rotation, generations, read_keys, read_rotations, revoke_key
from features.ledger import Ledger, now_us
from serving.access.keys import kept_key, new_key_text
from serving.access.people.signing import SESSIONS
from serving.access.table import TABLE
from serving.brain.active import open_ledger
from serving.events.webhooks import WEBHOOK, encoded_secret, signing_secrets
from serving.settings import Workspace

_OTHERS: Final = {
    "secret": "never: streams of customers are named by it and checkpoints sealed, so another one would lose them all",
    "keys": "make another with `brain key create`, then end the old one with `brain key revoke`",
    "ray-token": "every start of `brain serve` makes a new one",
    "certificate": "replace the files of http.tls, and start `brain serve` again",
    "passwords": "those of database and online store are in brain.yaml: change them there, and start again",
}
"""The secrets that `brain secret rotate` does not rotate -> how each is replaced."""


def create(
    workspace: Workspace, scope: str, name: str | None, owner: str, *, expires: str | None, issues: str, channels: str
) -> dict[str, Any]:
    """Make a key, and return it: it is shown this once, and only its salted hash is kept.

    :param expires: a date or a moment in UTC, as in 2027-01-31, or a number of days, as in 90d
    :param issues: what its decisions may be about, with commas between them; empty: all
    :param channels: where they may be made, likewise
    """
    TABLE.check_scopes([scope])
    created_us, text = now_us(), new_key_text()
    expires_us = None if expires is None else _moment_us(expires, created_us)
    limits = {"issues": _listed("--issues", issues, get_args(Issue)), "channels": _listed("--channels", channels)}
    with open_ledger(workspace) as ledger:
        key = kept_key(text, scope, name or scope, owner, created_us, expires_us=expires_us, **limits)
        add_key(ledger, key)
    return {"key": text, **_row(key)}


def listed(workspace: Workspace) -> dict[str, Any]:
    """Return every key that was ever made, without its secret."""
    with open_ledger(workspace) as ledger:
        return {"keys": [_row(key) for key in read_keys(ledger)]}


def revoke(workspace: Workspace, key_id: str) -> dict[str, Any]:
    """Revoke a key; every replica refuses it within two seconds. Raises NotFound if no valid key has this id."""
    with open_ledger(workspace) as ledger:
        if not revoke_key(ledger, key_id, now_us()):
            raise NotFound("id", "no key that is in use has this id: see `brain key list`")
    return {"id": key_id, "revoked": True}


def _listed(option: str, text: str, known: Sequence[str] | None = None) -> str:
    """Return names with commas between them, each once and in order; raises Refused for one that is not known."""
    names = sorted({name.strip() for name in text.split(",") if name.strip()})
    if known is not None and (unknown := set(names) - set(known)):
        raise Refused(f"{option}: there is no {min(unknown)}; there are: {', '.join(known)}")
    return ",".join(names)


def _moment_us(text: str, created_us: int) -> int:
    """Return when a key expires; raises Refused for what is no time to come."""
    days = text.removesuffix("d")
    try:
        moment = datetime_at(created_us + days_us(int(days))).isoformat() if days.isdecimal() else text
        at_us = microseconds(parse_decision_time(moment))
    except (ValueError, OverflowError):
        at_us = 0
    if at_us <= created_us:
        raise Refused("--expires is a date to come in UTC, as in 2027-01-31, or a number of days, as in 90d")
    return at_us


def _row(key: AccessKey) -> dict[str, Any]:
    times = {"created": key.created_us, "expires": key.expires_us, "revoked": key.revoked_us}
    shown = {name: None if at_us is None else iso(at_us) for name, at_us in times.items()}
    used = None if key.last_used_us is None else iso(key.last_used_us)
    limits = {name: text.split(",") for name, text in (("issues", key.issues), ("channels", key.channels)) if text}
    about = {"id": key.id, "scope": key.scope, "name": key.name, "owner": key.owner}
    return {**about, **limits, **shown, "last_used": used}


def webhook_secret(workspace: Workspace) -> str:
    """Return the newest secret that signs webhooks, in the form that receivers' libraries take."""
    with open_ledger(workspace) as ledger:
        return _newest(workspace, ledger)


def listed_secrets(workspace: Workspace) -> dict[str, Any]:
    """Return every kind of secret, without its value, and how it is replaced by another."""
    with open_ledger(workspace) as ledger:
        rotated = [_state(ledger, name) for name in (WEBHOOK, SESSIONS)]
    return {"secrets": [*rotated, *({"name": name, "how": how} for name, how in _OTHERS.items())]}


def rotate_secret(workspace: Workspace, name: str, overlap_h: float) -> dict[str, Any]:
    """Begin a new generation of a secret, and return it if others need it.

    That of webhooks counts for `overlap_h` hours more; that of sessions ends at once, and everybody signs in again.
    """
    if name not in (WEBHOOK, SESSIONS):
        known = f"there is no such secret; there are: {WEBHOOK}, {SESSIONS}"
        raise Refused(f"{name}: {_OTHERS.get(name, known)}")
    at_us, overlap_us = now_us(), round(overlap_h * HOUR_US) if name == WEBHOOK else 0
    with open_ledger(workspace) as ledger:
        begun = add_rotation(ledger, name, at_us, overlap_us)
        shown = {"secret": _newest(workspace, ledger)} if name == WEBHOOK else {}
    until = iso(at_us + overlap_us) if overlap_us else None
    return {"name": name, "generation": begun.generation, "earlier_until": until, **shown}


def _state(ledger: Ledger, name: str) -> dict[str, Any]:
    """Return the generations of a secret that count now."""
    rotations = read_rotations(ledger, name)
    newest, *earlier = generations(rotations, now_us())
    return {
        "name": name,
        "how": f"brain secret rotate {name}",
        "generation": newest.number,
        "since": iso(rotations[-1].at_us) if rotations else None,
        "earlier_until": [iso(g.until_us) for g in earlier if g.until_us is not None],
    }


def _newest(workspace: Workspace, ledger: Ledger) -> str:
    return encoded_secret(signing_secrets(workspace, ledger)[0])
