"""Encode and decode a standing: JSON with one array per field, because every decision pays for `read`."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

from pydantic_core import from_json, to_json

from decisioning.facts.standing import Consent, Contact, Holder, Link, RecordedOutcome
from features.ledger.standing import Fold

FORMAT = 2
"""Format 1 had no links; `decode` reads it as a standing without links."""
_T = TypeVar("_T", Consent, Contact, RecordedOutcome, Link)
_ROWS = (Consent, Contact, RecordedOutcome, Link)


def _names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))


_COLUMNS = {cls: tuple(map(attrgetter, _names(cls))) for cls in _ROWS}
_SLOTS = {cls: tuple(getattr(cls, name).__set__ for name in _names(cls)) for cls in _ROWS}


def encode(fold: Fold) -> bytes:
    """Return the bytes of a fold without its stream and version, which are columns of their own."""
    outcomes = [happened for of_action in fold.outcomes.values() for happened in of_action]
    return to_json(
        [
            FORMAT,
            _columns(Consent, fold.consents),
            _columns(Contact, fold.contacts),
            _columns(RecordedOutcome, outcomes),
            fold.erased,
            fold.restricted,
            fold.latest_us,
            fold.restricted_us,
            fold.pending,
            _columns(Link, fold.links),
            fold.holder and [fold.holder.person, fold.holder.occurred_us, fold.holder.linked],
        ]
    )


def decode(stream: str, version: int, body: bytes) -> Fold:
    """Return the fold that `encode` encoded. 50 contacts take 40 microseconds."""
    _, consents, contacts, happened, erased, restricted, latest_us, restricted_us, pending, *format_2 = from_json(
        body, cache_strings="none"
    )
    links, holder = format_2 or ((), None)
    return Fold(
        stream,
        version,
        consents=tuple(_rows(Consent, consents)),
        contacts=tuple(_rows(Contact, contacts)),
        outcomes=_by_action(_rows(RecordedOutcome, happened)),
        erased=erased,
        restricted=restricted,
        links=tuple(_rows(Link, links)),
        holder=Holder(*holder) if holder else None,
        latest_us=latest_us,
        restricted_us=restricted_us,
        pending={offer: tuple((state, at_us) for state, at_us in marks) for offer, marks in pending.items()},
    )


def is_encoding_of(body: bytes, fold: Fold) -> bool:
    """Tell whether `body` is the encoding of `fold`, in either format."""
    encoded = encode(fold)
    format_1 = not fold.links and fold.holder is None
    return body == encoded or (format_1 and body == to_json([1, *from_json(encoded)[1:-2]]))


def _columns(cls: type[_T], rows: Iterable[_T]) -> list[list[Any]]:
    if not rows:
        return []
    return [list(map(column, rows)) for column in _COLUMNS[cls]]


def _rows(cls: type[_T], columns: Sequence[Sequence[Any]]) -> list[_T]:
    """Build rows field by field through their slots: the constructor of a frozen dataclass takes twice as long."""
    if not columns:
        return []
    rows: list[_T] = [cls.__new__(cls) for _ in columns[0]]
    for put, column in zip(_SLOTS[cls], columns, strict=True):
        deque(map(put, rows, column), maxlen=0)
    return rows


def _by_action(happened: Iterable[RecordedOutcome]) -> dict[str, tuple[RecordedOutcome, ...]]:
    grouped: dict[str, list[RecordedOutcome]] = {}
    for outcome in happened:
        grouped.setdefault(outcome.action, []).append(outcome)
    return {action: tuple(outcomes) for action, outcomes in grouped.items()}
