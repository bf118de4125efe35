"""What contacts are about, numbered once: action, treatment, group, issue, channel and what caps count.

There are as many kinds as a company has treatments, and a contact would otherwise repeat all those words. A number is
committed before anything uses it, and never changes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Row, bindparam, insert, select
from sqlalchemy.sql import Executable

from decisioning.errors import Refused
from decisioning.facts.standing import Contact, CountsOn
from features.ledger.tables import CONTACT_KINDS

Fetch = Callable[[Executable, Mapping[str, Any] | None], Sequence[Row[Any]]]
_AFTER = select(CONTACT_KINDS).where(CONTACT_KINDS.c.number > bindparam("after")).order_by(CONTACT_KINDS.c.number)


class ContactKind(NamedTuple):
    """What a contact is about."""

    action: str
    treatment: str
    group: str
    issue: str
    channel: str
    counts_on: CountsOn


_words_of = attrgetter(*ContactKind._fields)


class ContactKinds:
    """The kinds of one database, as one process knows them; safe to use from any thread.

    :param fetch: reads from the database, such as `Database.fetch`
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._by_number: dict[int, ContactKind] = {}
        self._newest = -1
        self._numbers: dict[tuple[str, ...], int] = {}

    def of(self, number: int) -> ContactKind:
        """Return the kind of this number.

        :raises Refused: there is none
        """
        kind = self._by_number.get(number)
        if kind is None:
            self.learn()
            kind = self._by_number.get(number)
        if kind is None:
            raise Refused("the ledger lacks a kind of contact that it names: run `brain verify`")
        return kind

    def number_of(self, contact: Contact) -> int:
        """Return the number of a contact's kind. Raises KeyError if it has none."""
        words = _words_of(contact)
        number = self._numbers.get(words)
        if number is None:
            self.learn()
            number = self._numbers[words]
        return number

    def unknown(self, contacts: Iterable[Contact]) -> set[tuple[str, ...]]:
        """Return the kinds of the contacts that have no number yet, as far as this process knows."""
        return {words for c in contacts if (words := _words_of(c)) not in self._numbers}

    def add(self, connection: Connection, unknown: Iterable[tuple[str, ...]]) -> None:
        """Give numbers to those of the kinds that have none in the database; `learn` them after the commit."""
        rows = connection.execute(_AFTER, {"after": -1}).all()
        known = {tuple(from_json(row.body)) for row in rows}
        first = max((row.number for row in rows), default=0) + 1
        new = [words for words in sorted(unknown) if words not in known]
        if new:
            values = [{"number": first + n, "body": to_json(words)} for n, words in enumerate(new)]
            connection.execute(insert(CONTACT_KINDS), values)

    def learn(self) -> None:
        """Learn the kinds that were added since."""
        for row in self._fetch(_AFTER, {"after": self._newest}):
            kind = self._by_number[row.number] = ContactKind(*from_json(row.body))
            self._numbers[kind] = self._newest = row.number
