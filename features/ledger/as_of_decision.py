"""Read back what a recorded decision was made from, to explain it or to decide again."""

from collections.abc import Collection, Iterator
from typing import Any

from decisioning.facts.forms import Known
from decisioning.facts.identity import merge_elsewhere, merge_standings
from decisioning.facts.standing import Standing
from decisioning.facts.standing_rules import StandingRules
from decisioning.records.formats import TIME_RULES, time_rule_of
from features.ledger.ledger import Ledger
from features.ledger.reading.in_time import Records, StandingsInTime
from features.ledger.records import Record

_PAGE = 500


class KnownAtDecisions:
    """What was known when decisions were made: asked in the order of decisions, it reads each record once.

    `records`: reads a stream's records instead of the ledger.
    """

    def __init__(self, ledger: Ledger, records: Records | None = None) -> None:
        self._ledger = ledger
        self._by_rule = {rule: StandingsInTime(records or ledger.records, rule) for rule in set(TIME_RULES.values())}

    def known(self, stream: str, body: dict[str, Any], rules: StandingRules | None = None) -> Known:
        """Return the facts as served, and the standings at the versions that a decision read.

        The standing is merged with those of the other identifiers that the person had at that time. Standings
        are folded by the rule that the record's format names.

        :param stream: the stream that holds the decision
        :param body: the body of the decision's record
        :param rules: those of the release that decides again; None: everything is wanted of the past
        """
        read, account, standings = body["read"], None, self._by_rule[time_rule_of(body)]

        def at(name: str, version: int) -> Standing:
            return standings.at(name, version, rules, body["decided_us"])

        if read["account"] is not None:
            account = at(self._ledger.stream_of("account", body["request"]["account_id"]), read["account"])
        others = [at(other, version) for other, version in read.get("linked", {}).items()]
        merge = merge_standings if body["request"].get("visitor_id") is None else merge_elsewhere
        return _known(body, merge(at(stream, read["person"]), others), account)


def known_at_decision(ledger: Ledger, stream: str, body: dict[str, Any]) -> Known:
    """Return what was known when one decision was made; see `KnownAtDecisions`."""
    return KnownAtDecisions(ledger).known(stream, body)


def is_erased(known: Known) -> bool:
    """Tell whether the person, an identifier that is linked to it, or the account was erased since the decision."""
    standings = (known.person, *known.person.visitors, *((known.account,) if known.account else ()))
    return any(s.erased for s in standings)


def _known(body: dict[str, Any], person: Standing, account: Standing | None) -> Known:
    read = body["read"]
    return Known(body["facts"], person, account, tuple(body["degraded"]), read.get("signals", {}))


def decisions_by_seq(ledger: Ledger, numbers: Collection[int]) -> Iterator[Record]:
    """Yield the decisions whose `seq` is in `numbers`, ascending. Bodies of other decisions are not parsed."""
    after, last = min(numbers, default=1) - 1, max(numbers, default=0)
    while after < last and (page := ledger.scan_rows(("decision",), after, _PAGE)):
        yield from (ledger.record_of(row) for row in page if row.seq in numbers)
        after = page[-1].seq
