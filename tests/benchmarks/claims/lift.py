"""What nba brings more than a control group: small holdouts, large accounts, and who is found in two arms."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from tests.benchmarks.claims.figures import Case, Told
from tests.benchmarks.claims.labels import logged
from tests.training.decided import CATALOGUE, DAY_US, THEN_US
from training.evaluation.lift import MIN_BUYING, MISMATCH, lift_told, mismatched_arms, size_probability
from training.evaluation.mean_difference import Totals, difference

TYPICAL_EUR, SHARE = 20.0, 0.25
NOW_US = THEN_US + 70 * DAY_US
ARMS = "\narms:\n  - {{id: holdout, share: 0.25, unit: {unit}, from: 2026-01-01}}\n"
RELEASES = {
    unit: Release.from_bytes(pack({"all.yaml": CATALOGUE + ARMS.format(unit=unit)})) for unit in ("person", "account")
}
Entries = Iterator[tuple[str, str, dict[str, Any], int]]


def arms(
    seed: int,
    customers: int,
    share: float,
    rate: float,
    lift: float = 0.0,
    tail: float = 1.0,
    people: int = 1,
    told: float = 1.0,
) -> Told:
    """Return what is told of customers whose euros are lognormal, by units of `people` customers who buy alike.

    :param rate: how many customers of the control group buy
    :param lift: how many times as many of nba buy, less one
    :param tail: the standard deviation of the logarithm of a sale's euros
    :param told: of sales, those whose euros were told; the others count as the catalogue's
    """
    rng = np.random.default_rng(seed)
    units = customers // people
    control = rng.random(units) < share
    prone = rate * (1.0 if people == 1 else rng.gamma(2.0, 0.5, units)) * np.where(control, 1.0, 1.0 + lift)
    sold = rng.binomial(people, np.minimum(prone, 1.0), units)
    eur = TYPICAL_EUR * rng.lognormal(-0.5 * tail**2, tail, units)
    total = np.where(rng.random(units) < told, eur, TYPICAL_EUR) * sold
    nba, arm = (Totals(total[of], np.full(int(of.sum()), float(people))) for of in (~control, control))
    truth = lift * rate * TYPICAL_EUR
    if np.count_nonzero(sold) / units * min(len(nba), len(arm)) < MIN_BUYING:
        return Told(truth, false_claim=False, found=False if lift else None)
    gain = difference(nba, arm)
    return Told(truth, gain.value, gain.low, gain.high, gain.low > truth, gain.low > 0.0 if lift else None)


def size(seed: int, units: int, declared: float, real: float) -> Told:
    """Return whether a report calls the size of an arm wrong; `units` are of all arms."""
    n = int(np.random.default_rng(seed).binomial(units, real))
    off = bool(mismatched_arms([{"arm": "holdout", "mismatch": size_probability(n, units, declared)}]))
    wrong = real != declared
    return Told(real, n / units, false_claim=None if wrong else off, found=off if wrong else None)


def without_account(rng: np.random.Generator, customers: int) -> Entries:
    """Yield customers of whom three in ten, who buy more, ask a second time without their account."""
    drawn = {n: "holdout" if of < SHARE else "nba" for n, of in enumerate(rng.random(2 * customers))}
    for n in range(customers):
        asks_without, at_us = rng.random() < 0.3, THEN_US + n
        yield decided(f"p{n}", f"d{n}", f"a{n}", "account", drawn[n], at_us)
        if asks_without:
            yield decided(f"p{n}", f"e{n}", None, "own", drawn[customers + n], at_us + DAY_US)
        yield from bought(rng, f"p{n}", 0.6 if asks_without else 0.2, at_us + 2 * DAY_US)


def logging_in(rng: np.random.Generator, customers: int) -> Entries:
    """Yield visitors of whom four in ten, who buy more, log in: from then on the customer that they are is the unit."""
    drawn = {n: "holdout" if of < SHARE else "nba" for n, of in enumerate(rng.random(2 * customers))}
    for n in range(customers):
        logs_in, at_us = rng.random() < 0.4, THEN_US + n
        yield decided(f"v{n}", f"d{n}", None, "own", drawn[n], at_us)
        if logs_in:
            yield f"v{n}", "linked_to", {"person": f"p{n}", "linked": True}, at_us + DAY_US
            yield decided(f"v{n}", f"e{n}", None, f"p{n}", drawn[customers + n], at_us + DAY_US)
            yield decided(f"p{n}", f"f{n}", None, "own", drawn[customers + n], at_us + DAY_US)
        yield from bought(rng, f"p{n}" if logs_in else f"v{n}", 0.6 if logs_in else 0.2, at_us + 2 * DAY_US)


def decided(
    person: str, name: str, account: str | None, unit: str, arm: str, at_us: int
) -> tuple[str, str, dict[str, Any], int]:
    """Return a decision that shows nothing."""
    request = {
        "request_id": name,
        "customer_id": person,
        "channel": "web",
        **({"account_id": account} if account else {}),
    }
    return person, "nothing", {"decision_id": name, "request": request, "unit": unit, "arm": arm}, at_us


def bought(rng: np.random.Generator, person: str, rate: float, at_us: int) -> Entries:
    """Yield a sale without an offer, or none."""
    if rng.random() < rate:
        yield person, "outcome", {"action": "tea", "outcome": "bought", "value_eur": TYPICAL_EUR}, at_us


def kept(seed: int, world: Callable[..., Entries], unit: str, customers: int = 1_200) -> Told:
    """Return what lift tells of entries in a ledger; nothing that is shown brings anything."""
    release = RELEASES[unit]
    with logged(list(world(np.random.default_rng(seed), customers)), release, "web") as log:
        row = next(r for r in lift_told(log, release, NOW_US).rows if r["arm"] == "holdout")
    low, high = row["lift_low"], row["lift_high"]
    return Told(0.0, row["lift_eur"], low, high, low > 0.0 or high < 0.0)


def _size(world: str, runs: int = 20_000, **of: Any) -> Case:
    return Case("share of an arm", world, partial(size, **of), runs, MISMATCH)


def _arms(world: str, runs: int = 2_000, **of: Any) -> Case:
    return Case("lift", world, partial(arms, **of), runs, 0.025, (0.93, 0.975))


CASES = (
    _arms("1,000 customers, 2% of them held out", customers=1_000, share=0.02, rate=0.05),
    _arms("20,000 customers, 2% of them held out", customers=20_000, share=0.02, rate=0.05),
    _arms("20,000, 2% held out, heavy-tailed euros", customers=20_000, share=0.02, rate=0.05, tail=1.6),
    _arms("20,000, 2% held out, half of the values told", customers=20_000, share=0.02, rate=0.05, told=0.5),
    _arms("20,000, 10% held out, half more bought", customers=20_000, share=0.1, rate=0.05, lift=0.5),
    _arms("800 accounts of 25, 25% held out", customers=20_000, share=0.25, rate=0.05, people=25),
    _arms("500 accounts of 50, 25% held out", customers=25_000, share=0.25, rate=0.05, people=50),
    Case(
        "lift",
        "three in ten ask once without their account",
        partial(kept, world=without_account, unit="account"),
        40,
        0.05,
        (0.85, 1.0),
    ),
    Case("lift", "visitors who log in", partial(kept, world=logging_in, unit="person"), 40, 0.05, (0.85, 1.0)),
    _size("as declared, 2% of 200", units=200, declared=0.02, real=0.02),
    _size("as declared, 2% of 20,000", units=20_000, declared=0.02, real=0.02),
    _size("as declared, 25% of 10,000", units=10_000, declared=0.25, real=0.25),
    _size("22% of a declared 25% of 10,000", 2_000, units=10_000, declared=0.25, real=0.22),
)
