"""One person with several identifiers: links are records, nothing is copied, standings are merged when they are read.

The contacts and outcomes of a linked visitor count as the person's own, and the visitor's consents can only narrow (see
`decisioning.deciding.consent`). So caps, suppression, restriction and consents let nothing through that they stopped
before the link. (What a rule concludes from the merged history depends on the rule. For a person who may no longer be
profiled an expression counts as its typical amount, even if their own value is unknown.)

A request that names a visitor is decided for that visitor, under the visitor's own consents and from its own stream
alone, linked or not: a device may be shared, and what the person did elsewhere stays theirs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

from decisioning.facts.standing import Contact, LinkKind, RecordedOutcome, Standing


def visitor_id(kind: LinkKind, value: str) -> str:
    """Return the id of an identifier in requests, signals and streams: `v-1` for a visitor, else `cookie:abc`."""
    return value if kind == "visitor" else f"{kind}:{value}"


def merge_standings(person: Standing, visitors: Sequence[Standing]) -> Standing:
    """Return the person's standing merged with those of the visitors linked to them; the same object if there are none.

    Stream and version stay the person's; the visitors' own standings are in `visitors`. An erased visitor has nothing
    to add; an erased person's standing is returned as it is.
    """
    if not visitors or person.erased:
        return person
    linked = tuple(sorted(visitors, key=attrgetter("stream")))
    everyone = (person, *linked)
    return replace(
        person,
        contacts=tuple(sorted((c for s in everyone for c in s.contacts), key=_contact_order)),
        outcomes=dict(_outcomes_by_action(everyone)),
        restricted=any(s.restricted for s in everyone),
        visitors=linked,
    )


def _contact_order(contact: Contact) -> tuple[int, str]:
    return contact.at_us, contact.offer_id


def _outcomes_by_action(everyone: Sequence[Standing]) -> Iterator[tuple[str, tuple[RecordedOutcome, ...]]]:
    """Yield each action with its outcomes, oldest first, in order of action."""
    for action in sorted({action for s in everyone for action in s.outcomes}):
        outcomes = (outcome for s in everyone for outcome in s.outcomes.get(action, ()))
        yield action, tuple(sorted(outcomes, key=attrgetter("at_us")))
