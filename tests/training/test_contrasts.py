"""Evidence about not showing an action: who could have been shown it and was not, and their outcomes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.files import pack
from features.decisions.log import DecisionLog
from features.ledger import Ledger
from tests.training.decided import (
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
from training.fitting.uplift import Contrasts
from training.rows.contrasts import contrasts

PEOPLE = 40


@pytest.fixture
def ledger(tmp_path: Path) -> Iterable[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32) as ledger:
        ledger.put_release(pack(FILES_OF_RELEASE))
        yield ledger


def read(ledger: Ledger, folder: Path, now_us: int = LATER_US, **more: Any) -> Contrasts:
    """Return the contrasts of decisions by `RELEASE`, which need no history."""
    log = DecisionLog(folder)
    log.update(ledger, RELEASE, now_us)
    return contrasts(log, RELEASE, None, lambda _: RELEASE, now_us, **more)  # type: ignore[arg-type]


def decide_all(ledger: Ledger) -> dict[int, str]:
    """Decide for everybody and return customer -> what was shown on the web by chance: tea, cake or none."""
    records = {n: decision(ledger, n) for n in range(PEOPLE)}
    ledger.append([entry(ledger, record) for record in records.values()])
    treatments = {n: record["picks"][0]["treatment"] for n, record in records.items()}
    shown = {n: treatment.partition(".")[0] if treatment else "none" for n, treatment in treatments.items()}
    assert set(shown.values()) == {"tea", "cake", "none"}, "chance decides"
    return shown


@pytest.mark.promise("uplift.not-made-up")
def test_what_came_counts_whatever_was_shown_and_whoever_it_is_credited_to(ledger: Ledger, tmp_path: Path) -> None:
    shown = decide_all(ledger)
    of = {name: [n for n, action in shown.items() if action == name] for name in ("tea", "cake", "none")}
    credited, without_offer, without_offer_too = of["tea"][0], of["none"][0], of["cake"][0]
    late, undelivered = of["none"][1], of["tea"][1]
    ledger.append([outcome(ledger, credited)])
    ledger.append([outcome(ledger, without_offer, offer=False), outcome(ledger, without_offer_too, offer=False)])
    ledger.append([outcome(ledger, late, days=31, offer=False)])
    ledger.append([outcome(ledger, of["cake"][1], action="cake")])
    ledger.append([reached(ledger, undelivered, "not_delivered"), outcome(ledger, undelivered, offer=False)])
    data = read(ledger, tmp_path / "log")
    person = (data.rows.at_us - THEN_US).tolist()
    tea, cake = (data.rows.actions.index(a) for a in ("tea", "cake"))
    assert {n: data.rows.actions[a] for n, a in zip(person, data.rows.action, strict=True)} == shown
    assert data.usable[:, tea].all(), "shown, or it could have been"
    assert not data.usable[:, cake].any(), "nobody ever told of a cake that came by itself"
    assert {n for n, occurred in zip(person, data.outcomes[:, tea], strict=True) if occurred} == {
        credited,
        without_offer,
        without_offer_too,
        undelivered,
    }
    assert [n for n, occurred in zip(person, data.outcomes[:, cake], strict=True) if occurred] == [of["cake"][1]]
    assert data.rows.label.tolist() == data.outcomes.any(axis=1).tolist()
    assert len(np.unique(data.unit)) == PEOPLE


def test_a_row_waits_for_the_longest_window_and_the_value_is_all_that_was_earned(
    ledger: Ledger, tmp_path: Path
) -> None:
    shown = decide_all(ledger)
    ledger.append(
        [outcome(ledger, 3, offer=False, value_eur=7.0), outcome(ledger, 3, "tried", offer=False, value_eur=2.0)]
    )
    ledger.append([outcome(ledger, 3, days=5, offer=False, action="cake", value_eur=1.0)])
    assert len(read(ledger, tmp_path / "early", THEN_US + 30 * DAY_US - 1)) == 0
    data = read(ledger, tmp_path / "log")
    at = (data.rows.at_us - THEN_US).tolist().index(3)
    assert data.rows.value_eur[at] == 8.0
    assert data.rows.value_eur.sum() == 8.0
    assert data.outcomes[at].sum() == 2
    assert data.rows.actions[data.rows.action[at]] == shown[3]
    only = read(ledger, tmp_path / "other", outcome="tried")
    assert only.outcomes.sum() == 1


def test_a_channel_without_chance_tells_nothing_of_withholding(ledger: Ledger, tmp_path: Path) -> None:
    for n in range(5):
        ledger.append([entry(ledger, decision(ledger, n, "email")), outcome(ledger, n, offer=False)])
    data = read(ledger, tmp_path / "log")
    assert set(data.rows.action.tolist()) == {data.rows.actions.index("tea")}
    assert "none" in data.rows.actions
    assert not (data.usable & (data.rows.action[:, None] != np.arange(len(data.rows.actions)))).any()


def test_what_is_shown_elsewhere_in_the_decision_is_not_withheld(ledger: Ledger, tmp_path: Path) -> None:
    records = {n: decision(ledger, n, more_placements=("side",)) for n in range(PEOPLE)}
    ledger.append([entry(ledger, record) for record in records.values()])
    ledger.append([outcome(ledger, 1, offer=False, action="cake")])
    data = read(ledger, tmp_path / "log")
    cake = data.rows.actions.index("cake")
    n_excluded = 0
    for at_us, action, usable in zip(data.rows.at_us, data.rows.action, data.usable[:, cake], strict=True):
        shown = [c["action"] for c in records[int(at_us) - THEN_US]["contacts"]]
        assert usable == ("cake" not in shown or action == cake)
        n_excluded += not usable
    assert n_excluded, "some saw cake at the side of something else, or of nothing"


@pytest.mark.promise("claims.effects")
def test_a_row_counts_by_the_odds_that_its_slot_shows_the_action_or_that_no_slot_from_there_on_does(
    ledger: Ledger, tmp_path: Path
) -> None:
    records = {n: decision(ledger, n, more_placements=("side",)) for n in range(PEOPLE)}
    ledger.append([entry(ledger, record) for record in records.values()])
    ledger.append([outcome(ledger, 1, offer=False, action="cake")])
    data = read(ledger, tmp_path / "log")
    cake, checked = data.rows.actions.index("cake"), 0
    for row in np.flatnonzero(data.usable[:, cake]).tolist():
        record = records[int(data.rows.at_us[row]) - THEN_US]
        odds = [sum(of_cake(record, pick)) for pick in record["picks"]]
        first = data.chance[row, cake] == pytest.approx(odds[0] if data.rows.action[row] == cake else no_cake(odds))
        second = data.chance[row, cake] == pytest.approx(odds[-1] if data.rows.action[row] == cake else 1.0 - odds[-1])
        assert first or second, "of the hero, which comes first, or of the side"
        checked += 1
    assert checked


def of_cake(record: dict[str, Any], pick: dict[str, Any]) -> list[float]:
    """Return the recorded odds of both forms of cake in a slot; none where nothing was left to chance."""
    shown = [action.id for action, _ in RELEASE.candidates]
    of = zip(record["scores"]["candidates"], pick.get("odds", ()), strict=False)
    return [p for candidate, p in of if shown[candidate] == "cake"]


def no_cake(odds: list[float]) -> float:
    """Return the probability that no slot shows cake, each given the picks before it."""
    return float(np.prod([1.0 - p for p in odds]))


def test_choices_whose_records_do_not_tell_the_odds_are_left_out_and_counted(ledger: Ledger, tmp_path: Path) -> None:
    for n in range(PEOPLE):
        record = decision(ledger, n)
        for pick in record["picks"]:
            pick.pop("odds", None)  # as earlier versions recorded it
        ledger.append([entry(ledger, record), outcome(ledger, n, offer=False)])
    data = read(ledger, tmp_path / "log")
    assert not data.usable.any()
    assert f"{PEOPLE} choices are left out" in data.said
    assert data.said.endswith("decisions from before record format 5 (December 2026) never do.")
