"""One person with several identifiers: links are records, nothing is copied, standings are merged when they are read.

The contacts and outcomes of a linked visitor count as the person's own, and the visitor's consents can only narrow (see
`decisioning.deciding.consent`). So caps, suppression, restriction and consents let nothing through that they stopped
before the link. (What a rule concludes from the merged history depends on the rule. For a person who may no longer be
profiled an expression counts as its typical amount, even if their own value is unknown.) Two customers who are joined
are one person in the same way, whichever of their ids is asked for, with the visitors of both.

A request that names a visitor is decided for that visitor, under the visitor's own consents and from its own stream: a
device may be shared, and what the person did elsewhere stays theirs. But caps and suppressions, which can only hold
back, count the person whole: what was shown and answered under every identifier that is linked now.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

from decisioning.facts.concessions import Concession
from decisioning.facts.standing import Contact, RecordedOutcome, Standing, VisitorKind


def visitor_id(kind: VisitorKind, value: str) -> str:
    """Return the id of an identifier in requests, signals and streams: `v-1` for a visitor, else `cookie:abc`."""
    return value if kind == "visitor" else f"{kind}:{value}"


def merge_standings(person: Standing, others: Sequence[Standing]) -> Standing:
    """Return the person's standing merged with those of their linked visitors, and of joined customers with theirs.

    It is the same object if there are none. Stream and version stay the person's; the others' own standings are in
    `visitors`. An erased visitor has nothing to add; an erased person's standing is returned as it is.
    """
    if not others or person.erased:
        return person
    linked = tuple(sorted(others, key=attrgetter("stream")))
    everyone = (person, *linked)
    return replace(
        person,
        contacts=_contacts(everyone),
        outcomes=dict(_outcomes_by_action(everyone)),
        concessions=_concessions(everyone),
        restricted=any(s.restricted for s in everyone),
        visitors=linked,
        person_stream=_representative(person.stream, everyone),
    )


def merge_elsewhere(visitor: Standing, others: Sequence[Standing]) -> Standing:
    """Return a visitor's standing with what was shown elsewhere to the person that it is linked to.

    :param others: the standings of the person and of all their other identifiers; there are none for an unlinked one
    """
    if not others or visitor.erased or visitor.holder is None:
        return visitor
    elsewhere = tuple(sorted(others, key=attrgetter("stream")))
    return replace(
        visitor,
        contacts=_contacts((visitor, *elsewhere)),
        concessions=_concessions((visitor, *elsewhere)),
        elsewhere=elsewhere,
        person_stream=_representative(visitor.holder.person, elsewhere),
    )


def is_of(person: Standing, stream: str) -> bool:
    """Tell whether a stream is that of a merged standing, or of another identifier of the same person.

    What was decided, or awaited, on an earlier stretch of a visitor is not for whoever uses the visitor now.
    """
    return stream == person.stream or any(other.stream == stream for other in person.visitors or person.elsewhere)


def _representative(person: str, everyone: Sequence[Standing]) -> str | None:
    """Return the first of the streams of joined customers, the same for each of them; None if nobody is joined."""
    of, reached, waiting = {s.stream: s for s in everyone}, {person}, [person]
    while waiting:
        standing = of.get(waiting.pop())
        new = (set(standing.joined) & of.keys()) - reached if standing is not None else set()
        reached |= new
        waiting += new
    return min(reached) if len(reached) > 1 else None


def _contacts(everyone: Sequence[Standing]) -> tuple[Contact, ...]:
    return tuple(sorted((c for s in everyone for c in s.contacts), key=_contact_order))


def _concessions(everyone: Sequence[Standing]) -> tuple[Concession, ...]:
    """Return what was given away under every identifier, oldest first."""
    return tuple(sorted((c for s in everyone for c in s.concessions), key=_contact_order))


def _contact_order(contact: Contact | Concession) -> tuple[int, str]:
    return contact.at_us, contact.offer_id


def _outcomes_by_action(everyone: Sequence[Standing]) -> Iterator[tuple[str, tuple[RecordedOutcome, ...]]]:
    """Yield each action with its outcomes, oldest first, in order of action."""
    for action in sorted({action for s in everyone for action in s.outcomes}):
        outcomes = (outcome for s in everyone for outcome in s.outcomes.get(action, ()))
        yield action, tuple(sorted(outcomes, key=attrgetter("at_us")))
