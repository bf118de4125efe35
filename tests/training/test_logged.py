"""Training rows: closed windows, customers reached, facts of that time, in whatever order the ledger was written."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from features.matrix import FeatureMatrix
from tests.features.importing_help import ImportWorkspace
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
from training.model.frame import TrainingSet
from training.rows.logged import training_rows


@pytest.fixture
def ledger(tmp_path: Path) -> Iterable[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32) as ledger:
        ledger.put_release(pack(FILES_OF_RELEASE))
        yield ledger


def rows(ledger: Ledger, now_us: int = LATER_US, *, outcome: str | None = None) -> TrainingSet:
    """Return the rows of a new log; decisions of `RELEASE` need no history."""
    return logged(ledger, RELEASE, None, now_us, outcome=outcome)


def logged(ledger: Ledger, release: Release, history: Any, now_us: int, *, outcome: str | None = None) -> TrainingSet:
    with TemporaryDirectory() as folder:
        log = DecisionLog(Path(folder))
        log.update(ledger, release, now_us)
        return training_rows(log, release, history, lambda _: release, outcome=outcome)


def people_with_rows(ledger: Ledger) -> dict[int, tuple[str, bool, float]]:
    """Return customer -> action, label, value for those with a row."""
    data = rows(ledger)
    people = (data.at_us - THEN_US).tolist()
    names = [data.actions[a] for a in data.action]
    return dict(zip(people, zip(names, data.label.tolist(), data.value_eur.tolist(), strict=True), strict=True))


@pytest.mark.promise("caps.freed")
def test_who_was_not_reached_gives_no_row(ledger: Ledger) -> None:
    states = ("reserved", "not_delivered", "expired", "delivered", "seen", "pitched")
    plan = [(channel, state) for channel in ("email", "agent") for state in states]
    for n, (channel, state) in enumerate(plan):
        entries = [entry(ledger, decision(ledger, n, channel))]
        entries += [reached(ledger, n, state)] if state != "reserved" else []
        ledger.append(entries)
    reached_states = {plan[n] for n in people_with_rows(ledger)}
    assert reached_states == {
        ("email", "delivered"),
        ("email", "seen"),
        ("email", "pitched"),
        ("agent", "seen"),
        ("agent", "pitched"),
    }


def test_on_the_web_a_decision_counts_unless_it_was_not_shown(ledger: Ledger) -> None:
    ledger.append([entry(ledger, decision(ledger, n)) for n in (1, 2)])
    ledger.append([reached(ledger, 2, "not_delivered")])
    assert set(people_with_rows(ledger)) == {1}


def test_what_is_told_late_takes_nothing_back(ledger: Ledger) -> None:
    ledger.append(
        [entry(ledger, decision(ledger, 1, "agent")), reached(ledger, 1, "seen"), reached(ledger, 1, "delivered")]
    )
    assert set(people_with_rows(ledger)) == {1}


def shown(ledger: Ledger, n: int, **facts: Any) -> dict[str, Any]:
    """Add an e-mail that was seen and return its decision; it is always about tea, since nothing else has an e-mail."""
    record = decision(ledger, n, "email", **facts)
    ledger.append([entry(ledger, record), reached(ledger, n, "seen")])
    return record


def test_the_label_is_a_positive_outcome_within_the_window(ledger: Ledger) -> None:
    for n in range(8):
        shown(ledger, n)
    ledger.append([outcome(ledger, 1, value_eur=12.5), outcome(ledger, 1, "tried", value_eur=1.0)])
    ledger.append([outcome(ledger, 2, "declined"), outcome(ledger, 3, days=31), outcome(ledger, 4, days=30)])
    ledger.append([outcome(ledger, 5, offer=False), outcome(ledger, 6, offer=False, days=-1)])
    ledger.append([outcome(ledger, 7, days=-1)])
    assert people_with_rows(ledger) == {
        0: ("tea", False, 0.0),
        1: ("tea", True, 12.5),
        2: ("tea", False, 0.0),
        3: ("tea", False, 0.0),
        4: ("tea", True, 10.0),
        5: ("tea", True, 10.0),
        6: ("tea", False, 0.0),
        7: ("tea", False, 0.0),
    }
    only = rows(ledger, outcome="tried")
    assert (only.at_us[only.label] - THEN_US).tolist() == [1]


@pytest.mark.promise("learning.labels")
def test_a_window_that_is_open_gives_no_row(ledger: Ledger) -> None:
    shown(ledger, 0)
    ledger.append([outcome(ledger, 0)])
    assert len(rows(ledger, THEN_US + 30 * DAY_US - 1)) == 0
    assert rows(ledger, THEN_US + 30 * DAY_US).label.tolist() == [True]


def test_an_outcome_without_offer_belongs_to_the_last_contact_before_it(ledger: Ledger) -> None:
    first, second = decision(ledger, 1, "email"), decision(ledger, 1, "email")
    second = second | {
        "decision_id": "d1b",
        "decided_us": THEN_US + 5 * DAY_US,
        "contacts": [
            second["contacts"][0] | {"offer_id": "d1b.0", "at_us": THEN_US + 5 * DAY_US, "counts_on": "decided"}
        ],
    }
    ledger.append([entry(ledger, first), reached(ledger, 1, "seen"), entry(ledger, second)])
    ledger.append([outcome(ledger, 1, offer=False, days=6)])
    assert rows(ledger).label.tolist() == [False, True]


@pytest.mark.promise("profile.same-bits-in-training")
def test_features_are_those_that_were_served(ledger: Ledger) -> None:
    records = [shown(ledger, n, age=20 + n, **({"page": "shop"} if n else {})) for n in range(3)]
    data = rows(ledger)
    matrix = FeatureMatrix(RELEASE.schema)
    assert data.feature_names == matrix.names == ("age", "page=home", "page=shop")
    assert np.array_equal(data.x, [matrix.row(r["facts"]) for r in records], equal_nan=True)
    assert (data.actions, data.groups, data.treatments) == (("tea",), ("drinks",), (("mail",),))
    assert data.treatment.tolist() == [0, 0, 0]


def test_any_order_of_the_ledger_gives_the_same_rows(tmp_path: Path) -> None:
    digests = set()
    for n, order in enumerate(itertools.islice(itertools.permutations(range(6)), 0, 720, 90)):
        with Ledger.open(tmp_path / f"{n}.db", b"x" * 32) as ledger:
            ledger.put_release(pack(FILES_OF_RELEASE))
            entries = [
                entry(ledger, decision(ledger, 1, "email")),
                reached(ledger, 1, "seen"),
                reached(ledger, 1, "delivered"),
                outcome(ledger, 1, value_eur=3.0),
                entry(ledger, decision(ledger, 2)),
                outcome(ledger, 2, offer=False, action="cake"),
            ]
            for at in order:
                ledger.append([entries[at]])
            digests.add(rows(ledger).digest())
    assert len(digests) == 1


def test_what_an_erased_subject_left_behind_gives_no_row(ledger: Ledger) -> None:
    shown(ledger, 1)
    shown(ledger, 2)
    ledger.erase(ledger.stream_of("person", "p1"))
    assert set(people_with_rows(ledger)) == {2}


def test_an_action_that_the_release_no_longer_has_gives_no_row(ledger: Ledger) -> None:
    shown(ledger, 1)
    ledger.append(
        [Entry(ledger.stream_of("person", "p9"), "observation", {"action": "soup", "channel": "web"}, THEN_US)]
    )
    assert len(rows(ledger)) == 1


def imported(shop: ImportWorkspace) -> TrainingSet:
    return logged(shop.ledger, shop.release, shop.history, shop_now())


def shop_now() -> int:
    return 1_780_000_000_000_000


@pytest.mark.promise("learning.log")
def test_imported_observations_are_rows(shop: ImportWorkspace) -> None:
    data = imported(shop)
    assert data.actions == ("coats", "none", "shoes")
    assert data.groups == ("fashion", "none", "fashion")
    assert data.label.sum() == 1
    assert data.value_eur.sum() == 49.95
    assert sorted(data.probability.tolist()) == [0.25, 0.25, 0.25, 0.5]
    assert data.actions[data.action[data.label][0]] == "shoes"
    ages = data.x[:, data.feature_names.index("age")]
    assert sorted(ages[~np.isnan(ages)].tolist()) == [30.0, 30.0, 41.0]


@pytest.mark.promise("learning.labels")
def test_what_was_learned_later_is_not_in_the_row(shop: ImportWorkspace) -> None:
    before = imported(shop).digest()
    later = pa.array([shop_now() - DAY_US], pa.timestamp("us", "UTC"))
    shop.history.import_profiles(pa.table({"subject": [shop.stream("c1")], "event_timestamp": later, "age": [31]}))
    assert shop.facts("c1")["age"] == 31
    assert imported(shop).digest() == before


def test_a_row_whose_source_cannot_tell_the_outcome_has_no_label(tmp_path: Path, shop: ImportWorkspace) -> None:
    stream = shop.stream("c2")
    at_us = shop_now() - 60 * DAY_US
    body = {"action": "coats", "channel": "email"}
    n = len(imported(shop))
    shop.ledger.append([Entry(stream, "observation", {**body, "told": ["opened"]}, at_us)])
    assert len(imported(shop)) == n
    own = {**body, "outcomes": [{"outcome": "bought", "value_eur": 7.0}], "facts": {"age": 99}}
    shop.ledger.append([Entry(stream, "observation", own, at_us + 1)])
    data = imported(shop)
    assert len(data) == n + 1
    assert (data.label[-1], data.value_eur[-1], data.x[-1, data.feature_names.index("age")]) == (True, 7.0, 99.0)


def test_the_same_contact_told_twice_is_one_row(tmp_path: Path, shop: ImportWorkspace) -> None:
    n = len(imported(shop))
    record = next(r for r in shop.ledger.scan(["observation"]) if r.body and r.body["observation_id"] == "shop:m1")
    assert record.body is not None
    shop.ledger.append([Entry(record.stream, "observation", record.body, record.occurred_us)])
    copy = {**record.body, "observation_id": "of-account", "scope": "account"}
    shop.ledger.append([Entry(shop.ledger.stream_of("account", "h1"), "observation", copy, record.occurred_us)])
    assert len(imported(shop)) == n


@pytest.mark.promise("learning.features-not-served")
def test_a_feature_that_was_not_served_yet_is_as_it_was_known_then(shop: ImportWorkspace, tmp_path: Path) -> None:
    """The decision had no `age`; the new release declares it, and the history has values from before and after."""
    ledger, log = shop.ledger, DecisionLog(tmp_path / "log")
    without = Release.from_bytes(pack({"all.yaml": CATALOGUE.replace("name: age,", "name: years,")}))
    record: dict[str, Any] = decision(ledger, 1, "email") | {"release": without.hash}
    del record["facts"]["age"]
    ledger.append([entry(ledger, record), reached(ledger, 1, "seen")])
    for at_us, age in ((THEN_US - DAY_US, 33), (THEN_US + DAY_US, 34)):
        times = pa.array([at_us], pa.timestamp("us", "UTC"))
        shop.history.import_profiles(
            pa.table({"subject": [ledger.stream_of("person", "p1")], "event_timestamp": times, "age": [age]})
        )
    log.update(ledger, RELEASE, THEN_US + 40 * DAY_US)
    rows = training_rows(log, RELEASE, shop.history, {without.hash: without}.__getitem__)
    tea = rows.take(rows.action == rows.actions.index("tea"))
    assert tea.x[:, rows.feature_names.index("age")].tolist() == [33.0]
    assert np.isfinite(tea.probability).all()


def test_rows_of_an_action_that_is_gone_speak_for_what_supersedes_it(ledger: Ledger) -> None:
    """Cake is gone: its outcomes are those that count for the pie that supersedes it, which has no rows yet."""
    pie = CATALOGUE.replace("id: cake", "id: pie\n    supersedes: cake").replace("[bought], neg", "[eaten], neg")
    later = Release.from_bytes(pack({"all.yaml": pie}))
    ledger.append(
        [entry(ledger, decision(ledger, n, placement="side")) for n in range(3)]
        + [outcome(ledger, 0, "eaten"), outcome(ledger, 1, "bought")]
    )
    result = logged(ledger, later, None, LATER_US)
    assert result.actions == ("cake", "pie")
    assert result.groups == ("food", "food")
    assert [terms.supersedes for terms in result.terms] == ["", "cake"]
    assert sorted(result.label.tolist()) == [False, False, True]
    assert not len(
        logged(ledger, Release.from_bytes(pack({"all.yaml": pie.replace("supersedes: cake", "")})), None, LATER_US)
    )
