"""On channels with people the person chooses what to pitch, and to whom: what was suggested is what is learned from."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from tests.training.decided import CATALOGUE, DAY_US, LATER_US, RELEASE, THEN_US, decision, entry, outcome, reached
from training.fitting.predict import propensities
from training.fitting.propensity import Recipe, fit
from training.model.frame import TrainingSet
from training.rows.logged import training_rows

WITH_PEOPLE = Release.from_bytes(
    pack({"all.yaml": CATALOGUE.replace("counts_on: seen", "counts_on: seen, human: true")})
)
CUSTOMERS = 600
PITCH_OFF = ("", "not_delivered", "expired", "delivered")
"""What may be told of a suggestion that was not pitched; nothing, too."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32, clock=lambda: THEN_US + 500 * DAY_US) as opened:
        opened.put_release(pack({"all.yaml": CATALOGUE}))
        yield opened


def rows(ledger: Ledger, what: str, release: Release = WITH_PEOPLE) -> list[tuple[Any, ...]]:
    with TemporaryDirectory() as folder:
        log = DecisionLog(Path(folder))
        log.update(ledger, release, LATER_US)
        return [
            tuple(row.values()) for row in log.query(f"SELECT {what} FROM log ORDER BY _at_us", release).to_pylist()
        ]


def learned(folder: Path, seed: int, *, picky: bool) -> TrainingSet:
    """Return the rows of customers: one in ten of the young and six in ten of the others are willing.

    Of the willing, 80% buy what is pitched to them.

    :param picky: the agent pitches to the willing alone, and tells anything or nothing of the others
    """
    rng, entries = np.random.default_rng(seed), []
    with Ledger.open(folder / f"{picky}.db", b"x" * 32, clock=lambda: LATER_US) as ledger:
        ledger.put_release(pack({"all.yaml": CATALOGUE}))
        pattern = decision(ledger, 1, "agent")
        for n in range(CUSTOMERS):
            age = 30 if n % 2 else 60
            willing = rng.random() < (0.1 if age == 30 else 0.6)
            record = {**pattern, "decision_id": f"d{n}", "decided_us": THEN_US + n}
            record |= {
                "facts": {**pattern["facts"], "age": age},
                "request": {**pattern["request"], "customer_id": f"p{n}"},
            }
            record["contacts"] = [{**pattern["contacts"][0], "offer_id": f"d{n}.0"}]
            entries.append(entry(ledger, record))
            state = "pitched" if willing or not picky else PITCH_OFF[n % len(PITCH_OFF)]
            entries += [reached(ledger, n, state)] if state else []
            entries += [outcome(ledger, n, offer=n % 3 == 0)] if willing and rng.random() < 0.8 else []
        ledger.append_many(iter(entries))
        log = DecisionLog(folder / f"log-{picky}")
        log.update(ledger, WITH_PEOPLE, LATER_US)
        return training_rows(log, WITH_PEOPLE, None, lambda _: WITH_PEOPLE)  # type: ignore[arg-type]


@pytest.mark.promise("learning.pitching")
def test_an_agent_who_pitches_only_to_the_willing_shifts_no_propensity_beyond_noise(tmp_path: Path) -> None:
    picky, fair = (learned(tmp_path, seed, picky=picky) for seed, picky in ((1, True), (2, False)))
    assert len(picky) == len(fair) == CUSTOMERS
    models = [fit(data, Recipe(growth=None)) for data in (picky, fair)]
    for age, truth in ((30, 0.08), (60, 0.48)):
        few = fair.x[:, fair.feature_names.index("age")] == age
        own = [float(propensities(model, fair)[few].mean()) for model in models]
        noise = np.sqrt(truth * (1 - truth) / few.sum())
        assert np.abs(np.array(own) - truth).max() < 3 * noise, own
        assert abs(own[0] - own[1]) < 3 * noise * np.sqrt(2), own


@pytest.mark.promise("learning.pitching")
def test_a_suggestion_teaches_whatever_was_told_of_it(ledger: Ledger) -> None:
    states = ("", "not_delivered", "expired", "delivered", "seen", "pitched")
    for n, state in enumerate(states):
        told = [reached(ledger, n, state)] if state else []
        ledger.append([entry(ledger, decision(ledger, n, "agent")), *told])
    pitched = [(False, False)] * 4 + [(True, False)] * 2
    assert rows(ledger, "_reached, _label") == pitched, "the report still says who was reached"
    assert rows(ledger, "_label", RELEASE) == [(None,)] * 4 + [(False,)] * 2, "a channel without people"


def test_an_outcome_is_that_of_the_offer_that_reached_the_customer_before_that_of_a_suggestion(ledger: Ledger) -> None:
    later = THEN_US + 5 * DAY_US
    ledger.append([entry(ledger, decision(ledger, 1, "email")), reached(ledger, 1, "delivered")])
    for n in (1, 2):
        suggestion = decision(ledger, n, "agent") | {"decision_id": f"s{n}", "decided_us": later}
        suggestion["contacts"] = [suggestion["contacts"][0] | {"offer_id": f"s{n}.0", "at_us": later}]
        ledger.append([entry(ledger, suggestion), outcome(ledger, n, offer=False, days=6)])
    assert rows(ledger, "_id, _label, _earned_eur") == [
        ("d1.0", True, 10.0),
        ("s1.0", False, 0.0),
        ("s2.0", True, 10.0),
    ]


def overridden(ledger: Ledger, number: int, days: float = 1.0, **more: Any) -> Entry:
    said = {"override_id": f"o{number}", "decision_id": f"d{number}", "action": "cake", "verdict": "overridden"}
    body = {**said, "reason": "price", "who": "key:1", "role": "agent", **more}
    return Entry(ledger.stream_of("person", f"p{number}"), "override", body, THEN_US + number + round(days * DAY_US))


@pytest.mark.promise("corrections.no-outcome")
def test_what_a_person_chose_instead_is_the_outcome_of_no_offer_that_was_drawn(ledger: Ledger) -> None:
    for n in range(3):
        ledger.append([entry(ledger, decision(ledger, n, "email")), reached(ledger, n, "delivered")])
    ledger.append([overridden(ledger, 0, instead="tea"), overridden(ledger, 1, instead="tea", instead_offer="d1.0")])
    ledger.append([overridden(ledger, 2)])
    ledger.append([outcome(ledger, n, offer=False, days=2) for n in range(3)])
    assert rows(ledger, "_id, _succeeded, _earned_eur") == [
        ("d0.0", False, 0.0),
        ("d1.0", True, 10.0),
        ("d2.0", True, 10.0),
    ]


@pytest.mark.promise("corrections.no-outcome")
def test_what_was_chosen_instead_and_undone_takes_no_outcome_from_an_offer(ledger: Ledger) -> None:
    for n in range(2):
        ledger.append([entry(ledger, decision(ledger, n, "email")), reached(ledger, n, "delivered")])
        ledger.append([overridden(ledger, n, instead="tea")])
    undone = {"override_id": "undo-o1", "undoes": "o1", "undone_us": THEN_US + 1 + DAY_US}
    ledger.append([overridden(ledger, 1, days=1.5, instead="tea", **undone)])
    ledger.append([outcome(ledger, n, offer=False, days=2) for n in range(2)])
    assert rows(ledger, "_id, _succeeded") == [("d0.0", False), ("d1.0", True)]


@pytest.mark.promise("me.changed")
def test_what_a_reviewer_offers_is_the_outcome_of_no_offer_that_was_drawn(ledger: Ledger) -> None:
    for n in range(2):
        ledger.append([entry(ledger, decision(ledger, n, "email")), reached(ledger, n, "delivered")])
    about = {"about": "contest", "state": "answered", "opened_us": THEN_US, "due_us": THEN_US, "changed": True}
    for n, more in enumerate(({"offered": "tea"}, {"excluded": "cake"})):
        body = {"number": f"N-{n}", "decision_id": f"d{n}", "who": "key:1", "role": "lead", **about, **more}
        ledger.append([Entry(ledger.stream_of("person", f"p{n}"), "request", body, THEN_US + DAY_US)])
    ledger.append([outcome(ledger, n, offer=False, days=2) for n in range(2)])
    assert rows(ledger, "_id, _succeeded") == [("d0.0", False), ("d1.0", True)], "and no row of its own, so no value"


@pytest.mark.promise("corrections.no-outcome")
def test_an_override_labels_nothing_and_its_reason_is_no_objection(ledger: Ledger) -> None:
    for n in range(2):
        ledger.append([entry(ledger, decision(ledger, n, "email")), reached(ledger, n, "delivered")])
    ledger.append([overridden(ledger, 0, action="tea", offer_id="d0.0", reason="opt-out")])
    ledger.append([overridden(ledger, 1, action="tea", offer_id="d1.0", verdict="accepted_suggestion")])
    assert rows(ledger, "_label, _stage, _opted_out") == [(False, "ignored", False)] * 2
