"""Lift is computed over the units that were drawn: people who share an account count as one piece of evidence."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.arms import NBA
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scores
from decisioning.facts.standing import Consent, Standing
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from tests.training.decided import CATALOGUE, DAY_US, THEN_US
from training.evaluation.lift import MISMATCH, lift, mismatched_arms, size_probability
from training.evaluation.mean_difference import Totals, difference
from training.fitting.intervals import ConfidenceInterval
from training.model.frame import Floats, Ints

FILES = {"all.yaml": CATALOGUE + "\narms:\n  - {id: holdout, share: 0.25, unit: account, from: 2026-01-01}\n"}
RELEASE = Release.from_bytes(pack(FILES))
NOW_US = THEN_US + 70 * DAY_US
PEOPLE = 240


def account_of(n: int) -> str | None:
    """Return the customer's account: households of up to six, and None for every tenth customer."""
    return None if n % 10 == 0 else f"a{int(n**0.85)}"


def decided(ledger: Ledger, n: int) -> dict[str, Any]:
    consents = [Consent(p, "*", "granted", "test", "1", THEN_US - DAY_US, None, 1) for p in ("marketing", "profiling")]
    person, account = Standing(ledger.stream_of("person", f"p{n}"), 1, tuple(consents)), account_of(n)
    of_account = Standing(ledger.stream_of("account", account), 1) if account else None
    known = Known({"age": 40, "hardship": False}, person, of_account)
    hero = (PlacementAsk(name="hero"),)
    ask = Ask(request_id=f"r{n}", customer_id=f"p{n}", account_id=account, channel="web", placements=hero)

    def score(_: object, candidates: np.ndarray) -> Scores:
        return Scores(np.full(len(candidates), 0.5), np.zeros(len(candidates)), ((),) * len(candidates))

    return decide(
        ask,
        known,
        RELEASE,
        score,
        DecisionContext(assigned_model="propensity@1", now_us=THEN_US + n, decision_id=f"d{n}"),
    ).record


@pytest.mark.promise("arms.by-account")
def test_accounts_that_were_drawn_are_the_units(tmp_path: Path) -> None:
    entries: list[Entry] = []
    spent: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32, clock=lambda: NOW_US) as ledger:
        ledger.put_release(pack(FILES))
        for n in range(PEOPLE):
            record, stream = decided(ledger, n), ledger.stream_of("person", f"p{n}")
            eur = 5.0 * (len(account_of(n) or "") + n % 3)
            sale = {"action": "tea", "outcome": "bought", "value_eur": eur}
            entries += [Entry(stream, "decision", record, THEN_US + n)]
            entries += [Entry(stream, "outcome", sale, THEN_US + n + DAY_US)]
            spent[record["answer"]["arm"]][account_of(n) or f"p{n}"].append(eur)
        ledger.append_many(entries)
        log = DecisionLog(tmp_path / "log")
        log.update(ledger, RELEASE, NOW_US)
        rows = {r["arm"]: r for r in lift(log, RELEASE, NOW_US)}
        accounts = log.query("SELECT * FROM log", RELEASE).column("_account").to_pylist()
    assert not {account_of(n) for n in range(PEOPLE)} & {a for a in accounts if a}, "ids stay in the ledger"
    for arm, of_units in spent.items():
        assert rows[arm]["units"] == len(of_units) < rows[arm]["customers"] == sum(map(len, of_units.values()))
        assert rows[arm]["mean_eur"] == pytest.approx(sum(map(sum, of_units.values())) / rows[arm]["customers"])
    holdout, by_hand = rows["holdout"], clustered(*(list(spent[arm].values()) for arm in (NBA, "holdout")))
    assert (holdout["lift_eur"], holdout["lift_low"], holdout["lift_high"]) == pytest.approx(
        (by_hand.value, by_hand.low, by_hand.high)
    )
    assert holdout["brought_eur"] == pytest.approx(holdout["lift_eur"] * rows[NBA]["customers"])
    assert mismatched_arms(list(rows.values())) == []


def clustered(*arms: list[list[float]]) -> ConfidenceInterval:
    totals = (Totals(np.array([sum(u) for u in arm]), np.array([float(len(u)) for u in arm])) for arm in arms)
    return difference(*totals)


def test_the_difference_of_two_shares_is_the_published_one() -> None:
    """Of one euro to 56 of 70 and 48 of 80; the limits by hand, with the share of both arms in Wilson's formula."""
    a, b = (Totals(np.repeat([1.0, 0.0], [k, n - k]), np.ones(n)) for k, n in ((56, 70), (48, 80)))
    told = difference(a, b)
    assert told.value == pytest.approx(0.2)
    assert (told.low, told.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)  # Newcombe 1998, table II, method 10


@pytest.mark.promise("arms.sizes")
@pytest.mark.parametrize(("units", "share"), [(200, 0.02), (1_000, 0.01), (500, 0.25)])
def test_an_arm_that_was_drawn_as_declared_is_called_wrong_no_more_often_than_stated(units: int, share: float) -> None:
    """A normal curve in place of the binomial one calls two and a half times as many arms of 4 expected units wrong."""
    sizes = np.arange(units + 1)
    wrong = [n for n in sizes.tolist() if (size_probability(n, units, share) or 0.0) < MISMATCH]
    assert 0.2 * MISMATCH < float(binom.pmf(wrong, units, share).sum()) <= MISMATCH


def test_where_nobody_of_an_arm_bought_its_limits_are_those_of_its_size() -> None:
    a, b = Totals(np.repeat([20.0, 0.0], [100, 900]), np.ones(1_000)), Totals(np.zeros(20), np.ones(20))
    told = difference(a, b)
    assert told.value == 2.0
    assert told.low < 0.0 < told.high, "nobody of twenty buys in one of eight shops where a tenth does"


def households(rng: np.random.Generator, units: int, more: float) -> tuple[Floats, Ints]:
    """Return each customer's spending and household; people of a household spend alike."""
    of = np.repeat(np.arange(units), rng.integers(1, 6, units))
    return more + rng.gamma(2.0, 10.0, units)[of] + rng.normal(0.0, 3.0, len(of)), of


def interval(eur: tuple[Floats, Floats], of: tuple[Ints, Ints]) -> ConfidenceInterval:
    totals = (Totals(np.bincount(o, e), np.bincount(o).astype(np.float64)) for e, o in zip(eur, of, strict=True))
    return difference(*totals)


@pytest.mark.promise("arms.by-account")
def test_intervals_cover_where_people_of_an_account_are_alike() -> None:
    """They would not if customers counted as independent."""
    rng = np.random.default_rng(1)
    covered = {"by account": 0, "by person": 0}
    for _ in range(1_000):
        (a, of_a), (b, of_b) = households(rng, 300, 2.0), households(rng, 100, 0.0)
        by_account = interval((a, b), (of_a, of_b))
        by_person = interval((a, b), (np.arange(len(a)), np.arange(len(b))))
        covered["by account"] += by_account.low < 2.0 < by_account.high
        covered["by person"] += by_person.low < 2.0 < by_person.high
    assert 930 <= covered["by account"] <= 970, covered
    assert covered["by person"] < 850, covered
