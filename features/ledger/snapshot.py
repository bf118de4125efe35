"""Encode and decode a standing, which every decision reads: contacts in fixed columns, the rest as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from operator import attrgetter
from struct import Struct
from typing import Any, TypeVar

from pydantic_core import from_json, to_json

from decisioning.facts.concessions import Concession
from decisioning.facts.handovers import OpenHandover
from decisioning.facts.standing import Consent, Exclusion, Holder, Link, LinkKind, RecordedOutcome
from decisioning.routing.work import AgentWork, HeldHandover, OtherConversation
from features.ledger.past.kinds import ContactKinds
from features.ledger.past.packing import pack_held, unpack_held
from features.ledger.standing import Fold

FORMAT = 4
"""Migrations wrote older formats anew, `ledger_0006` the last; `ledger_0010` writes this one."""
_HEADER = Struct("<BBIqqI")
"""Format, flags, number of the rules, newest time, time of the restriction, bytes of contacts."""
_ERASED, _RESTRICTED = 1, 2
_T = TypeVar("_T", Consent, Link)
_ROWS = (Consent, Link)


def _names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))


_COLUMNS = {cls: tuple(map(attrgetter, _names(cls))) for cls in _ROWS}
_COLUMNS[Link] = _COLUMNS[Link][:-1]
"""The stretches of links come after the rest, and only of those who have another than the first."""
_FIRST = (0,)
_OPEN = attrgetter(*_names(OpenHandover))
_CONCESSION = attrgetter(*_names(Concession))
_EXCLUDED = attrgetter(*_names(Exclusion))
_HELD = attrgetter(*_names(HeldHandover))
_OTHER = attrgetter(*_names(OtherConversation))
_WORK_NAMES = tuple(name for name in _names(AgentWork) if name not in {"held", "elsewhere", "whole_us"})
_WORK = attrgetter(*_WORK_NAMES)


def encode(fold: Fold, number: int, kinds: ContactKinds) -> bytes:
    """Return the bytes of a fold without its stream and version, which are columns of their own.

    :param number: of the rules by which its past was selected
    """
    times: dict[str, dict[str, tuple[int, ...]]] = {}
    for action, outcome in sorted(fold.times):
        times.setdefault(action, {})[outcome] = fold.times[action, outcome]
    held, other = pack_held(fold.contacts, kinds)
    flags = _ERASED * fold.erased | _RESTRICTED * fold.restricted
    holder = fold.holder and [fold.holder.person, fold.holder.occurred_us, fold.holder.linked]
    rest: list[Any] = [_columns(Consent, fold.consents), times, _columns(Link, fold.links), holder, other]
    stretches = {link.visitor: link.stretches for link in fold.links if link.stretches != _FIRST}
    people = _people(fold)
    if stretches or people:
        rest += [stretches, *people]
    header = _HEADER.pack(FORMAT, flags, number, fold.latest_us, fold.restricted_us, len(held))
    return header + held + to_json(rest)


def decode(stream: str, version: int, recorded_us: int, body: bytes, kinds: ContactKinds) -> tuple[Fold, int]:
    """Return the fold that `encode` encoded, and the number of its rules.

    :param recorded_us: when the newest record of the stream was recorded
    :raises Refused: it names a kind of contact that the ledger does not have
    """
    _, flags, number, latest_us, restricted_us, length = _HEADER.unpack_from(body)
    start, end = _HEADER.size, _HEADER.size + length
    consents, times, links, holder, other, *more = from_json(body[end:], cache_strings="none")
    stretches = more[0] if more else {}
    fold = Fold(
        stream,
        version,
        consents=tuple(Consent(*row) for row in zip(*consents, strict=True)),
        contacts=unpack_held(body[start:end], other, kinds),
        erased=bool(flags & _ERASED),
        restricted=bool(flags & _RESTRICTED),
        links=tuple(_link(stretches, *row) for row in zip(*links, strict=True)),
        holder=Holder(*holder) if holder else None,
        latest_us=latest_us,
        restricted_us=restricted_us,
        times={(action, outcome): tuple(at) for action, of in times.items() for outcome, at in of.items()},
        recorded_us=recorded_us,
        **(_with_people(*more[1:]) if len(more) > 1 else {}),
    )
    return fold, number


def _people(fold: Fold) -> list[Any]:
    """Return what only standings with people have.

    These are handovers, the work of an agent, bookings, what was given away, and what is kept from the customer.
    """
    if not (fold.handovers or fold.work or fold.booked or fold.concessions or fold.exclusions):
        return []
    work = fold.work and [
        *_WORK(fold.work),
        [_HELD(one) for one in fold.work.held],
        *([[_OTHER(one) for one in fold.work.elsewhere], fold.work.whole_us] if _works_elsewhere(fold.work) else []),
    ]
    last = [[_CONCESSION(one) for one in fold.concessions], [_EXCLUDED(one) for one in fold.exclusions]]
    while last and not last[-1]:
        last.pop()
    return [[_OPEN(one) for one in fold.handovers], work, fold.booked, *last]


def _works_elsewhere(work: AgentWork) -> bool:
    return bool(work.elsewhere or work.whole_us)


def _with_people(
    handovers: list[Any],
    work: list[Any] | None,
    booked: list[str],
    given: Sequence[list[Any]] = (),
    exclusions: Sequence[list[Any]] = (),
) -> dict[str, Any]:
    of_agent = None
    if work is not None:
        values, (held, *more) = work[: len(_WORK_NAMES)], work[len(_WORK_NAMES) :]
        of_agent = AgentWork(
            **dict(zip(_WORK_NAMES, values, strict=True)),
            held=tuple(HeldHandover(*one) for one in held),
            elsewhere=tuple(OtherConversation(*one) for one in more[0]) if more else (),
            whole_us=more[1] if more else 0,
        )
    return {
        "handovers": tuple(OpenHandover(*one) for one in handovers),
        "work": of_agent,
        "booked": tuple(booked),
        "concessions": tuple(Concession(*one) for one in given),
        "exclusions": tuple(Exclusion(*one) for one in exclusions),
    }


def _link(
    stretches: Mapping[str, list[int]], visitor: str, kind: LinkKind, source: str, occurred_us: int, linked: bool
) -> Link:
    return Link(visitor, kind, source, occurred_us, linked, tuple(stretches.get(visitor, _FIRST)))


def number_in(body: bytes) -> int:
    """Return the number of the rules that an encoded standing names. Raises ValueError if it is none."""
    if len(body) < _HEADER.size or body[0] != FORMAT:
        raise ValueError("this is no standing")
    return int(_HEADER.unpack_from(body)[2])


def as_read(fold: Fold) -> Fold:
    """Return a fold whose selected times of outcomes are `outcomes`, as rules read them."""
    if not fold.times:
        return fold
    outcomes: dict[str, tuple[RecordedOutcome, ...]] = {}
    for (action, outcome), times in fold.times.items():
        new = (RecordedOutcome(action, outcome, at_us) for at_us in reversed(times))
        outcomes[action] = (*outcomes.get(action, ()), *new)
    return replace(fold, outcomes=outcomes)


def _columns(cls: type[_T], rows: Iterable[_T]) -> list[list[Any]]:
    if not rows:
        return []
    return [list(map(column, rows)) for column in _COLUMNS[cls]]
