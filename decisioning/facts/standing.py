"""What the ledger knows of one subject: the fold of its stream, as decide() reads it.

The fold (in `features.ledger`) is commutative in everything but `version`: any order of a backfill gives the same
standing. Times are int microseconds since 1970 UTC (`_us`), the time in the world (`occurred_at`), not of recording.
"""

from dataclasses import dataclass, field
from typing import Literal

ConsentStatus = Literal["granted", "refused", "withdrawn", "objected"]
ContactState = Literal["reserved", "expired", "not_delivered", "delivered", "seen", "pitched"]
CountsOn = Literal["decided", "delivered", "seen"]
LinkKind = Literal["cookie", "device", "email", "wristband", "visitor"]
ALL_CHANNELS = "*"


@dataclass(frozen=True, slots=True)
class Consent:
    """The latest word on (purpose, channel); channel `*` means all. `record` is the ledger version that says so."""

    purpose: str
    channel: str
    status: ConsentStatus
    source: str
    notice_version: str
    occurred_us: int
    expires_us: int | None
    record: int
    asserted_by: str | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """One offer that was decided for the subject, and how far it got."""

    offer_id: str
    action: str
    treatment: str
    group: str
    issue: str
    channel: str
    at_us: int
    reserved_until_us: int
    counts_on: CountsOn
    state: ContactState

    def counts_at(self, now_us: int) -> bool:
        """Whether a cap counts it: yes while its reservation lives, and after that if it got as far as `counts_on`."""
        if self.state in ("expired", "not_delivered"):
            return False
        if self.counts_on == "decided" or now_us < self.reserved_until_us:
            return True
        reached = ("delivered", "seen", "pitched") if self.counts_on == "delivered" else ("seen", "pitched")
        return self.state in reached


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """One outcome: what the customer did about an action."""

    action: str
    outcome: str
    at_us: int
    offer_id: str | None = None
    value_eur: float | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """The latest word on whether a visitor, named by its stream, is this person; kept once unlinked, too."""

    visitor: str
    kind: LinkKind
    source: str
    occurred_us: int
    linked: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """The latest word on whose a visitor is: what the visitor's own stream says, so that it is one person's at most."""

    person: str
    occurred_us: int
    linked: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything screening needs from the ledger about one subject; `version` 0 is a subject never heard of.

    `links` are a person's, `holder` is a visitor's. `visitors` are the standings that `decisioning.identity.merged`
    took in, sorted by stream; no fold has any.
    """

    stream: str
    version: int = 0
    consents: tuple[Consent, ...] = ()
    contacts: tuple[Contact, ...] = ()
    outcomes: dict[str, tuple[RecordedOutcome, ...]] = field(default_factory=dict)
    erased: bool = False
    restricted: bool = False
    links: tuple[Link, ...] = ()
    holder: Holder | None = None
    visitors: tuple["Standing", ...] = ()

    @property
    def linked(self) -> tuple[str, ...]:
        """The streams of the visitors that are this person now, sorted."""
        return tuple(link.visitor for link in self.links if link.linked)

    def history(self, action: str, outcome: str, since_us: int) -> int:
        """How often `outcome` happened for `action` at or after `since_us`."""
        return sum(h.outcome == outcome and h.at_us >= since_us for h in self.outcomes.get(action, ()))
