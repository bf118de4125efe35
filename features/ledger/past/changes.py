"""What a record changes in its subject's past: contacts, how far they got, and outcomes.

The past is a function of the set of records, not of their order: the state of a contact is a maximum, a word about a
contact that is not known yet waits for it as a mark, and an outcome and its correction cancel, whichever was recorded
first. One thing depends on the order: a correction of a contact's state takes back a mark that was recorded before it.
"""

from collections import Counter
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import attrgetter
from typing import Any, NamedTuple, cast, get_args

from pydantic_core import to_json

from decisioning.facts.standing import Contact, ContactState, RecordedOutcome
from decisioning.times import DAY_US

Body = Mapping[str, Any]
Mark = tuple[ContactState, int]
"""A contact state that was told: (state, occurred_us)."""
Marks = Counter[Mark]
"""How often each mark of one offer was recorded, without those that were taken back."""

HORIZON_US = 800 * DAY_US
"""Contacts this much older than the newest record are not read, nor are outcomes that are asked for within a window: no
window is longer."""
RETRACTED = "retracted"
"""The outcome or state of a correction that takes back what was told, and puts nothing in its place."""
ANTI = "-"
"""Prefix of the name of a corrected outcome that is not recorded yet; the two cancel."""
_FOREVER_US = 2**62
_WORDS = attrgetter("offer_id", "action", "treatment", "group", "issue", "channel", "counts_on")
_STATE_RANK: dict[str, int] = {state: rank for rank, state in enumerate(get_args(ContactState))}


class Offer(NamedTuple):
    """What is recorded of one offer: its contact, or before that is recorded the marks that wait for it."""

    contact: Contact | None = None
    marks: tuple[Mark, ...] = ()


UNKNOWN_OFFER = Offer()


@dataclass(frozen=True, slots=True)
class PastChanges:
    """What one record changes.

    `contacts`: new ones. `marks`: (offer id, state, occurred_us). `outcomes`: each with 1, or -1 if it is corrected.
    `taken_back`: earlier marks that do not hold.
    """

    contacts: tuple[Contact, ...] = ()
    marks: tuple[tuple[str, ContactState, int], ...] = ()
    outcomes: tuple[tuple[RecordedOutcome, int], ...] = ()
    taken_back: tuple[tuple[str, ContactState, int], ...] = ()

    @property
    def marked(self) -> tuple[str, ...]:
        """The offers that this record tells a state of, or takes one back."""
        return tuple(offer_id for offer_id, _, _ in (*self.marks, *self.taken_back))

    @property
    def offer_ids(self) -> tuple[str, ...]:
        """The offers that this record is about."""
        return (*(c.offer_id for c in self.contacts), *self.marked)


NO_CHANGES = PastChanges()


def changes_of(kind: str, body: Body, occurred_us: int) -> PastChanges:
    """Return what a record of any kind changes in the past.

    :raises KeyError, TypeError, ValueError: the body lacks what it needs
    """
    change = _CHANGES.get(kind)
    return NO_CHANGES if change is None else change(body, occurred_us)


def apply_to_offers(offers: MutableMapping[str, Offer], changes: PastChanges, recorded: Mapping[str, Marks]) -> None:
    """Apply the changes to what is recorded of the offers, by offer id; an unknown offer may be left out.

    :param recorded: the marks of the offers of which one is taken back, as `count_marks` counted them before
    """
    for contact in changes.contacts:
        offers[contact.offer_id] = _with_contact(offers.get(contact.offer_id, UNKNOWN_OFFER), contact)
    for offer_id, state, at_us in changes.taken_back:
        left = recorded.get(offer_id, Counter[Mark]()) - Counter([(state, at_us)])
        offers[offer_id] = _with_marks(offers.get(offer_id, UNKNOWN_OFFER).contact, left)
        if offers[offer_id] == UNKNOWN_OFFER:
            del offers[offer_id]
    for offer_id, state, at_us in changes.marks:
        offers[offer_id] = _with_mark(offers.get(offer_id, UNKNOWN_OFFER), (state, at_us))


def count_marks(recorded: MutableMapping[str, Marks], changes: PastChanges) -> None:
    """Count the marks of one more record; one that is taken back and was never recorded counts as nothing."""
    for offer_id, state, at_us in changes.taken_back:
        left = recorded.get(offer_id, Counter[Mark]()) - Counter([(state, at_us)])
        recorded[offer_id] = left
    for offer_id, state, at_us in changes.marks:
        recorded.setdefault(offer_id, Counter())[state, at_us] += 1


def _with_marks(contact: Contact | None, marks: Marks) -> Offer:
    """Return an offer with these marks alone."""
    offer = Offer(None if contact is None else replace(contact, state="reserved"))
    for mark in marks:
        offer = _with_mark(offer, mark)
    return offer


def _with_contact(offer: Offer, contact: Contact) -> Offer:
    if offer == UNKNOWN_OFFER:
        return Offer(contact)
    states = [state for state, at_us in offer.marks if at_us >= contact.at_us - HORIZON_US]
    current = offer.contact or contact
    return Offer(replace(current, state=_furthest(current.state, contact.state, *states)))


def _with_mark(offer: Offer, mark: Mark) -> Offer:
    state, at_us = mark
    if offer.contact is None:
        return Offer(None, frontier(*offer.marks, mark))
    if at_us < offer.contact.at_us - HORIZON_US:
        return offer
    return Offer(replace(offer.contact, state=_furthest(offer.contact.state, state)))


def _furthest(*states: ContactState) -> ContactState:
    return max(states, key=_STATE_RANK.__getitem__)


def frontier(*marks: Mark) -> tuple[Mark, ...]:
    """Return the marks that no other exceeds in both state and time. Dropping by age later is the same in any order."""

    def dominated(mark: Mark) -> bool:
        state, at_us = mark
        return any(m != mark and _STATE_RANK[m[0]] >= _STATE_RANK[state] and m[1] >= at_us for m in marks)

    return tuple(sorted({m for m in marks if not dominated(m)}))


def contact_order(contact: Contact) -> tuple[int, str]:
    """Rank contacts by time; of two at the same time by offer."""
    return contact.at_us, contact.offer_id


def outcome_order(happened: RecordedOutcome) -> tuple[int, str, str, float]:
    """Rank the outcomes of one action by time."""
    return happened.at_us, happened.outcome, happened.offer_id or "", happened.value_eur or 0.0


def _decision(body: Body, occurred_us: int) -> PastChanges:
    return PastChanges(
        contacts=tuple(_checked(Contact(**{**fields, "state": "reserved"})) for fields in body["contacts"])
    )


def _checked(contact: Contact) -> Contact:
    """Return the contact, which must be fit to be packed."""
    if set(map(type, _WORDS(contact))) != {str} or not all(
        type(at_us) is int and abs(at_us) < _FOREVER_US for at_us in (contact.at_us, contact.reserved_until_us)
    ):
        raise TypeError("a contact has words, and times in microseconds")
    return contact


def _contact(body: Body, occurred_us: int) -> PastChanges:
    wrong = body.get("corrects")
    return PastChanges(
        marks=() if body["state"] == RETRACTED else (_mark_of(body, occurred_us),),
        taken_back=(_mark_of(wrong, int(wrong["occurred_us"])),) if wrong else (),
    )


def _mark_of(body: Body, at_us: int) -> tuple[str, ContactState, int]:
    state = cast(ContactState, body["state"])
    _ = _STATE_RANK[state]
    return _text(body["offer_id"]), state, at_us


def _outcome(body: Body, occurred_us: int) -> PastChanges:
    name = _text(body["outcome"])
    outcomes = [] if name == RETRACTED else [(_outcome_of(body, name, occurred_us), 1)]
    if wrong := body.get("corrects"):
        outcomes.append((_outcome_of(wrong, _text(wrong["outcome"]), wrong["occurred_us"]), -1))
    return PastChanges(outcomes=tuple(outcomes))


def _outcome_of(body: Body, outcome: str, at_us: int) -> RecordedOutcome:
    value = body.get("value_eur")
    eur = None if value is None else float(value) + 0.0  # equal values are equal texts: -0.0 becomes 0.0
    return RecordedOutcome(_text(body["action"]), outcome, int(at_us), body.get("offer_id"), eur)


def _observation(body: Body, occurred_us: int) -> PastChanges:
    offer_id = observation_id(body, occurred_us)
    about = {"action": body["action"], "offer_id": offer_id}
    outcomes = tuple(
        (_outcome_of({**o, **about}, _text(o["outcome"]), o.get("occurred_us") or occurred_us), 1)
        for o in body.get("outcomes", ())
    )
    contacts = () if body["action"] == "none" else (_observed_contact(body, offer_id, occurred_us),)
    return PastChanges(contacts=contacts, outcomes=outcomes)


def observation_id(body: Body, occurred_us: int) -> str:
    """Return the id of an observation's offer: the one that it states, else one made of it."""
    return body.get("observation_id") or "observed-" + sha256(to_json([body, occurred_us])).hexdigest()[:24]


def _observed_contact(body: Body, offer_id: str, occurred_us: int) -> Contact:
    """Return what another system showed as a contact that was seen, so that caps and history count it."""
    contact = Contact(
        offer_id=offer_id,
        action=_text(body["action"]),
        treatment=body.get("treatment") or "",
        group=body.get("group") or "",
        issue=body.get("issue") or "",
        channel=body["channel"],
        at_us=occurred_us,
        reserved_until_us=occurred_us,
        counts_on="seen",
        state="seen",
    )
    return _checked(contact)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value


_CHANGES = {
    "decision": _decision,
    "account_decision": _decision,
    "contact": _contact,
    "outcome": _outcome,
    "observation": _observation,
}
PAST_KINDS = frozenset(_CHANGES)
"""The kinds of records that change the past."""
