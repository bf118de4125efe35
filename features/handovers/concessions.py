"""What is given away to customers: held by a live decision that takes an alternative, given by an acceptance."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from decisioning.catalogue.actions import Action
from decisioning.catalogue.people.budgets import cents_of, left_cents
from decisioning.catalogue.release import Release
from decisioning.deciding.record import Decision
from decisioning.errors import WrongState
from decisioning.facts.concessions import Concession, ConcessionState
from decisioning.facts.forms import Ask, Known
from decisioning.facts.standing import Standing
from decisioning.facts.standing_rules import NO_PAST
from features.ledger import Entry, Ledger
from features.ledger.links import with_identities
from features.ledger.past.changes import RETRACTED
from features.ledger.standing import CONCESSION

_ENDED: Final = frozenset(("expired", "not_delivered"))
_NOT_ON_OFFER: Final = "this is not on offer any more, and there is no room left to give it: see what is on offer now"


class DecidedOffer(NamedTuple):
    """An offer of a decision: the person's stream, its action (None if the release lacks it), the account if it is its.

    `named`: the account that the request named. `contact`: what its decision reserved. `swapped`: whether an agent took
    it as an alternative.
    """

    person: str
    action: Action | None
    account: str | None
    named: str | None
    contact: Mapping[str, Any]
    swapped: bool


class Answered(NamedTuple):
    """What is said of an offer: an outcome, a contact state or `retracted`, and the names of what that corrects.

    `within_budget`: whether it may not give away more than is left, also if no agent took it as an alternative.
    """

    name: str
    wrong: frozenset[str]
    at_us: int
    within_budget: bool


def entries_of(ask: Ask, known: Known, decision: Decision) -> list[Entry]:
    """Return the records of what is held from now on, and of what is not held any more.

    They are on the streams of the person and of the account that the request names. Where nothing was chosen, as a gate
    stopped it or the customer's mood silences sales, what was held stays held.
    """
    negotiation, contacts = ask.negotiation, decision.contacts
    if negotiation is None or negotiation.take is None or not contacts:
        return []
    body = _body(contacts[0], _cents(decision.computed.release, contacts[0]["action"]), "held")
    let_go = _let_go(known, frozenset(negotiation.instead_of))
    entries = [Entry(stream, CONCESSION, {"offer_id": offer, "state": "released"}, None) for stream, offer in let_go]
    return [*entries, *(Entry(stream, CONCESSION, body, None) for stream in _streams(known))]


def let_go_entries(known: Known, decision: Decision) -> list[Entry]:
    """Return the records that let go of what a decision held which nobody was told of."""
    negotiation = decision.computed.case.ask.negotiation
    if negotiation is None or negotiation.take is None:
        return []
    return [
        Entry(stream, CONCESSION, {"offer_id": contact["offer_id"], "state": "released"}, None)
        for stream in _streams(known)
        for contact in decision.contacts
    ]


def _streams(known: Known) -> list[str]:
    return [known.person.stream, *([known.account.stream] if known.account is not None else [])]


def _let_go(known: Known, instead_of: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield (stream, offer) of what is held and makes room, on whichever stream of the person it is."""
    others = known.person.visitors or known.person.elsewhere
    elsewhere = {one.offer_id for standing in others for one in standing.concessions}
    account = [] if known.account is None else [known.account]
    for standing in (known.person, *others, *account):
        for one in standing.concessions:
            is_own = standing is not known.person or one.offer_id not in elsewhere
            if one.offer_id in instead_of and not one.given and is_own:
                yield standing.stream, one.offer_id


def answer_entries(
    ledger: Ledger, release: Release, offer: DecidedOffer, answer: Answered
) -> tuple[list[Entry], dict[str, int]]:
    """Return the records of what an answer gives away or makes room for, and the versions that were read for them.

    :raises WrongState: it accepts what is not on offer any more, and there is no room left; only of an offer that an
        agent took, or `within_budget`
    """
    action, cents = offer.action, _cents(release, offer.contact["action"])
    if action is None or not (offer.swapped or cents):
        return [], {}
    standing, account = _standings(ledger, offer)
    kept = next((one for one in standing.concessions if one.offer_id == offer.contact["offer_id"]), None)
    state = _next_state(action, kept, answer)
    if state is None:
        return [], {}
    is_promised = kept is not None and ledger.clock() < kept.until_us
    if state == "given" and not is_promised and (offer.swapped or answer.within_budget):
        _check_room(release, action, Known({}, standing, account), ledger.clock())
    body = _body(offer.contact, cents if kept is None else kept.cents, state)
    read = [of for of in (standing, account) if of is not None and not of.erased]
    entries = [Entry(of.stream, CONCESSION, body, answer.at_us, of.version) for of in read]
    return entries, {other.stream: other.version for other in standing.visitors or standing.elsewhere}


def _standings(ledger: Ledger, offer: DecidedOffer) -> tuple[Standing, Standing | None]:
    read = partial(ledger.read, rules=NO_PAST)
    own, *account = read(offer.person, *([offer.named] if offer.named is not None else []))
    return with_identities([own], read)[0], account[0] if account else None


def _next_state(action: Action, kept: Concession | None, answer: Answered) -> ConcessionState | None:
    """Return what becomes of what an offer gives away; None if nothing changes."""
    positive = frozenset(action.outcomes.positive)
    if answer.name in positive:
        return None if kept is not None and kept.given else "given"
    if kept is None:
        return None
    is_taken_back = kept.given and not positive.isdisjoint(answer.wrong)
    if answer.name in _ENDED or answer.name in action.outcomes.negative:
        return "released" if is_taken_back or not kept.given else None
    return "held" if is_taken_back or (answer.name == RETRACTED and kept.given) else None


def _check_room(release: Release, action: Action, known: Known, now_us: int) -> None:
    for budget in release.catalogue.budgets:
        left = left_cents(budget, known.person, known.account, now_us)
        if budget.attach.covers(action) and cents_of(action.gives_eur) > left:
            raise WrongState("offer_id", _NOT_ON_OFFER)


def _body(contact: Mapping[str, Any], cents: int, state: ConcessionState) -> dict[str, Any]:
    about = {name: contact[name] for name in ("offer_id", "action", "group", "issue")}
    return {**about, "state": state, "cents": cents, "until_us": contact["reserved_until_us"]}


def _cents(release: Release, action: str) -> int:
    """Return how many cents an action of a release gives away; 0 of one that it lacks."""
    declared = release.actions.get(action)
    return 0 if declared is None else cents_of(declared.gives_eur)
