"""One person behind several identifiers: links are records, nothing is copied, and standings are merged when read.

A linked visitor's contacts and outcomes count as the person's own, and its consents can only narrow (see
`decisioning.consent`). So neither caps, suppression, restriction nor consents let anything through that they stopped
before the link. (What a rule makes of the united history is up to the rule, and who may no longer be profiled is worth
what is typical, also where their own value is unknown.)

A request that names a visitor is decided as that visitor, under the visitor's own consents and from its own stream
alone, linked or not: a device may be shared, and what a person did elsewhere stays theirs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

from decisioning.facts.standing import Contact, LinkKind, RecordedOutcome, Standing


def visitor_id(kind: LinkKind, value: str) -> str:
    """The id under which requests, signals and streams know an identifier: `v-1` for a visitor, else `cookie:abc`."""
    return value if kind == "visitor" else f"{kind}:{value}"


def merge_standings(person: Standing, visitors: Sequence[Standing]) -> Standing:
    """The person's standing with those of the visitors linked to them; without any, the very same.

    Stream and version stay the person's; the visitors' are in `visitors`. An erased visitor has nothing to add.
    """
    if not visitors or person.erased:
        return person
    taken = tuple(sorted(visitors, key=attrgetter("stream")))
    everyone = (person, *taken)
    return replace(
        person,
        contacts=tuple(sorted((c for s in everyone for c in s.contacts), key=_contact_order)),
        outcomes=dict(_outcomes(everyone)),
        restricted=any(s.restricted for s in everyone),
        visitors=taken,
    )


def _contact_order(contact: Contact) -> tuple[int, str]:
    return contact.at_us, contact.offer_id


def _outcomes(everyone: Sequence[Standing]) -> Iterator[tuple[str, tuple[RecordedOutcome, ...]]]:
    """By action, each oldest first."""
    for action in sorted({action for s in everyone for action in s.outcomes}):
        known = (happened for s in everyone for happened in s.outcomes.get(action, ()))
        yield action, tuple(sorted(known, key=attrgetter("at_us")))
