"""Which visitors a person is: what to append for a word on it, whom to read with a person, and what erasing reaches.

Two streams tell of a link, in one transaction and each at the version that was read: the person's keeps the latest
word on every visitor, the visitor's whose it is. So a visitor is one person's at most, whatever other processes do.
"""

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from decisioning.errors import LinkedElsewhere, NotFound, Refused, RequestError
from decisioning.facts.identity import merge_standings
from decisioning.facts.standing import Link, Standing
from features.ledger.chain import hash_body, new_salt
from features.ledger.erasure import erase_stream
from features.ledger.plan import AppendPlan
from features.ledger.records import Entry, Prepared, encode_body
from features.ledger.standing import link_order

MAX_LINKED: Final = 100
"""Visitors that may be one person at a time; a decision reads them all."""
_READ: Final = 500


def entries(person: Standing, visitor: Standing, told: Link) -> list[Entry]:
    """The records of one word on whether `visitor` is `person`, to append together; none where it was told before.

    A word that an older one outlives (see `link_order`) is kept on the person's stream and changes nothing.

    :raises LinkedElsewhere: the visitor is another person's, or someone's word on it is as late as this one
    :raises NotFound: the person was erased
    :raises RequestError: the visitor was erased
    :raises Refused: the person has `MAX_LINKED` visitors already
    """
    if person.erased:
        raise NotFound("customer_id", "this customer was erased")
    before = word_on(person, told.visitor)
    if before == told:
        return []
    body = {"visitor": told.visitor, "kind": told.kind, "source": told.source}
    word = Entry(person.stream, "link" if told.linked else "unlink", body, told.occurred_us, person.version)
    outlived = before is not None and link_order(before) > link_order(told)
    if outlived or not (told.linked or told.visitor in person.linked):
        return [word]
    if told.linked:
        _check_free(person, visitor, told)
    whose = {"person": person.stream, "linked": told.linked}
    return [word, Entry(visitor.stream, "linked_to", whose, told.occurred_us, visitor.version)]


def word_on(person: Standing, visitor: str) -> Link | None:
    """The latest word on whether `visitor` is this person."""
    return next((link for link in person.links if link.visitor == visitor), None)


def _check_free(person: Standing, visitor: Standing, told: Link) -> None:
    if visitor.erased:
        raise RequestError("identifier", "this visitor was erased, and is left alone")
    holder = visitor.holder
    if holder is not None and holder.person != person.stream:
        if holder.linked:
            raise LinkedElsewhere("identifier", "it is linked to another customer; unlink it there first")
        if holder.occurred_us >= told.occurred_us:
            raise LinkedElsewhere("occurred_at", "the identifier was another customer's until then; name a later time")
    if told.visitor not in person.linked and len(person.linked) >= MAX_LINKED:
        raise Refused(f"a customer may have {MAX_LINKED} linked identifiers; unlink those that are no longer theirs")


def united(standings: Sequence[Standing], read: Callable[..., Sequence[Standing]]) -> tuple[Standing, ...]:
    """Each standing merged with those of its linked visitors.

    `read` (streams -> standings, as `Ledger.read`) is asked only where there are links: once for up to 500 of them.
    """
    linked = sorted({visitor for standing in standings for visitor in standing.linked})
    parts = (linked[at : at + _READ] for at in range(0, len(linked), _READ))
    found = {standing.stream: standing for part in parts for standing in read(*part)}
    return tuple(merge_standings(standing, [found[visitor] for visitor in standing.linked]) for standing in standings)


def erase_subject(connection: Connection, stream: str, now_us: int) -> tuple[str, ...]:
    """Erase a stream and those of the visitors linked to it, and unlink it where it is a visitor itself.

    In one transaction, all streams under lock. Gives the streams that were erased, sorted.
    """
    reached = {stream}
    while (more := _reach(_locked(connection, reached, now_us), stream)) - reached:
        reached |= more  # linked since the last look: what is locked now stays so
    standing = _locked(connection, reached, now_us).standing(stream)
    erased = tuple(sorted({stream, *standing.linked}))
    for one in erased:
        erase_stream(connection, one, now_us)
    if standing.holder is not None and standing.holder.linked:
        _unlink(connection, standing.holder.person, stream, now_us)
    return erased


def _reach(plan: AppendPlan, stream: str) -> set[str]:
    standing = plan.standing(stream)
    return {*standing.linked, *([standing.holder.person] if standing.holder else [])}


def _locked(connection: Connection, streams: set[str], now_us: int) -> AppendPlan:
    return AppendPlan(connection, [((), dict.fromkeys(streams, 0))], now_us, look_up=False)


def _unlink(connection: Connection, person: str, visitor: str, now_us: int) -> None:
    """The visitor's own word goes with its stream; the person's must say so, later than the link."""
    link = word_on(_locked(connection, {person}, now_us).standing(person), visitor)
    if link is None or not link.linked:
        return
    body = {"visitor": visitor, "kind": link.kind, "source": "erasure"}
    raw, salt = encode_body(body), new_salt()
    entry = Entry(person, "unlink", body, max(now_us, link.occurred_us))
    prepared = Prepared(entry, raw, salt, hash_body(salt, raw), ())
    plan = AppendPlan(connection, [((prepared,), {})], now_us, look_up=False)
    plan.add((prepared,), {})
    plan.write(connection)
