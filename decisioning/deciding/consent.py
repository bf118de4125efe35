"""What the customer allowed: purposes x channels x legal basis -> a permission that cites its record.

Without a record nothing is allowed. A basis (contract, legal obligation) is a citable record of the catalogue; an
objection, a refusal or a withdrawal for the same purpose is stronger than any basis except a legal obligation.

Visitors linked to a person, and customers joined with them, can only narrow. The record that counts for a visitor is
found on the visitor's own stream (its record for this channel against its record for all channels). A visitor's refusal
binds the person, whatever its age; of two grants, the one that expires sooner holds. A visitor's grant permits the
person nothing.

A request (Global Privacy Control, a consent platform, an unknown age) can only withdraw, like a refusal that lasts for
that request. Country rules narrow what may permit marketing on an outbound channel.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from decisioning.catalogue.actions import MARKETING, Basis, Purpose
from decisioning.catalogue.countries import MediumRule
from decisioning.facts.standing import ALL_CHANNELS, Consent, Standing
from decisioning.times import DAY_US


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether (purpose, channel) is allowed; `cites` names the record that permits it, `why` the reason if it does not.

    `groups`: the groups of actions that are allowed, if that is not all of them.
    """

    allowed: bool
    cites: str | None
    why: str
    groups: tuple[str, ...] | None = None


def latest(standing: Standing, purpose: str, channel: str) -> Consent | None:
    """Return the record that counts for (purpose, channel).

    That is the newer of the record for this channel and the record for all channels, where a refusal ranks as the
    standing's rule says; but a grant for all channels does not lift a refusal for this one.
    """
    named = _find(standing.consents, purpose, channel)
    general = _find(standing.consents, purpose, ALL_CHANNELS)
    if named is None or general is None:
        return named or general
    if named.status != "granted" and general.status == "granted":
        return named
    of_named, of_general = (standing.rule.rank_us(c.occurred_us, refuses=c.refuses) for c in (named, general))
    if of_general == of_named:
        return general if general.refuses else named
    return named if of_named > of_general else general


def permission(
    standing: Standing,
    purpose: Purpose,
    channel: str,
    bases: Iterable[Basis],
    now_us: int,
    *,
    withdrawn: str = "",
    rule: MediumRule | None = None,
) -> Permission:
    """Return whether `purpose` is allowed on `channel` now; linked visitors can only narrow it.

    In this order: a basis that covers all, consent, a soft opt-in (of `bases`, those whose conditions are TRUE).

    :param withdrawn: why the request withdraws the purpose, which counts as a refusal; empty if it does not
    :param rule: what the country requires of this purpose on this channel
    """
    record = latest(standing, purpose.id, channel)
    narrowed = _narrowed(standing, purpose.id, channel, now_us)
    refused = bool(withdrawn) or narrowed.refused or (record is not None and record.status != "granted")
    soft: Basis | None = None
    for basis in bases:
        if basis.purpose != purpose.id or channel not in basis.channels or not _enough(basis, rule):
            continue
        if basis.soft_opt_in is not None:
            soft = None if refused else basis
        elif not refused or basis.basis == "legal-obligation":
            return Permission(True, f"basis:{basis.id}", "")
    by_consent = _by_consent(standing, record, purpose, channel, now_us, withdrawn or narrowed.why, rule)
    if soft is None or soft.soft_opt_in is None or by_consent.allowed:
        return by_consent
    return Permission(True, f"basis:{soft.id}", "", soft.soft_opt_in.groups)


def permissions(
    standing: Standing,
    purposes: Mapping[str, Purpose],
    channel: str,
    bases: tuple[Basis, ...],
    now_us: int,
    *,
    withdrawn: Mapping[str, str] | None = None,
    rule: MediumRule | None = None,
) -> dict[str, Permission]:
    """Return every purpose's permission on one channel; `rule` is about marketing."""
    reasons = withdrawn or {}
    return {
        p.id: permission(
            standing,
            p,
            channel,
            bases,
            now_us,
            withdrawn=reasons.get(p.id, ""),
            rule=rule if p.id == MARKETING else None,
        )
        for p in purposes.values()
    }


def _enough(basis: Basis, rule: MediumRule | None) -> bool:
    """Tell whether the country accepts such a basis for marketing on this channel; without a rule it accepts any."""
    if rule is None or rule.needs == "no-objection":
        return True
    return rule.needs == "consent-or-soft-opt-in" and basis.soft_opt_in is not None


def _by_consent(
    standing: Standing,
    record: Consent | None,
    purpose: Purpose,
    channel: str,
    now_us: int,
    narrowed: str,
    rule: MediumRule | None,
) -> Permission:
    if record is None:
        return Permission(False, None, narrowed or "no record")
    cited = f"consent:{record.purpose}/{record.channel}@{record.record}"
    if record.status != "granted":
        return Permission(False, cited, record.status)
    if rule is not None and rule.needs == "explicit-consent":
        explicit = _find(standing.consents, purpose.id, channel)
        if explicit is None:
            return Permission(False, cited, f"not given for this very channel. {rule.text}")
        record, cited = explicit, f"consent:{purpose.id}/{channel}@{explicit.record}"
    why = narrowed or _lapsed(record, purpose, now_us)
    return Permission(not why, cited, why)


@dataclass(frozen=True, slots=True)
class _Narrowed:
    """What linked visitors and joined customers withdraw: by a refusal, or by a grant that has expired."""

    refused: bool = False
    why: str = ""


def _narrowed(standing: Standing, purpose: str, channel: str, now_us: int) -> _Narrowed:
    records = [(v.links, record) for v in standing.visitors if (record := latest(v, purpose, channel)) is not None]
    for links, record in records:
        if record.status != "granted":
            return _Narrowed(True, f"{record.status} {'under a joined id' if links else 'by a linked visitor'}")
    if any(record.expires_us is not None and record.expires_us <= now_us for _, record in records):
        return _Narrowed(False, "expired for a linked visitor or under a joined id")
    return _Narrowed()


def _find(consents: Iterable[Consent], purpose: str, channel: str) -> Consent | None:
    for consent in consents:
        if consent.purpose == purpose and consent.channel == channel:
            return consent
    return None


def _lapsed(record: Consent, purpose: Purpose, now_us: int) -> str:
    """Return why a grant no longer counts, or an empty string."""
    if record.occurred_us > now_us:
        return "not yet valid"
    if record.expires_us is not None and record.expires_us <= now_us:
        return "expired"
    if purpose.max_age_days is not None and now_us - record.occurred_us > purpose.max_age_days * DAY_US:
        return "too old"
    if record.notice_version != purpose.notice_version:
        return "given for another notice"
    return ""
