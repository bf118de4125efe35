"""Links between a person and visitors, and between customers who are one person: their records, and who is merged.

A link is recorded in two streams, in one transaction, each at the version that was read: the person's stream keeps the
latest statement about every visitor, the visitor's stream keeps whose it is. So a visitor belongs to at most one
person, whatever other processes do. Of two customers who are joined, each stream keeps the statement about the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from decisioning.errors import Erased, LinkedElsewhere, Refused
from decisioning.facts.identity import merge_elsewhere, merge_standings
from decisioning.facts.standing import Link, Standing
from decisioning.times import TOLERANCE_US
from features.ledger.driver import in_chunks
from features.ledger.records import Entry
from features.ledger.standing import link_order

MAX_LINKED: Final = 100
"""How many visitors and other customers may be one person with a customer at a time; a decision reads them all."""
Read = Callable[..., Sequence[Standing]]
"""Streams -> their standings, such as `Ledger.read`."""


def link_entries(person: Standing, visitor: Standing, link: Link, now_us: int) -> list[Entry]:
    """Return the records, to append together, of a statement that `visitor` is `person`, or is not.

    The list is empty if the same statement is recorded already. A statement that ranks below a recorded one (see
    `link_order`) is kept on the person's stream and changes nothing.

    :param visitor: as `with_true_holder` returns it
    :param link: at the time when it counts on the person's stream, which may be ahead of the clock's
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
    superseded = previous is not None and link_order(person.rule, previous) > link_order(person.rule, link)
    if superseded or not (link.linked or link.visitor in person.linked):
        return [of_person]
    if link.linked:
        _check_free(person, visitor, link)
    holder = {"person": person.stream, "linked": link.linked}
    return [of_person, Entry(visitor.stream, "linked_to", holder, _held_us(visitor, link, now_us), visitor.version)]


def _held_us(visitor: Standing, link: Link, now_us: int) -> int | None:
    """Return when it counts on the visitor's stream, not before the last word about whose it is; None: now."""
    if link.occurred_us >= now_us:
        return None
    return link.occurred_us if visitor.holder is None else max(link.occurred_us, visitor.holder.occurred_us)


def with_true_holder(visitor: Standing, read: Read) -> Standing:
    """Return a visitor's standing without a holder whose own stream says that they are not the visitor.

    A link that was dated ahead could not be undone on both streams, before nothing counted as later than recorded.

    :param read: stream -> standing, such as `Ledger.read`
    """
    holder = visitor.holder
    if holder is None or not holder.linked or visitor.stream in read(holder.person)[0].linked:
        return visitor
    return replace(visitor, holder=replace(holder, linked=False))


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
        if holder.occurred_us - TOLERANCE_US >= link.occurred_us:
            raise LinkedElsewhere("occurred_at", "the identifier was another customer's until then; name a later time")
    _check_number(person, link, 1)


def _check_number(person: Standing, link: Link, more: int) -> None:
    """Raise Refused if `more` identifiers would be too many for a person, whose standing may be merged."""
    if link.visitor not in person.linked and max(len(person.linked), len(person.visitors)) + more > MAX_LINKED:
        raise Refused(f"a customer may have {MAX_LINKED} linked identifiers; unlink those that are no longer theirs")


def join_entries(one: Standing, other: Standing, link: Link, now_us: int) -> list[Entry]:
    """Return the records, to append together, of a statement that two customers are one person, or are not.

    Both streams keep it, so that either tells of the other. The list is empty if it is recorded already.

    :param one: the standing of one customer, merged with those that are the same person already; `other` likewise
    :param link: the statement as the first customer's stream keeps it, at the time when it counts there
    :raises Erased: one of the customers was erased
    :raises Refused: together they would have more than `MAX_LINKED` identifiers
    """
    if one.erased:
        raise Erased("customer_id", "this customer was erased")
    if other.erased:
        raise Erased("identifier", "this customer was erased, and is left alone")
    if latest_link(one, other.stream) == link:
        return []
    if link.linked and all(v.stream != other.stream for v in one.visitors):
        _check_number(one, link, 1 + len(other.visitors))
    about = {"kind": link.kind, "source": link.source}
    kind = "link" if link.linked else "unlink"
    other_us = None if link.occurred_us >= now_us else link.occurred_us
    return [
        Entry(of.stream, kind, {"visitor": to.stream, **about}, at_us, of.version)
        for of, to, at_us in ((one, other, link.occurred_us), (other, one, other_us))
    ]


def with_identities(standings: Sequence[Standing], read: Read) -> tuple[Standing, ...]:
    """Return each standing merged with those of the other identifiers of the same person.

    :param read: called once for those that standings name, and again for those that joined customers, or the person of
        a visitor, name in turn; never without any
    """
    if not any(standing.links or standing.holder for standing in standings):
        return tuple(standings)
    of = {standing.stream: standing for standing in standings}
    groups = [identities(standing, of) for standing in standings]
    while missing := sorted({stream for group in groups for stream in group} - of.keys()):
        of.update((standing.stream, standing) for part in in_chunks(missing) for standing in read(*part))
        groups = [identities(standing, of) for standing in standings]
    return tuple(
        _merged(one, [of[s] for s in group if s != one.stream]) for one, group in zip(standings, groups, strict=True)
    )


def _merged(standing: Standing, others: Sequence[Standing]) -> Standing:
    return merge_standings(standing, others) if standing.holder is None else merge_elsewhere(standing, others)


def identities(standing: Standing, of: Mapping[str, Standing]) -> set[str]:
    """Return the streams of all identifiers of a person, of a customer's or of a linked visitor's, its own included.

    :param of: the standings that are known, by stream; identifiers that others name are left out
    """
    holder = standing.holder
    first = holder.person if holder is not None and holder.linked else standing.stream
    if first in of and first != standing.stream and standing.stream not in of[first].linked:
        return {standing.stream}  # see `with_true_holder`
    streams, people = {standing.stream, first}, [first]
    while people:
        person = of.get(people.pop())
        if person is not None:
            people += set(person.joined) - streams
            streams.update(person.linked)
    return streams


def identities_of(stream: str, read: Read) -> tuple[str, ...]:
    """Return the streams of all identifiers of a customer, their own first; of a visitor its own alone."""
    (standing,) = with_identities(read(stream), read)
    return (stream, *(other.stream for other in standing.visitors))
