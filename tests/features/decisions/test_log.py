"""The log of decisions, which training reads: updated file by file, with the same result in any partition."""

from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from tests.examples import examples
from tests.training.decided import (
    CATALOGUE,
    DAY_US,
    FILES_OF_RELEASE,
    LATER_US,
    RELEASE,
    THEN_US,
    decision,
    entry,
    outcome,
    reached,
)

STAGED = Release.from_bytes(
    pack(
        {
            "all.yaml": CATALOGUE.replace(
                "negative: [declined], window_days: 30}",
                "negative: [declined, complained], window_days: 30, stages: [{id: seen, weight: 0.1, within_days: 5}, "
                "{id: bought, weight: 1, within_days: 30}, {id: kept, weight: 2, after_days: 20, within_days: 60}, "
                "{id: complained, weight: -3, within_days: 60}]}",
            )
        }
    )
)


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32, clock=lambda: THEN_US + 500 * DAY_US) as opened:
        opened.put_release(pack(FILES_OF_RELEASE))
        yield opened


def reached_rows(
    log: DecisionLog, what: str = "_id, _label, _value_eur", release: Release = RELEASE
) -> list[tuple[Any, ...]]:
    """Return columns of the rows that reached their customer, ordered by id."""
    rows = log.query(f"SELECT {what} FROM log WHERE _reached ORDER BY _id", release).to_pylist()
    return [tuple(r.values()) for r in rows]


def shown(ledger: Ledger, n: int) -> None:
    ledger.append([entry(ledger, decision(ledger, n, "email")), reached(ledger, n, "seen")])


def test_rows_hold_what_was_served_and_with_what_probability(ledger: Ledger, tmp_path: Path) -> None:
    records = [decision(ledger, n, age=20 + n, page="shop") for n in range(30)]
    ledger.append([entry(ledger, r) for r in records])
    log = DecisionLog(tmp_path / "log")
    assert log.update(ledger, RELEASE, LATER_US).rows == 30
    rows = log.query("SELECT * FROM log ORDER BY _at_us", RELEASE).to_pylist()
    for row, record in zip(rows, records, strict=True):
        pick, facts = record["picks"][0], record["facts"]
        assert row["_probability"] == pick["probability"]
        assert row["_action"] == (pick["treatment"].split(".")[0] if pick["treatment"] else "none")
        assert (row["age"], row["page"], row["hardship"], row["gpc"]) == (facts["age"], "shop", False, False)
        assert (row["_arm"], row["_release"], row["_channel"]) == ("nba", RELEASE.hash, "web")
        if pick["treatment"]:
            offer = record["answer"]["placements"][0]["offers"][0]
            assert (row["_propensity"], row["_priority"]) == (offer["propensity"], offer["priority"])


@pytest.mark.promise("learning.log")
def test_only_what_changed_is_written_again(ledger: Ledger, tmp_path: Path) -> None:
    log, folder = DecisionLog(tmp_path / "log"), tmp_path / "log" / "rows"
    for n in range(6):
        record = decision(ledger, n, "email")
        at_us = THEN_US + n * 70 * DAY_US
        record |= {"decided_us": at_us, "contacts": [record["contacts"][0] | {"at_us": at_us}]}
        stream, body = ledger.stream_of("person", f"p{n}"), {"offer_id": f"d{n}.0", "state": "seen"}
        ledger.append([Entry(stream, "decision", record, at_us), Entry(stream, "contact", body, at_us + 1)])
    now_us = THEN_US + 400 * DAY_US
    assert log.update(ledger, RELEASE, now_us).files == 6
    assert log.update(ledger, RELEASE, now_us).files == 0
    stamps = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.parquet")}
    ledger.append([outcome(ledger, 2, days=141)])
    assert log.update(ledger, RELEASE, now_us).files == 1
    changed = [name for name, at in stamps.items() if (folder / name).stat().st_mtime_ns != at]
    assert len(changed) == 1
    assert dict(reached_rows(log, "_id, _label")) == {f"d{n}.0": n == 2 for n in range(6)}


@pytest.mark.promise("learning.windows")
def test_an_open_window_says_nothing_and_is_labelled_once_it_closes(ledger: Ledger, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    shown(ledger, 0)
    ledger.append([outcome(ledger, 0, value_eur=5.0)])
    log.update(ledger, RELEASE, THEN_US + 30 * DAY_US - 1)
    assert reached_rows(log, "_label, _stage, _value_eur, _closed") == [(None, None, None, False)]
    log.update(ledger, RELEASE, THEN_US + 30 * DAY_US)
    assert reached_rows(log, "_label, _stage, _value_eur, _closed") == [(True, "bought", 5.0, True)]


@pytest.mark.promise("learning.stages")
def test_stages_weigh_what_happened_in_their_windows(ledger: Ledger, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    for n in range(6):
        shown(ledger, n)
    ledger.append([outcome(ledger, 1), outcome(ledger, 1, "kept", days=25), outcome(ledger, 2, "complained", days=40)])
    ledger.append([outcome(ledger, 3), outcome(ledger, 3, "kept", days=10), outcome(ledger, 4, "declined")])
    log.update(ledger, STAGED, THEN_US + 45 * DAY_US)
    assert set(reached_rows(log, "_weight", STAGED)) == {(None,)}
    log.update(ledger, STAGED, THEN_US + 61 * DAY_US)
    rows = reached_rows(log, "_id, _label, _weight, _stage, _complained", STAGED)
    assert rows == [
        ("d0.0", False, pytest.approx(0.1), "seen", False),
        ("d1.0", True, pytest.approx(3.1), "kept", False),
        ("d2.0", False, pytest.approx(-2.9), "complained", True),
        ("d3.0", True, pytest.approx(1.1), "bought", False),
        ("d4.0", False, pytest.approx(0.1), "seen", False),
        ("d5.0", False, pytest.approx(0.1), "seen", False),
    ]


@pytest.mark.promise("learning.windows")
def test_who_did_nothing_ignored_it(ledger: Ledger, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    shown(ledger, 0)
    log.update(ledger, RELEASE, LATER_US)
    assert reached_rows(log, "_stage") == [("ignored",)]


@pytest.mark.promise("ledger.outcomes-corrected")
def test_a_late_correction_rewrites_the_row(ledger: Ledger, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    for n in range(2):
        shown(ledger, n)
    first = outcome(ledger, 0, value_eur=5.0)
    ledger.append([first])
    log.update(ledger, RELEASE, LATER_US)
    assert [r[1:] for r in reached_rows(log)] == [(True, 5.0), (False, 0.0)]
    wrong = {k: first.body.get(k) for k in ("action", "outcome", "offer_id", "value_eur")}
    right = {"action": "tea", "outcome": "retracted", "offer_id": "d0.0"}
    late_us = LATER_US + 100 * DAY_US
    body = {**right, "corrects": {**wrong, "occurred_us": first.occurred_us}}
    ledger.append([Entry(first.stream, "outcome", body, late_us)])
    log.update(ledger, RELEASE, late_us)
    assert [r[1:] for r in reached_rows(log)] == [(False, 0.0), (False, 0.0)]


def test_a_contact_state_that_is_taken_back_reached_nobody(ledger: Ledger, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    for n in range(2):
        shown(ledger, n)
    log.update(ledger, RELEASE, LATER_US)
    assert [r[0] for r in reached_rows(log)] == ["d0.0", "d1.0"]
    told = reached(ledger, 0, "seen")
    body = {"offer_id": "d0.0", "state": "retracted", "corrects": {**told.folded, "occurred_us": told.occurred_us}}
    ledger.append([Entry(told.stream, "contact", body, LATER_US)])
    log.update(ledger, RELEASE, LATER_US)
    assert [r[0] for r in reached_rows(log)] == ["d1.0"]


def test_a_stage_that_was_told_as_an_outcome_too_weighs_once(ledger: Ledger, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    shown(ledger, 0)
    ledger.append([outcome(ledger, 0, "seen")])
    log.update(ledger, STAGED, LATER_US + 100 * DAY_US)
    assert reached_rows(log, "_id, _weight, _stage", STAGED) == [("d0.0", 0.1, "seen")]


def test_an_opt_out_counts_for_the_offer_before_it(ledger: Ledger, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    shown(ledger, 0)
    shown(ledger, 1)
    withdrawal = {"purpose": "marketing", "channel": "*", "status": "withdrawn", "source": "web", "notice_version": "1"}
    ledger.append([Entry(ledger.stream_of("person", "p1"), "consent", withdrawal, THEN_US + DAY_US)])
    log.update(ledger, RELEASE, LATER_US)
    assert reached_rows(log, "_id, _opted_out") == [("d0.0", False), ("d1.0", True)]


@pytest.mark.promise("learning.log")
def test_the_erased_are_taken_out_and_the_restricted_left_out(ledger: Ledger, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    for n in range(4):
        shown(ledger, n)
    log.update(ledger, RELEASE, LATER_US)
    erased, restricted = (ledger.stream_of("person", f"p{n}") for n in (1, 2))
    ledger.erase(erased)
    ledger.append([Entry(restricted, "flag", {"restricted": True}, THEN_US)])
    assert log.update(ledger, RELEASE, LATER_US).erased == 1
    assert [r[0] for r in reached_rows(log)] == ["d0.0", "d3.0"]
    assert all(erased.encode() not in p.read_bytes() for p in (tmp_path / "log").rglob("*.parquet"))


def test_an_erasure_reaches_what_a_crash_left_half_written(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, folder = DecisionLog(tmp_path / "log"), tmp_path / "log"
    shown(ledger, 0)
    with monkeypatch.context() as patch:
        patch.setattr("features.files.os.replace", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            log.update(ledger, RELEASE, LATER_US)
    person = ledger.stream_of("person", "p0")
    assert any(person.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    log.forget([person])
    assert not any(person.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_files_of_an_older_layout_are_made_anew(ledger: Ledger, tmp_path: Path) -> None:
    log, state = DecisionLog(tmp_path / "log"), tmp_path / "log" / "state.json"
    shown(ledger, 0)
    log.update(ledger, RELEASE, LATER_US)
    whole = log.query("SELECT * FROM log", RELEASE)
    (path,) = (tmp_path / "log" / "rows").glob("*.parquet")
    pq.write_table(whole.drop_columns(["_candidates"]), path)
    state.write_text(state.read_text().replace('"layout"', '"before"'))
    log.update(ledger, RELEASE, LATER_US)
    assert log.query("SELECT * FROM log", RELEASE).equals(whole)


def test_an_empty_log_has_no_rows(ledger: Ledger, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    log.update(ledger, RELEASE, LATER_US)
    assert reached_rows(log) == []


events = st.tuples(
    st.integers(0, 7),
    st.sampled_from(["bought", "tried", "declined"]),
    st.sampled_from([0.5, 5, 29, 31]),
    st.booleans(),
    st.sampled_from([None, 1.5, 20.0]),
)


@pytest.mark.promise("learning.log")
@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, max_size=10), st.lists(st.integers(0, 7), max_size=6), st.integers(1, 3))
def test_updates_in_any_split_say_what_the_whole_ledger_says(
    tmp_path_factory: pytest.TempPathFactory, happened: list[Any], unreached: list[int], split: int
) -> None:
    folder = tmp_path_factory.mktemp("split")
    with Ledger.open(folder / "ledger.db", b"x" * 32) as ledger:
        ledger.put_release(pack(FILES_OF_RELEASE))
        entries = [entry(ledger, decision(ledger, n, "email")) for n in range(8)]
        entries += [reached(ledger, n, "not_delivered" if n in unreached else "seen") for n in range(8)]
        entries += [outcome(ledger, n, name, days, offer, value_eur=eur) for n, name, days, offer, eur in happened]
        log = DecisionLog(folder / "log")
        step = len(entries) // split + 1
        for at in range(0, len(entries), step):
            ledger.append(entries[at : at + step])
            log.update(ledger, RELEASE, THEN_US + at)
        log.update(ledger, RELEASE, LATER_US)
        all_rows = "SELECT * FROM log ORDER BY _at_us"
        rows, again = log.query(all_rows, RELEASE), DecisionLog(folder / "again")
        again.update(ledger, RELEASE, LATER_US)
        assert again.query(all_rows, RELEASE).equals(rows)
        by_outcome = log.query(all_rows, RELEASE, "tried")
    assert rows.num_rows == 8
    for n, row in enumerate(rows.to_pylist()):
        positives = [
            (name, days, eur) for who, name, days, _, eur in happened if who == n and name != "declined" and days <= 30
        ]
        here = n not in unreached
        assert row["_label"] == (bool(positives) if here else None)
        assert row["_value_eur"] == (pytest.approx(worth_by_hand(positives)) if here else None)
        assert by_outcome["_label"][n].as_py() == ("tried" in [name for name, *_ in positives] if here else None)


def worth_by_hand(successes: list[tuple[str, float, float | None]]) -> float:
    """Return what a row of `tea` earned: per sale the euros that were told last, else the ten of the catalogue."""
    of_name = [
        sorted((s for s in successes if s[0] == name), key=lambda s: (s[1], s[2] is None, s[2]))
        for name in ("bought", "tried")
    ]
    total = 0.0
    for sale in zip_longest(*of_name):
        told = [(days, eur) for _, days, eur in filter(None, sale) if eur is not None]
        total += max(told)[1] if told else 10.0
    return total
