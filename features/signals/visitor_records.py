"""Appends what is told of a visitor to every stream that the permissions of the linked person are read from."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from decisioning.errors import Conflict, Unavailable
from decisioning.facts.standing_rules import NO_PAST
from features.ledger import Duplicate, Entry, Ledger
from features.ledger.links import latest_link, visitors_now

ATTEMPTS = 20
"""How often a record is tried again because another for the same customer or visitor was appended first."""


async def append_for_visitor(
    ledger: Ledger, visitor: str, kind: str, body: Mapping[str, Any], occurred_us: int | None, *, key: str | None = None
) -> None:
    """Append what is told of a visitor to its stretch now, and to those before it of the person who is linked.

    The person's permissions are read from all of these, so the newest word must be on each.

    :param visitor: the stream that the visitor's id names
    :param key: a name under which it is told at most once
    :raises Duplicate: something was told under this key
    :raises Erased: the visitor was erased
    """
    read = partial(ledger.read, rules=NO_PAST)
    for _ in range(ATTEMPTS):
        (now,) = visitors_now([visitor], read)
        holder = now.stretch.holder
        person = read(holder.person)[0] if holder is not None and holder.linked else None
        link = latest_link(person, visitor) if person is not None else None
        earlier = {*link.streams} - {now.stretch.stream} if link is not None and link.linked else set()
        entries = [Entry(now.stretch.stream, kind, body, occurred_us, now.stretch.version, key)]
        entries += [Entry(stream, kind, body, occurred_us) for stream in sorted(earlier)]
        try:
            await ledger.commit(entries)
        except Duplicate:
            raise
        except Conflict:
            continue
        return
    raise Unavailable("other requests for this visitor kept coming first; try again")
