"""Which rules standings are made for: those of the releases that were served last, kept in the database by number.

A standing names the number of its rules. Whoever appends to a stream makes its standing for the newest rules, and never
for older ones than it names already; so replicas of two releases do not undo each other's work.
"""

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, bindparam, func, insert, select

from decisioning.facts.standing_rules import NO_PAST, StandingRules, united
from features.ledger.past.kinds import ContactKinds, Fetch
from features.ledger.past.selection import Selector
from features.ledger.tables import STANDING_RULES

KEPT_PARTS = 4
"""How many releases' rules a standing is made for at most, those asked for last."""
_NEWEST = select(func.max(STANDING_RULES.c.number).label("number"))
_BODY = select(STANDING_RULES.c.body).where(STANDING_RULES.c.number == bindparam("number"))


class RulesBook:
    """The rules in one database, as one process knows them; safe to use from any thread.

    `kinds`: the kinds of contacts there, which standings name by number too.

    :param fetch: reads from the database, such as `Database.fetch`
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self.kinds = ContactKinds(fetch)
        self._selectors = {0: Selector(NO_PAST)}
        self._covered: dict[tuple[int, int], tuple[StandingRules, bool]] = {}
        self.newest = 0
        self.refresh()

    def refresh(self) -> None:
        """Learn which rules other processes have added."""
        self.newest = int(self._fetch(_NEWEST, None)[0].number or 0)

    def selector(self, number: int) -> Selector:
        """Return what selects by the rules of this number. Raises KeyError if there are none."""
        selector = self._selectors.get(number)
        if selector is None:
            rows = self._fetch(_BODY, {"number": number})
            if not rows:
                raise KeyError(number)
            selector = self._selectors[number] = Selector(united(_parts(rows[0].body)))
            self.newest = max(self.newest, number)
        return selector

    def covers(self, number: int, rules: StandingRules) -> bool:
        """Tell whether a standing made for the rules of this number is enough for `rules`."""
        known = self._covered.get((number, id(rules)))
        if known is None or known[0] is not rules:
            known = self._covered[number, id(rules)] = rules, self.selector(number).rules.covers(rules)
        return known[1]

    def add(self, connection: Connection, rules: StandingRules) -> int:
        """Return the number of the newest rules; they cover `rules`, which are added if they do not yet."""
        number = int(connection.execute(_NEWEST).scalar() or 0)
        row = connection.execute(_BODY, {"number": number}).first()
        parts = _parts(row.body) if row is not None else []
        if not united(parts).covers(rules):
            number, parts = number + 1, [*parts, rules][-KEPT_PARTS:]
            body = to_json([part.as_json() for part in parts])
            connection.execute(insert(STANDING_RULES).values(number=number, body=body))
        return number


def _parts(body: bytes) -> list[StandingRules]:
    return [StandingRules.from_json(part) for part in from_json(body)]
