"""Links between a person and visitors, and between customers who are one person: their records, and who is merged.

This is the one place that knows what belongs to whom. A visitor's doings belong to a person from link to unlink, and so
does what came unlinked before, back to the last unlink of anyone else: that is a stretch of the visitor, a ledger
stream of its own (`decisioning.facts.stretches`). It stays theirs when they are unlinked, for exports and erasures;
decisions read it while they are linked. What is told by the time of a link counts by when it was recorded.

A link is recorded in two streams, in one transaction, each at the version that was read: the person's stream keeps the
latest statement about every visitor and which stretches are theirs, the stretch's stream keeps whose it is. So a
stretch belongs to at most one person, whatever other processes do. An unlink ends the stretch, and begins the next with
the consents that were told while nobody was linked. Of two customers who are joined, each stream keeps the statement
about the other.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import Row, bindparam, select
from sqlalchemy.sql import Executable

from decisioning.errors import Erased, LinkedElsewhere, Refused
from decisioning.facts.identity import merge_elsewhere, merge_standings
from decisioning.facts.standing import Consent, Holder, Link, Standing
from decisioning.facts.stretches import ends_of, stretch_of
from decisioning.times import TOLERANCE_US
from features.ledger.driver import in_chunks
from features.ledger.records import Entry, Record
from features.ledger.standing import Fold, apply, link_order
from features.ledger.tables import RECORDS

MAX_LINKED: Final = 100
"""How many visitors and other customers may be one person with a customer at a time; a decision reads them all."""
Read = Callable[..., Sequence[Standing]]
"""Streams -> their standings, such as `Ledger.read`."""
Select = Callable[[Executable, Mapping[str, Any]], Iterable[Row[Any]]]
TAKEN_OVER: Final = "taken-over"
"""The source of a consent that a stretch took over from the one before."""
_GPC: Final = "gpc"
LINKS: Final = select(RECORDS.c.body).where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.kind == "link")
BY_LINK: Final = (
    select(RECORDS)
    .where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.kind.in_(("consent", "linked_to")))
    .order_by(RECORDS.c.version)
)
"""The consents and links of a stretch; the consents before its first link were told while nobody was linked."""


@dataclass(frozen=True, slots=True)
class VisitorNow:
    """What a visitor's stream is now.

    `visitor`: the stream that the visitor's id names. `stretch`: the standing of the stretch that takes what comes now.
    `ended`: that of `ends_of` the visitor; its version is the number of the stretch, its holder is who was linked last.
    """

    visitor: str
    stretch: Standing
    ended: Standing

    @property
    def holder(self) -> Holder | None:
        """The last record of whose it is, or was before this stretch."""
        return self.stretch.holder or self.ended.holder


def visitors_now(visitors: Sequence[str], read: Read) -> list[VisitorNow]:
    """Return what each visitor's stream is now; of visitors who were never unlinked from anyone it takes one reading.

    :param visitors: the streams that ids of visitors name, each once
    """
    standings = {standing.stream: standing for standing in read(*visitors, *map(ends_of, visitors))}
    current = {v: stretch_of(v, standings[ends_of(v)].version) for v in visitors}
    if moved := [stretch for stretch in current.values() if stretch not in standings]:
        standings.update((standing.stream, standing) for standing in read(*moved))
    return [VisitorNow(v, standings[current[v]], standings[ends_of(v)]) for v in visitors]


def all_stretches(visitor: str, read: Read) -> tuple[str, ...]:
    """Return the streams of every stretch of a visitor, whosever they are; of a person it is the stream alone."""
    (ended,) = read(ends_of(visitor))
    return tuple(stretch_of(visitor, number) for number in range(ended.version + 1))


def link_entries(
    person: Standing, visitor: VisitorNow, link: Link, now_us: int, consents: Sequence[Consent] = ()
) -> list[Entry]:
    """Return the records, to append together, of a statement that `visitor` is `person`, or is not.

    The list is empty if the same statement is recorded already. A statement that ranks below a recorded one (see
    `link_order`) is kept on the person's stream and changes nothing.

    :param visitor: with the holder that `with_true_holder` returns
    :param link: at the time when it counts on the person's stream, which may be ahead of the clock's
    :param consents: what the stretch that takes what comes from then on takes over; see `consents_kept`
    :raises LinkedElsewhere: the visitor is linked to another person, or was until a time not before this statement's
    :raises Erased: the person or the visitor was erased
    :raises Refused: the person has `MAX_LINKED` visitors already
    """
    if person.erased:
        raise Erased("customer_id", "this customer was erased")
    previous = latest_link(person, link.visitor)
    if previous is not None and previous == replace(link, stretches=previous.stretches):
        return []
    superseded = previous is not None and link_order(person.rule, previous) > link_order(person.rule, link)
    if superseded or not (link.linked or (previous is not None and previous.linked)):
        return [_of_person(person, link, None)]
    if not link.linked:
        return [_of_person(person, link, None), *_ending(person, visitor, link, now_us, consents)]
    _check_free(person, visitor, link, now_us)
    return _linking(person, visitor, link, now_us, consents)


def _of_person(person: Standing, link: Link, stretch: int | None) -> Entry:
    """Return the record on the person's stream; `stretch` becomes theirs, None: nothing does."""
    body: dict[str, str | int | None] = {"visitor": link.visitor, "kind": link.kind, "source": link.source}
    if stretch != 0:
        body["stretch"] = stretch
    return Entry(person.stream, "link" if link.linked else "unlink", body, link.occurred_us, person.version)


def _linking(
    person: Standing, visitor: VisitorNow, link: Link, now_us: int, consents: Sequence[Consent]
) -> list[Entry]:
    """Return the records of a link; a stretch that was another person's, as old unlinks left them, ends first."""
    holder, number, at_us = visitor.stretch.holder, visitor.ended.version, _held_us(visitor, link, now_us)
    body = {"person": person.stream, "linked": True}
    if holder is None or holder.person == person.stream:
        of_stretch = Entry(visitor.stretch.stream, "linked_to", body, at_us, visitor.stretch.version)
        return [_of_person(person, link, number), of_stretch, *_consents(visitor.stretch.stream, consents, now_us)]
    following = stretch_of(visitor.visitor, number + 1)
    return [
        _of_person(person, link, number + 1),
        _end(visitor, holder.person, at_us),
        *_restriction(visitor, following),
        *_consents(following, [consent for consent in visitor.stretch.consents if consent.refuses], now_us),
        Entry(following, "linked_to", body, at_us),
        *_consents(following, consents, now_us),
    ]


def _ending(person: Standing, visitor: VisitorNow, link: Link, now_us: int, consents: Sequence[Consent]) -> list[Entry]:
    """Return the records by which the person's stretch ends and the next one begins; none if it is not theirs."""
    holder = visitor.stretch.holder
    if holder is None or not holder.linked or holder.person != person.stream:
        return []
    at_us = _held_us(visitor, link, now_us)
    said = {"person": person.stream, "linked": False}
    following = stretch_of(visitor.visitor, visitor.ended.version + 1)
    return [
        Entry(visitor.stretch.stream, "linked_to", said, at_us, visitor.stretch.version),
        _end(visitor, person.stream, at_us),
        *_restriction(visitor, following),
        *_consents(following, consents, now_us),
    ]


def _end(visitor: VisitorNow, person: str, at_us: int | None) -> Entry:
    """Return the record that the stretch ended, which was this person's."""
    return Entry(visitor.ended.stream, "linked_to", {"person": person, "linked": False}, at_us, visitor.ended.version)


def _restriction(visitor: VisitorNow, following: str) -> list[Entry]:
    return [Entry(following, "flag", {"restricted": True}, None)] if visitor.stretch.restricted else []


def _consents(stretch: str, consents: Iterable[Consent], now_us: int) -> list[Entry]:
    """Return what a stretch takes over; what a clock ahead recorded counts as of the stretch's own time."""
    each = ((consent, consent.occurred_us if consent.occurred_us < now_us else None) for consent in consents)
    return [Entry(stretch, "consent", _consent_body(consent), at_us) for consent, at_us in each]


def _consent_body(consent: Consent) -> dict[str, str | int | None]:
    """Return what binds of a consent, without the words of whoever told it: those go when they are erased.

    A browser's Global Privacy Control is known by its source.
    """
    names = ("purpose", "channel", "status", "notice_version", "expires_us")
    source = consent.source if consent.source.casefold() == _GPC else TAKEN_OVER
    return {**{name: getattr(consent, name) for name in names}, "source": source, "asserted_by": None}


def _held_us(visitor: VisitorNow, link: Link, now_us: int) -> int | None:
    """Return when it counts on the visitor's stream, not before the last word about whose it is; None: now."""
    if link.occurred_us >= now_us:
        return None
    return link.occurred_us if visitor.holder is None else max(link.occurred_us, visitor.holder.occurred_us)


def consents_kept(
    person: Standing, visitor: VisitorNow, link: Link, read: Read, records: Callable[[str], Iterable[Record]]
) -> tuple[Consent, ...]:
    """Return the consents that a stretch takes over when a person is linked or unlinked.

    The stretch after an unlink takes over what was told while nobody was linked: what an unlinked visitor refuses binds
    whoever is linked next. The stretch of a person who is linked again takes over what was told of their last one.

    :param records: stretch -> the records that `BY_LINK` selects
    """
    previous = latest_link(person, link.visitor)
    if link.linked:
        last = previous.streams[-1:] if previous is not None and not previous.linked else ()
        return read(*last)[0].consents if last else ()
    fold = Fold(visitor.stretch.stream)
    for record in takewhile(lambda record: record.kind == "consent", records(fold.stream)):
        if record.body is not None:
            fold = apply(fold, record.kind, record.body, record.version, record.counted_us)
    return fold.consents


def with_true_holder(visitor: VisitorNow, read: Read) -> VisitorNow:
    """Return a visitor without a holder whose own stream says that they are not the visitor.

    A link that was dated ahead could not be undone on both streams, before nothing counted as later than recorded.

    :param read: stream -> standing, such as `Ledger.read`
    """
    stretch = visitor.stretch
    holder = stretch.holder
    if holder is None or not holder.linked or stretch.stream in read(holder.person)[0].linked:
        return visitor
    return replace(visitor, stretch=replace(stretch, holder=replace(holder, linked=False)))


def latest_link(person: Standing, visitor: str) -> Link | None:
    """Return the latest statement about whether `visitor` is this person, or None."""
    return next((link for link in person.links if link.visitor == visitor), None)


def _check_free(person: Standing, visitor: VisitorNow, link: Link, now_us: int) -> None:
    """Raise what `link_entries` does. A link of now follows whatever a clock that was ahead recorded."""
    if visitor.stretch.erased:
        raise Erased("identifier", "this visitor was erased, and is left alone")
    holder = visitor.holder
    if holder is not None and holder.person != person.stream:
        if holder.linked:
            raise LinkedElsewhere("identifier", "it is linked to another customer; unlink it there first")
        if holder.occurred_us - TOLERANCE_US >= link.occurred_us and link.occurred_us < now_us:
            raise LinkedElsewhere("occurred_at", "the identifier was another customer's until then; name a later time")
    _check_number(person, link, 1)


def _check_number(person: Standing, link: Link, more: int) -> None:
    """Raise Refused if `more` identifiers would be too many for a person, whose standing may be merged."""
    previous, number = latest_link(person, link.visitor), sum(other.linked for other in person.links)
    merged = len(person.visitors) - len(person.linked) + number
    if (previous is None or not previous.linked) and max(number, merged) + more > MAX_LINKED:
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

    A stretch whose own stream says that it is somebody else's is never among them, nor is a customer whose own stream
    does not join them: of two streams, a clock that was ahead may have kept only one from taking over a statement.

    :param of: the standings that are known, by stream; identifiers that others name are left out
    """
    holder = standing.holder
    first = holder.person if holder is not None and holder.linked else standing.stream
    if first in of and first != standing.stream and standing.stream not in of[first].linked:
        return {standing.stream}  # see `with_true_holder`
    streams, people, waiting = {standing.stream, first}, {first}, [first]
    while waiting:
        person = of.get(waiting.pop())
        if person is not None:
            apart = {other for other in person.joined if other in of and not are_joined(person, of[other])}
            waiting += set(person.joined) - people - apart
            people.update({*person.joined} - apart)
            streams.update({*person.linked} - apart)
    return {standing.stream, *(stream for stream in streams if _is_theirs(of.get(stream), people))}


def are_joined(one: Standing, other: Standing) -> bool:
    """Tell whether two customers are one person, by the streams of both."""
    return other.stream in one.joined and one.stream in other.joined


def _is_theirs(standing: Standing | None, people: set[str]) -> bool:
    return standing is None or standing.holder is None or standing.holder.person in people


def named_stretches(rows: Iterable[Row[Any]]) -> set[str]:
    """Return the streams of the stretches of visitors that rows of `LINKS` name; erased ones name none."""
    links = [from_json(row.body) for row in rows if row.body is not None]
    of_visitors = [(link["visitor"], link.get("stretch", 0)) for link in links if link["kind"] != "customer"]
    return {stretch_of(visitor, number) for visitor, number in of_visitors if number is not None}


def belonging(people: Collection[str], standings: Iterable[Standing]) -> set[str]:
    """Return which of these stretches belong to people, also to those who were unlinked from them since."""
    return {one.stream for one in standings if one.holder is not None and one.holder.person in people}


def streams_of(stream: str, read: Read, select: Select) -> tuple[str, ...]:
    """Return the streams that belong to a person or an account, their own first; of a visitor the stretch now alone.

    :param stream: of the subject, as `stream_of` names it
    :param select: runs a reading statement, such as `Ledger.select`
    """
    (now,) = visitors_now([stream], read)
    if now.ended.version or now.stretch.holder is not None:
        return (now.stretch.stream,)
    (person,) = with_identities([now.stretch], read)
    people = {stream, *(one.stream for one in person.visitors if one.holder is None)}
    named = named_stretches(row for one in sorted(people) for row in select(LINKS, {"stream": one}))
    standings = [standing for part in in_chunks(sorted(named)) for standing in read(*part)]
    others = {*(one.stream for one in person.visitors), *belonging(people, standings)}
    return (stream, *sorted(others - {stream}))
