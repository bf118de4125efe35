"""What the ledger knows of one subject: the result of folding its stream, as decide() reads it.

The fold (in `features.ledger`) is commutative in everything but `version`: any order of a backfill gives the same
standing. Times are int microseconds since 1970 UTC (`_us`) and mean the time in the world (`occurred_at`), which is
never later than that of recording.
"""

from dataclasses import dataclass, field
from typing import Literal

from decisioning.facts.concessions import Concession
from decisioning.facts.handovers import OpenHandover
from decisioning.facts.stretches import stretch_of
from decisioning.times import AS_RECORDED, TimeRule

ConsentStatus = Literal["granted", "refused", "withdrawn", "objected"]
ContactState = Literal["reserved", "expired", "not_delivered", "delivered", "seen", "pitched"]
CountsOn = Literal["decided", "delivered", "seen"]
VisitorKind = Literal["cookie", "device", "email", "wristband", "visitor"]
LinkKind = Literal[VisitorKind, "customer"]
"""What a link is to: an identifier of a visitor, or another customer who is the same person."""
ALL_CHANNELS = "*"
MAX_STRETCHES = 8
"""How many stretches of one visitor decisions read for a person who was unlinked and linked again, the newest."""
NEVER_US = -(2**62)
"""Earlier than any time."""


@dataclass(frozen=True, slots=True)
class Consent:
    """The latest consent record for (purpose, channel).

    Channel `*` means all channels. `record` is the ledger version of the record.
    """

    purpose: str
    channel: str
    status: ConsentStatus
    source: str
    notice_version: str
    occurred_us: int
    expires_us: int | None
    record: int
    asserted_by: str | None = None

    @property
    def refuses(self) -> bool:
        """Whether it refuses its purpose: it is a refusal, a withdrawal or an objection."""
        return self.status != "granted"


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
        """Tell whether a cap counts it: while its reservation lives, and afterwards if it got as far as `counts_on`.

        So no process has to release what was never delivered.
        """
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
    """The latest record of whether a visitor or another customer is this person; kept after unlinking, too.

    `visitor`: the stream of the visitor, or of the other customer. A link of two customers is on both their streams.
    `stretches`: the numbers of the newest `MAX_STRETCHES` stretches of the visitor that are this person's, ascending.
    """

    visitor: str
    kind: LinkKind
    source: str
    occurred_us: int
    linked: bool
    stretches: tuple[int, ...] = (0,)

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams of the stretches, or of the other customer."""
        return tuple(stretch_of(self.visitor, number) for number in self.stretches)


@dataclass(frozen=True, slots=True)
class Holder:
    """The latest record, in the stream of a visitor's stretch, of whose it is, so that it is at most one person's."""

    person: str
    occurred_us: int
    linked: bool


@dataclass(frozen=True, slots=True)
class Exclusion:
    """The latest word of a person who reviewed a contest: whether an action is kept from the customer (`holds`)."""

    action: str
    at_us: int
    holds: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """All that screening needs from the ledger about one subject. `version` 0: the ledger has no record of the subject.

    `links` are a person's, `holder` is a visitor's, `handovers` are those that are open, `concessions` what was given
    away or is held in negotiations, `exclusions` what people kept from the customer or gave back, in order of action.
    What follows is empty until
    `decisioning.facts.identity` merges the standings of one person. `visitors`: those of linked visitors and joined
    customers that were merged into a person's, sorted by stream. `elsewhere`: those of the person that a visitor is
    linked to, which only caps, suppressions and handovers read. `person_stream`: of joined customers, the stream that
    stands for all of them; None for others.
    `rule`: how its records' times were read. `recorded_us`: when its newest record was recorded, as far as it was read.
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
    handovers: tuple[OpenHandover, ...] = ()
    concessions: tuple[Concession, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    visitors: tuple["Standing", ...] = ()
    elsewhere: tuple["Standing", ...] = ()
    person_stream: str | None = None
    rule: TimeRule = AS_RECORDED
    recorded_us: int = field(default=NEVER_US, compare=False)

    @property
    def linked(self) -> tuple[str, ...]:
        """The streams of the stretches and customers that are this person now by their own links, without repeats."""
        return tuple(stream for link in self.links if link.linked for stream in link.streams)

    @property
    def at_a_person(self) -> bool:
        """Whether a handover of this subject is open, under any identifier that is linked now."""
        return bool(self.handovers) or any(s.handovers for s in self.visitors or self.elsewhere)

    @property
    def excluded(self) -> set[str]:
        """The actions that a person keeps from this subject, under any identifier that is linked now."""
        everyone = (self, *self.visitors, *self.elsewhere)
        return {one.action for of in everyone for one in of.exclusions if one.holds}

    def handover_in(self, conversation: str) -> OpenHandover | None:
        """Return the open handover of a conversation, under whichever identifier of the person it was opened."""
        everyone = (self, *self.visitors, *self.elsewhere)
        return next((h for one in everyone for h in one.handovers if h.conversation == conversation), None)

    @property
    def joined(self) -> tuple[str, ...]:
        """The streams of the customers among `linked`, sorted."""
        return tuple(link.visitor for link in self.links if link.linked and link.kind == "customer")

    def history(self, action: str, outcome: str, since_us: int) -> int:
        """Return how often `outcome` happened for `action` at or after `since_us`."""
        return sum(h.outcome == outcome and h.at_us >= since_us for h in self.outcomes.get(action, ()))
