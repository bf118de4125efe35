"""What the customer allowed: purposes x channels x legal basis -> a permission that cites its record.

No record means no. A basis (contract, legal obligation) is a citable record of the catalogue; an objection, a refusal
or a withdrawal on the same purpose is stronger than any basis but a legal obligation.

The visitors linked to a person can only narrow: a visitor's word on (purpose, channel) is settled among the words on
its own stream (this channel's against all channels'), and then a refusal binds the person, whatever its age, and of
two grants the one that expires sooner holds. A visitor's grant permits the person nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from decisioning.actions import Basis, Purpose
from decisioning.standing import ALL_CHANNELS, Consent, Standing

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether (purpose, channel) is allowed; `cites` names the record that says so, `why` says why not."""

    allowed: bool
    cites: str | None
    why: str


def latest(standing: Standing, purpose: str, channel: str) -> Consent | None:
    """The record that speaks for (purpose, channel).

    The newer of the word on this channel and the word on all of them; but a grant for all channels does not lift what
    was refused for this one.
    """
    named = _find(standing.consents, purpose, channel)
    general = _find(standing.consents, purpose, ALL_CHANNELS)
    if named is None or general is None:
        return named or general
    if named.status != "granted" and general.status == "granted":
        return named
    if general.occurred_us == named.occurred_us:
        return general if general.status != "granted" else named
    return max(named, general, key=lambda c: c.occurred_us)


def permission(standing: Standing, purpose: Purpose, channel: str, bases: Iterable[Basis], now_us: int) -> Permission:
    """Whether `purpose` is allowed on `channel` now, to a person as far as every linked visitor allows it, too."""
    record = latest(standing, purpose.id, channel)
    narrowed = _narrowed(standing.visitors, purpose.id, channel, now_us)
    refused = narrowed.refused or (record is not None and record.status != "granted")
    for basis in bases:
        covers = basis.purpose == purpose.id and channel in basis.channels
        if covers and (not refused or basis.basis == "legal-obligation"):
            return Permission(True, f"basis:{basis.id}", "")
    if record is None:
        return Permission(False, None, narrowed.why or "no record")
    cited = f"consent:{record.purpose}/{record.channel}@{record.record}"
    if record.status != "granted":
        return Permission(False, cited, record.status)
    why = narrowed.why or _lapsed(record, purpose, now_us)
    return Permission(not why, cited, why)


def permissions(
    standing: Standing,
    purposes: Mapping[str, Purpose],
    channel: str,
    bases: tuple[Basis, ...],
    now_us: int,
) -> dict[str, Permission]:
    """Every purpose's permission on one channel."""
    return {p.id: permission(standing, p, channel, bases, now_us) for p in purposes.values()}


@dataclass(frozen=True, slots=True)
class _Narrowed:
    """What linked visitors take away: by refusing, or with a grant that has expired."""

    refused: bool = False
    why: str = ""


def _narrowed(visitors: Iterable[Standing], purpose: str, channel: str, now_us: int) -> _Narrowed:
    words = [word for visitor in visitors if (word := latest(visitor, purpose, channel)) is not None]
    for word in words:
        if word.status != "granted":
            return _Narrowed(True, f"{word.status} by a linked visitor")
    if any(word.expires_us is not None and word.expires_us <= now_us for word in words):
        return _Narrowed(False, "expired for a linked visitor")
    return _Narrowed()


def _find(consents: Iterable[Consent], purpose: str, channel: str) -> Consent | None:
    return next((c for c in consents if c.purpose == purpose and c.channel == channel), None)


def _lapsed(record: Consent, purpose: Purpose, now_us: int) -> str:
    """Why a grant no longer counts, or an empty string."""
    if record.occurred_us > now_us:
        return "not yet valid"
    if record.expires_us is not None and record.expires_us <= now_us:
        return "expired"
    if purpose.max_age_days is not None and now_us - record.occurred_us > purpose.max_age_days * DAY_US:
        return "too old"
    if record.notice_version != purpose.notice_version:
        return "given for another notice"
    return ""
