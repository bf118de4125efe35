"""The generated customers of a fictitious telecom operator: who they are, what they have, and how they fare.

Columns are drawn so that they are consistent: households share an account, heavy users exhaust their bundle, wifi
quality follows the size of the household, arrears follow late payments. Columns are those of the catalogue's features,
as `decisioning.rules` reads them: float64 with NaN for unknown (numbers, bools as 0.0 and 1.0, timestamps in
microseconds), object with None for unknown (strings, enums). All have shape (n,).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.times import DAY_US
from training.model.frame import Bools, Floats, Ints

Column = NDArray[Any]
Rng = np.random.Generator

UNLIMITED_GB = 1000.0
_ZONES = ("Europe/Amsterdam", "Europe/London", "America/Curacao")
_UNKNOWN_SHARE = {
    "age": 0.01,
    "segment": 0.03,
    "household_size": 0.04,
    "time_zone": 0.005,
    "tv_hours_week": 0.08,
    "wifi_score": 0.06,
    "device_age_months": 0.05,
    "router_age_months": 0.03,
    "fibre_available": 0.02,
    "saving_possible_eur": 0.03,
    "email_opens_90d": 0.04,
    "vulnerable": 0.004,
    "churn_risk": 0.02,
}
"""The share of customers whose value the operator does not know."""


@dataclass(frozen=True)
class Population:
    """n customers.

    `columns`: what the operator knows. `complete`: the same columns without gaps, which determine the responses.
    `saver`, `curious`: two inclinations that nobody observes, float64 (n,), standard normal.
    `households`: int64 (n,), the account of each customer.
    """

    households: Ints
    columns: dict[str, Column]
    complete: dict[str, Column]
    saver: Floats
    curious: Floats


def populate(rng: Rng, n: int, as_of_us: int) -> Population:
    """Generate n customers as they are at `as_of_us`, microseconds UTC."""
    household_of = _households(rng, n)
    accounts = int(household_of[-1]) + 1
    saver, curious = rng.standard_normal((2, n))
    home = _homes(rng, accounts)
    home |= _lines(rng, home, as_of_us)
    complete = {name: column[household_of] for name, column in home.items()}
    complete |= _persons(rng, complete)
    complete |= _usage(rng, complete, saver, curious)
    complete |= _troubles(rng, complete)
    complete["churn_risk"] = np.round(churn_probability(complete, np.zeros(n)), 4)
    return Population(household_of, _with_gaps(rng, complete), complete, saver, curious)


def churn_probability(complete: dict[str, Column], saver: Floats) -> Floats:
    """Return the probability of leaving within 90 days, (n,): new customers, faults and high fees raise it.

    With `saver` (n,) set to zero it is the best that anybody can know.
    """
    c = complete
    logit = -3.1 + 0.35 * saver + 0.25 * np.minimum(c["faults_90d"], 5) + 0.012 * (c["monthly_fee_eur"] - 55)
    logit += 0.7 * (c["tenure_months"] < 14) - 0.004 * c["tenure_months"] + 0.5 * c["open_complaint"]
    logit += 0.9 * (c["saving_possible_eur"] >= 8) * (c["tenure_months"] < 60)
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


@dataclass(frozen=True)
class PastCustomers:
    """Customers as they were ninety days before the world's date, and whether they left since, bool (n,)."""

    columns: dict[str, Column]
    left: Bools


def past_customers(rng: Rng, n: int, as_of_us: int) -> PastCustomers:
    """Generate what a churn-risk model learns from; none of these customers is among today's."""
    people = populate(rng, n, as_of_us - 90 * DAY_US)
    return PastCustomers(people.columns, rng.random(n) < churn_probability(people.complete, people.saver))


def _households(rng: Rng, n: int) -> Ints:
    """Draw the household of each of n customers, ascending from 0: most have one customer, some up to four."""
    members = rng.choice(4, size=n, p=[0.72, 0.2, 0.05, 0.03]) + 1
    return np.repeat(np.arange(n), members)[:n]


def _homes(rng: Rng, n: int) -> dict[str, Column]:
    size = rng.choice(np.arange(1.0, 7.0), size=n, p=[0.36, 0.33, 0.12, 0.12, 0.05, 0.02])
    kind = np.where(size == 1, "single", np.where(size == 2, "couple", "family")).astype(object)
    kind[(size >= 3) & (rng.random(n) < 0.15)] = "shared"
    kind[rng.random(n) < 0.04] = "business"
    return {
        "household_size": size,
        "segment": kind,
        "postcode4": np.char.mod("%d", rng.integers(1011, 9999, n)).astype(object),
        "fibre_available": (rng.random(n) < 0.7).astype(np.float64),
        "tenure_months": np.round(np.minimum(rng.gamma(1.3, 42.0, n), 360.0), 1),
    }


def _lines(rng: Rng, home: dict[str, Column], as_of_us: int) -> dict[str, Column]:
    n = len(home["tenure_months"])
    broadband = rng.random(n) < 0.78
    lines = np.minimum(rng.binomial(home["household_size"].astype(np.int64), 0.55), 6) + ~broadband
    television = broadband & (rng.random(n) < np.where(home["segment"] == "family", 0.62, 0.48))
    draw = rng.random(n)
    fibre = broadband & (home["fibre_available"] == 1) & (draw < 0.45)
    kind = np.where(fibre, "fibre", np.where(draw < 0.75, "cable", "dsl")).astype(object)
    kind[~broadband] = "none"
    speed = np.select([kind == "fibre", kind == "cable", kind == "dsl"], [1.0, 0.4, 0.08], 0.0)
    speed = np.round(speed * rng.choice([250.0, 500.0, 1000.0], n, p=[0.4, 0.4, 0.2]), -1)
    fee = 14.0 * lines + broadband * (29.0 + 0.016 * speed) + 14.0 * television + rng.gamma(2.0, 2.2, n)
    term_days = rng.choice([365.0, 730.0], n)
    ends = term_days - np.mod(home["tenure_months"] * 30.4, term_days) - 150.0 * (rng.random(n) < 0.35)
    return {
        "has_broadband": broadband.astype(np.float64),
        "has_tv": television.astype(np.float64),
        "mobile_lines": lines.astype(np.float64),
        "connection": kind,
        "download_mbps": speed,
        "monthly_fee_eur": np.round(fee, 2),
        "contract_ends_at": np.round(as_of_us + ends * DAY_US),
        "router_age_months": np.where(broadband, np.minimum(np.round(rng.gamma(2.0, 18.0, n)), 240.0), np.nan),
    }


def _persons(rng: Rng, home: dict[str, Column]) -> dict[str, Column]:
    n = len(home["household_size"])
    mobile = (home["mobile_lines"] >= 1) & ((home["has_broadband"] == 0) | (rng.random(n) < 0.85))
    age = np.clip(np.round(rng.normal(47, 17, n)), 14, 95)
    bundle = rng.choice([5.0, 10.0, 20.0, 50.0, UNLIMITED_GB], n, p=[0.2, 0.28, 0.27, 0.13, 0.12])
    digital = np.clip(0.85 - (age - 25) * 0.006, 0.2, 0.95)
    app = rng.random(n) < digital
    return {
        "age": age,
        "language": np.where(rng.random(n) < 0.86, "nl", "en").astype(object),
        "time_zone": np.asarray(_ZONES, dtype=object)[rng.choice(3, n, p=[0.985, 0.01, 0.005])],
        "has_mobile": mobile.astype(np.float64),
        "data_bundle_gb": np.where(mobile, bundle, np.nan),
        "device_age_months": np.where(mobile, np.round(rng.gamma(2.2, 12.0, n)), np.nan),
        "app_user": app.astype(np.float64),
        "app_logins_30d": np.where(app, rng.poisson(5.0, n), 0.0),
        "two_step_login": (rng.random(n) < 0.3 + 0.3 * app).astype(np.float64),
        "loyalty_points": np.round(home["tenure_months"] * rng.gamma(2.0, 7.0, n), -1),
    }


def _usage(rng: Rng, c: dict[str, Column], saver: Floats, curious: Floats) -> dict[str, Column]:
    n = len(saver)
    share = np.where(c["data_bundle_gb"] >= UNLIMITED_GB, 0.045, 0.6) * np.exp(rng.normal(0.1 * curious, 0.5, n))
    used = np.round(np.minimum(share * c["data_bundle_gb"], np.minimum(c["data_bundle_gb"] * 1.3, 400.0)), 1)
    tv = np.where(c["has_broadband"] == 1, rng.gamma(2.2, 4.5 + 2.0 * c["has_tv"]), rng.gamma(1.2, 2.0, n))
    wifi = np.clip(
        rng.normal(80 - 5.5 * (c["household_size"] - 1) - 0.12 * np.nan_to_num(c["router_age_months"]), 15), 5, 100
    )
    too_big = np.nan_to_num(share, nan=0.6) < 0.35
    saving = np.where(too_big & (rng.random(n) < 0.7), rng.gamma(2.0, 3.0, n), rng.gamma(0.4, 1.0, n))
    return {
        "data_used_gb": used,
        "tv_hours_week": np.round(np.minimum(tv, 80.0), 1),
        "roaming_days_90d": rng.negative_binomial(0.4, 0.08, n).clip(0, 90).astype(np.float64),
        "email_opens_90d": rng.poisson(np.exp(0.6 + 0.5 * curious)).astype(np.float64),
        "wifi_score": np.where(c["has_broadband"] == 1, np.round(wifi), np.nan),
        "saving_possible_eur": np.round(np.minimum(saving, c["monthly_fee_eur"] * 0.4), 2),
        "paperless": (rng.random(n) < 0.55 + 0.25 * c["app_user"]).astype(np.float64),
        "payment_method": np.select(
            [rng.random(n) < 1 / (1 + np.exp(0.9 * saver - 1.3)), rng.random(n) < 0.5],
            ["direct_debit", "transfer"],
            "online",
        ).astype(object),
    }


def _troubles(rng: Rng, c: dict[str, Column]) -> dict[str, Column]:
    n = len(c["wifi_score"])
    faults = rng.poisson(np.where(c["has_broadband"] == 1, np.where(c["connection"] == "dsl", 0.9, 0.35), 0.05))
    calls = rng.poisson(0.35 + 0.45 * faults)
    late = np.minimum(rng.negative_binomial(0.35, np.where(c["payment_method"] == "direct_debit", 0.6, 0.3), n), 12)
    owing = rng.random(n) < np.clip(0.004 + 0.06 * late, 0, 0.7)
    hardship = rng.random(n) < np.where(owing, 0.25, 0.004)
    return {
        "faults_90d": faults.astype(np.float64),
        "service_contacts_90d": calls.astype(np.float64),
        "outage_in_area": np.isin(c["postcode4"].astype("U1"), ["4"]) * (rng.random(n) < 0.12).astype(np.float64),
        "open_complaint": (rng.random(n) < np.clip(0.01 + 0.025 * faults, 0, 0.3)).astype(np.float64),
        "late_payments_12m": late.astype(np.float64),
        "arrears_eur": np.where(owing, np.round(c["monthly_fee_eur"] * rng.gamma(2.0, 0.9, n), 2), 0.0),
        "hardship": hardship.astype(np.float64),
        "vulnerable": (rng.random(n) < np.where(c["age"] >= 75, 0.08, 0.02)).astype(np.float64),
        "bereaved": (rng.random(n) < 0.004).astype(np.float64),
    }


def _with_gaps(rng: Rng, complete: dict[str, Column]) -> dict[str, Column]:
    """Return what the operator knows: the complete columns with values missing at random."""
    known = dict(complete)
    for name, share in _UNKNOWN_SHARE.items():
        column = complete[name].copy()
        column[rng.random(len(column)) < share] = None if column.dtype == object else np.nan
        known[name] = column
    return known
