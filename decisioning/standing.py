"""What the ledger knows of one subject: the fold of its stream, as decide() reads it.

The fold (in `features.ledger`) is commutative in everything but `version`: any order of a backfill gives the same
standing. Times are int microseconds since 1970 UTC (`_us`), the time in the world (`occurred_at`), not of recording.
"""

from dataclasses import dataclass, field
from typing import Literal

ConsentStatus = Literal["granted", "refused", "withdrawn", "objected"]
ContactState = Literal["reserved", "expired", "not_delivered", "delivered", "seen", "pitched"]
CountsOn = Literal["decided", "delivered", "seen"]
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
class Happened:
    """One outcome: what the customer did about an action."""

    action: str
    outcome: str
    at_us: int
    offer_id: str | None = None
    value_eur: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything screening needs from the ledger about one subject; `version` 0 is a subject never heard of."""

    stream: str
    version: int = 0
    consents: tuple[Consent, ...] = ()
    contacts: tuple[Contact, ...] = ()
    outcomes: dict[str, tuple[Happened, ...]] = field(default_factory=dict)
    erased: bool = False
    restricted: bool = False

    def history(self, action: str, outcome: str, since_us: int) -> int:
        """How often `outcome` happened for `action` at or after `since_us`."""
        return sum(h.outcome == outcome and h.at_us >= since_us for h in self.outcomes.get(action, ()))
