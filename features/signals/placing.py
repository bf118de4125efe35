"""Which stretch of a visitor takes an event: the one that takes what comes now, when the event is recorded.

The ledger ends a stretch when a person is unlinked; here is read how many have ended (`decisioning.facts.stretches`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from decisioning.facts.stretches import ends_of, stretch_of
from features.ledger import driver
from features.ledger.tables import STANDINGS
from features.signals.event import Event

Fetch = Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]


@lru_cache(maxsize=8)
def _versions(n: int) -> str:
    return f"SELECT stream, version FROM {STANDINGS.name} WHERE stream IN ({driver.placeholders(n)})"  # noqa: S608 (placeholders only)


def stretches_ended(fetch: Fetch, visitors: Collection[str]) -> dict[str, int]:
    """Return of each visitor, by the stream that its id names, how many stretches have ended."""
    names = {bytes.fromhex(ends_of(visitor)): visitor for visitor in visitors}
    rows = (row for part in driver.in_chunks(list(names)) for row in fetch(_versions(len(part)), part))
    return dict.fromkeys(visitors, 0) | {names[bytes(name)]: version for name, version in rows}


def ended_stretches(fetch: Fetch, events: Sequence[Event]) -> dict[str, int]:
    """Return `stretches_ended` of the visitors among the subjects of events; nothing is read if there are none."""
    visitors = {event.stream for event in events if event.visitor}
    return stretches_ended(fetch, visitors) if visitors else {}


def placed(
    events: Sequence[Event], ended: Mapping[str, int], stored: Mapping[str, str] = MappingProxyType({})
) -> Sequence[Event]:
    """Return the events on the streams that take them now.

    :param stored: key of an event that was sent before -> the stream that took it; a stretch of its visitor keeps it
    """
    if not any(ended.values()):
        return events
    return [_placed(event, ended, stored.get(event.key)) if event.visitor else event for event in events]


def _placed(event: Event, ended: Mapping[str, int], stored: str | None) -> Event:
    number = ended[event.stream]
    if stored is not None and any(stored == stretch_of(event.stream, n) for n in range(number, -1, -1)):
        return event._replace(stream=stored)
    return event._replace(stream=stretch_of(event.stream, number))
