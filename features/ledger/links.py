"""Links between a person and visitors: the records of a link, and the standing with visitors.

A link is recorded in two streams, in one transaction, each at the version that was read: the person's stream keeps the
latest statement about every visitor, the visitor's stream keeps whose it is. So a visitor belongs to at most one
person, whatever other processes do.
"""

from collections.abc import Callable, Sequence
from typing import Final

from decisioning.errors import Erased, LinkedElsewhere, Refused
from decisioning.facts.identity import merge_standings
from decisioning.facts.standing import Link, Standing
from features.ledger.driver import in_chunks
from features.ledger.records import Entry
from features.ledger.standing import link_order

MAX_LINKED: Final = 100
"""How many visitors may be linked to a person at a time; a decision reads them all."""


def link_entries(person: Standing, visitor: Standing, link: Link) -> list[Entry]:
    """Return the records, to append together, of a statement that `visitor` is `person`, or is not.

    The list is empty if the same statement is recorded already. A statement that ranks below a recorded one (see
    `link_order`) is kept on the person's stream and changes nothing.

    :raises LinkedElsewhere: the visitor is linked to another person, or was until a time not before this statement's
    :raises Erased: the person or the visitor was erased
    :raises Refused: the person has `MAX_LINKED` visitors already
    """
    if person.erased:
        raise Erased("customer_id", "this customer was erased")
    previous = latest_link(person, link.visitor)
    if previous == link:
        return []
    body = {"visitor": link.visitor, "kind": link.kind, "source": link.source}
    kind = "link" if link.linked else "unlink"
    of_person = Entry(person.stream, kind, body, link.occurred_us, person.version)
    superseded = previous is not None and link_order(previous) > link_order(link)
    if superseded or not (link.linked or link.visitor in person.linked):
        return [of_person]
    if link.linked:
        _check_free(person, visitor, link)
    holder = {"person": person.stream, "linked": link.linked}
    return [of_person, Entry(visitor.stream, "linked_to", holder, link.occurred_us, visitor.version)]


def latest_link(person: Standing, visitor: str) -> Link | None:
    """Return the latest statement about whether `visitor` is this person, or None."""
    return next((link for link in person.links if link.visitor == visitor), None)


def _check_free(person: Standing, visitor: Standing, link: Link) -> None:
    if visitor.erased:
        raise Erased("identifier", "this visitor was erased, and is left alone")
    holder = visitor.holder
    if holder is not None and holder.person != person.stream:
        if holder.linked:
            raise LinkedElsewhere("identifier", "it is linked to another customer; unlink it there first")
        if holder.occurred_us >= link.occurred_us:
            raise LinkedElsewhere("occurred_at", "the identifier was another customer's until then; name a later time")
    if link.visitor not in person.linked and len(person.linked) >= MAX_LINKED:
        raise Refused(f"a customer may have {MAX_LINKED} linked identifiers; unlink those that are no longer theirs")


def with_linked_visitors(
    standings: Sequence[Standing], read: Callable[..., Sequence[Standing]]
) -> tuple[Standing, ...]:
    """Return each standing merged with those of its linked visitors.

    :param read: streams -> standings, such as `Ledger.read`; called once per 500 linked visitors, never without any
    """
    linked = sorted({visitor for standing in standings for visitor in standing.linked})
    visitors = {standing.stream: standing for part in in_chunks(linked) for standing in read(*part)}
    return tuple(
        merge_standings(standing, [visitors[visitor] for visitor in standing.linked]) for standing in standings
    )
