"""`brain key`: make, list and revoke the keys of callers."""

from collections.abc import Sequence
from typing import Any, get_args

from decisioning.errors import NotFound, Refused
from decisioning.facts.forms import Issue
from decisioning.times import datetime_at, days_us, iso, microseconds, parse_decision_time
from features.access_keys import AccessKey, add_key, read_keys, revoke_key
from features.ledger import now_us
from serving.access.keys import kept_key, new_key_text
from serving.access.table import TABLE
from serving.brain.releasing import open_ledger
from serving.settings import Workspace


def create(
    workspace: Workspace, scope: str, name: str | None, owner: str, *, expires: str | None, issues: str, channels: str
) -> dict[str, Any]:
    """Make a key, and return it: it is shown this once, and only its salted hash is kept.

    :param expires: a date or a moment in UTC, as in 2027-01-31, or a number of days, as in 90d
    :param issues: what its decisions may be about, with commas between them; empty: all
    :param channels: where they may be made, likewise
    """
    if scope not in TABLE.scopes:
        raise Refused(f"there is no such scope; there are: {', '.join(TABLE.scopes)}")
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
