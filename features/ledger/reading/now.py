"""Read standings: what decisions need of them in one statement, or the whole past from the tables."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection

from decisioning.facts.standing_rules import NO_PAST, StandingRules
from features.ledger.database import Database
from features.ledger.driver import fetch, in_chunks, placeholders
from features.ledger.past.rows import StreamRows
from features.ledger.past.rules_book import RulesBook
from features.ledger.past.selection import CLOCK_SLACK_US
from features.ledger.snapshot import as_read, decode
from features.ledger.standing import Fold, with_whole_past
from features.ledger.tables import SIGNAL_STATES, STANDINGS

FOREVER_US: Final = 2**62
_Row = tuple[Any, ...]


class StandingReader:
    """Reads the standings of one database."""

    def __init__(self, database: Database, rules: RulesBook) -> None:
        self._database, self._rules = database, rules

    def read(self, streams: Sequence[str], rules: StandingRules | None, now_us: int) -> tuple[Fold, ...]:
        """Return the standings as `Ledger.read` does."""
        if rules is None or not streams:
            return self._whole(streams)
        rows = self._database.fetch_hot(_standings_sql(len(streams)), _as_bytes(streams))
        return self._standings(streams, rows, rules, now_us)

    def read_with_signals(
        self, streams: Sequence[str], rules: StandingRules | None, now_us: int
    ) -> tuple[tuple[Fold, ...], tuple[int, ...]]:
        """Return standings and versions of signal states as `Ledger.read_with_signals` does."""
        names = _as_bytes(streams)
        rows = self._database.fetch_hot(_with_signals_sql(len(streams)), names + names) if streams else ()
        versions = {row[0].hex(): row[1] for row in rows if row[3] is None}
        standings = self._standings(streams, [row for row in rows if row[3] is not None], rules, now_us)
        return standings, tuple(versions.get(stream, 0) for stream in streams)

    def _standings(
        self, streams: Sequence[str], rows: Iterable[_Row], rules: StandingRules | None, now_us: int
    ) -> tuple[Fold, ...]:
        """Return the standings from their rows, or from the tables if the rows lack what the rules need."""
        folds: dict[str, Fold] = {}
        for name, version, at_us, body in rows:
            stream = name.hex()
            fold, number = decode(stream, version, at_us, body, self._rules.kinds)
            if not fold.erased and not self._suffices(number, at_us, rules, now_us):
                return self._whole(streams)
            folds[stream] = as_read(fold)
        return tuple(folds.get(stream) or Fold(stream) for stream in streams)

    def _suffices(self, number: int, at_us: int, rules: StandingRules | None, now_us: int) -> bool:
        if rules is None:
            return False
        return rules is NO_PAST or (now_us >= at_us - CLOCK_SLACK_US and self._rules.covers(number, rules))

    def _whole(self, streams: Sequence[str]) -> tuple[Fold, ...]:
        """Return the standings with all contacts and outcomes, as of one moment."""
        if not streams:
            return ()
        folds = self._database.fetch_together(lambda connection: dict(self._whole_folds(connection, streams)))
        return tuple(folds.get(stream) or Fold(stream) for stream in streams)

    def _whole_folds(self, connection: Connection, streams: Sequence[str]) -> Iterable[tuple[str, Fold]]:
        for part in in_chunks(streams):
            for name, version, at_us, body in fetch(connection, _standings_sql(len(part)), _as_bytes(part)):
                stream = name.hex()
                fold, _ = decode(stream, version, at_us, body, self._rules.kinds)
                rows = StreamRows(connection, stream, self._rules.kinds)
                contacts = [c for offer in rows.offers().values() if (c := offer.contact) is not None]
                yield stream, with_whole_past(fold, contacts, rows.outcomes())


def _as_bytes(streams: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(map(bytes.fromhex, streams))


@lru_cache(maxsize=128)
def _standings_sql(n: int) -> str:
    """Return the statement for (stream, version, at_us, body) of `n` standings."""
    return f"SELECT stream, version, at_us, body FROM {STANDINGS.name} WHERE stream IN ({placeholders(n)})"  # noqa: S608 (placeholders only)


@lru_cache(maxsize=128)
def _with_signals_sql(n: int) -> str:
    """Return the statement for standings and, without a body, the versions of signal states, -1 for an erased one."""
    version = "CASE WHEN body IS NULL THEN -1 ELSE version END"
    signals = f"SELECT stream, {version}, 0, NULL FROM {SIGNAL_STATES.name} WHERE stream IN ({placeholders(n)})"  # noqa: S608 (placeholders only)
    return f"{_standings_sql(n)} UNION ALL {signals}"
