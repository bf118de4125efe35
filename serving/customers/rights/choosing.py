"""What a customer allows, by purpose and channel, as a decision would find it now; and how they say no."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from decisioning.catalogue.release import Release
from decisioning.deciding.case import undrawn_case
from decisioning.deciding.consent import Permission
from decisioning.errors import RequestError
from decisioning.facts.forms import Ask, PlacementAsk
from decisioning.facts.standing import ALL_CHANNELS, ConsentStatus
from features.ledger import now_us
from serving.brain.runtime import Brain
from serving.contract import ConsentIn, ConsentSource
from serving.customers.recording import record_consent
from serving.customers.rights.entering import CUSTOMER
from serving.customers.rights.notices import notices

Ground = Literal["consent", "basis", "law", "refused", "none"]
"""Why a purpose is permitted: consent, another legal basis, one that the customer cannot refuse; or why it is not: they
said no, or nothing permits it."""
_SOURCE = "own-page"


@dataclass(frozen=True, slots=True)
class PurposeChoice:
    """Whether a purpose is permitted on a channel (`*`: the purpose is used on none in particular), and why."""

    purpose: str
    channel: str
    ground: Ground

    @property
    def allowed(self) -> bool:
        """Whether it is permitted."""
        return self.ground not in ("refused", "none")

    @property
    def can_stop(self) -> bool:
        """Whether the customer can stop it."""
        return self.ground in ("consent", "basis")

    @property
    def can_allow(self) -> bool:
        """Whether a consent is what is missing."""
        return self.ground in ("refused", "none")


def choices(brain: Brain, customer_id: str) -> dict[str, list[PurposeChoice]]:
    """Return purpose -> what is permitted on each channel that uses it; one entry for `*` where no channel does."""
    snapshot, at_us = brain.snapshot, now_us()
    release = snapshot.release
    asks = {channel: _ask(release, customer_id, channel) for channel in sorted(release.channels)}
    known = brain.known(next(iter(asks.values())), snapshot, at_us)
    cases = {channel: undrawn_case(ask, known, release, at_us) for channel, ask in asks.items()}
    permitted = {channel: case.permissions for channel, case in cases.items()}
    return {purpose: _of_purpose(release, purpose, permitted) for purpose in release.purposes}


def _ask(release: Release, customer_id: str, channel: str) -> Ask:
    placements = (PlacementAsk(name=release.channels[channel].placements[0]),)
    return Ask(request_id="own-page", customer_id=customer_id, channel=channel, placements=placements, mode="preview")


def _of_purpose(release: Release, purpose: str, permitted: dict[str, dict[str, Permission]]) -> list[PurposeChoice]:
    using = [channel for channel in permitted if _uses(release, channel, purpose)]
    grounds = {channel: _ground(release, permitted[channel][purpose]) for channel in using or permitted}
    if using:
        return [PurposeChoice(purpose, channel, ground) for channel, ground in grounds.items()]
    return [PurposeChoice(purpose, ALL_CHANNELS, _strongest(grounds.values()))]


def _uses(release: Release, channel: str, purpose: str) -> bool:
    """Tell whether something that a channel can show needs a purpose."""
    return any(name == purpose and members.bits for name, members in release.view(channel).purposes)


def _strongest(grounds: Iterable[Ground]) -> Ground:
    order: tuple[Ground, ...] = ("none", "refused", "consent", "basis", "law")
    return max(grounds, key=order.index, default="none")


def _ground(release: Release, permission: Permission) -> Ground:
    if not permission.allowed or permission.cites is None:
        return "refused" if permission.why in get_args(ConsentStatus) else "none"
    kind, _, name = permission.cites.partition(":")
    if kind == "consent":
        return "consent"
    basis = next(b for b in release.catalogue.bases if b.id == name)
    return "law" if basis.basis == "legal-obligation" else "basis"


async def stop(brain: Brain, customer_id: str, purpose: str, channel: str) -> None:
    """Record that a customer withdraws their consent, or objects where something else than consent permits a purpose.

    What does not exist, and what the law has the company do, is left as it is. Raises Erased.

    :param channel: one channel, or `*` for all
    """
    of_purpose = choices(brain, customer_id).get(purpose)
    if of_purpose is None or channel not in (*brain.snapshot.release.channels, ALL_CHANNELS):
        raise RequestError("purpose", "there is no such purpose or channel")
    concerned = [one for one in of_purpose if channel in (ALL_CHANNELS, one.channel)]
    grounds = {one.ground for one in concerned}
    status: ConsentStatus = "withdrawn" if "basis" not in grounds and "consent" in grounds else "objected"
    await _record(brain, customer_id, purpose, channel, status)


async def allow(brain: Brain, customer_id: str, purpose: str, channel: str, version: str) -> None:
    """Record that a customer consents to a purpose on one channel, as the text of this version describes it.

    Raises RequestError for what needs no consent of theirs and for another text than the release's, and Erased.
    """
    missing = {one.channel for one in choices(brain, customer_id).get(purpose, ()) if one.can_allow}
    versions = {notice["id"]: notice["version"] for notice in notices(brain.snapshot.release, "en")}
    if channel not in missing or not version or versions.get(purpose) != version:
        raise RequestError("purpose", "there is no such consent to give, or its text changed")
    await _record(brain, customer_id, purpose, channel, "granted", version)


async def _record(
    brain: Brain, customer_id: str, purpose: str, channel: str, status: ConsentStatus, notice_version: str = ""
) -> None:
    named, source = None if channel == ALL_CHANNELS else channel, ConsentSource(kind=_SOURCE)
    about = {"purpose": purpose, "channel": named, "status": status, "notice_version": notice_version}
    statement = ConsentIn.model_validate({"customer_id": customer_id, "source": source, **about})
    await record_consent(brain, statement, who=CUSTOMER)
