"""Queries of the log share what they read until a file changes, and weeks get the same labels together as alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decisioning.catalogue.files import pack
from features.decisions import log as log_module
from features.decisions import queries
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from tests.examples import examples
from tests.training.decided import DAY_US, FILES_OF_RELEASE, LATER_US, RELEASE, THEN_US, decision, entry, outcome

ASKED = (
    ("SELECT * FROM log ORDER BY _at_us, _id", None),
    ("SELECT * FROM events ORDER BY seq, part", None),
    ("SELECT * FROM units ORDER BY _stream", None),
    ("SELECT * FROM log ORDER BY _at_us, _id", "bought"),
    ("SELECT sum(_value_eur), count(*) FROM log JOIN units USING (_stream)", "tried"),
)


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    with Ledger.open(folder / "ledger.db", b"x" * 32, clock=lambda: THEN_US + 900 * DAY_US) as ledger:
        ledger.put_release(pack(FILES_OF_RELEASE))
        yield ledger


def decided(ledger: Ledger, who: int, number: int, days: float) -> Entry:
    """Return a decision for a customer, so many days later than usual."""
    at_us = THEN_US + number + round(days * DAY_US)
    record = decision(ledger, number, "email")
    record |= {"decided_us": at_us, "request": {**record["request"], "customer_id": f"p{who}"}}
    record["contacts"] = [{**contact, "at_us": at_us} for contact in record["contacts"]]
    return entry(ledger, record)


def seen(made: Entry) -> Entry:
    body = {"offer_id": made.folded["contacts"][0]["offer_id"], "state": "seen"}
    return Entry(made.stream, "contact", body, (made.occurred_us or 0) + 1)


def answers(log: DecisionLog) -> list[Any]:
    return [log.query(sql, RELEASE, by) for sql, by in ASKED]


@pytest.mark.parametrize("small", [queries._SMALL, pytest.param(0, marks=pytest.mark.long)])
def test_queries_that_share_a_database_say_what_each_says_alone_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(queries, "_SMALL", small)
    log, made, connected = DecisionLog(tmp_path / "log"), list[Path](), queries.connected

    def counted(folder: Path) -> Any:
        made.append(folder)
        return connected(folder)

    monkeypatch.setattr(queries, "connected", counted)
    with opened(tmp_path) as ledger:
        entries = [decided(ledger, n % 3, n, 9.0 * n) for n in range(8)]
        ledger.append([*entries, *map(seen, entries), outcome(ledger, 1, days=12.0, offer=False)])
        log.update(ledger, RELEASE, LATER_US)
        alone = answers(log)
        assert len(made) == len(ASKED)
        with log.reading():
            made.clear()
            assert [log.query(*ASKED[0][:1], RELEASE).equals(alone[0]) for _ in range(5)] == [True] * 5
            assert len(made) == 1
            assert answers(log) == alone
            with log.reading():
                assert answers(log) == alone
            person = ledger.stream_of("person", "p1")
            assert log.forget([person]) == 1
            left = answers(log)
            assert left != alone
            assert person not in left[0]["_stream"].to_pylist(), "who was erased is in no answer"
            ledger.append([decided(ledger, 5, 60, 70.0)])
            log.update(ledger, RELEASE, LATER_US)
            shared = answers(log)
        assert answers(log) == shared != left
    assert [path for path in (tmp_path / "log").rglob("*") if "spill" in path.parts and path.is_file()] == []


told = st.tuples(st.integers(0, 2), st.sampled_from(["bought", "tried", "declined"]), st.floats(0, 90), st.booleans())


@pytest.mark.promise("learning.log")
@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 70)), min_size=1, max_size=8),
    st.lists(told, max_size=8),
    st.sampled_from([1, 2, 4]),
)
def test_weeks_that_are_labelled_together_or_alone_get_the_same_labels(
    tmp_path_factory: pytest.TempPathFactory, made: list[Any], happened: list[Any], few: int
) -> None:
    """Outcomes name an offer or not, and customers come again within the window of their last offer."""
    folder = tmp_path_factory.mktemp("together")
    with opened(folder) as ledger:
        entries = [decided(ledger, who, n, days) for n, (who, days) in enumerate(made)]
        every = [*entries, *map(seen, entries)]
        for who, name, days, named in happened:
            own = [n for n, (of, _) in enumerate(made) if of == who]
            body = {"action": "tea", "outcome": name, "offer_id": f"d{own[0]}.0" if named and own else None}
            every.append(Entry(ledger.stream_of("person", f"p{who}"), "outcome", body, THEN_US + round(days * DAY_US)))
        ledger.append(every)
        logs = []
        for most in (few, 50_000):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(log_module, "_MOST_TOGETHER", most)
                logs.append(DecisionLog(folder / f"log-{most}"))
                logs[-1].update(ledger, RELEASE, THEN_US + 200 * DAY_US)
        alone, together = (log.query("SELECT * FROM log ORDER BY _at_us, _id", RELEASE) for log in logs)
    assert alone.equals(together)
