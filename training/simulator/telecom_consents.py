"""The consents that the generated customers gave and refused, and when."""

from typing import Literal, NamedTuple

import numpy as np

from decisioning.facts.standing import ALL_CHANNELS, ConsentStatus
from decisioning.times import DAY_US
from training.model.frame import Bools, Floats, Ints
from training.simulator.telecom_customers import Rng
from training.simulator.telecom_truth import CHANNELS

NOTICE, OLD_NOTICE = "2026-01", "2024-06"
ANSWERED_DAYS = (300.0, 100.0)
Attitude = Literal[
    "silent", "open", "impersonal", "own-channels", "e-mail-only", "closed", "withdrawn", "objected", "stale"
]


class ConsentGiven(NamedTuple):
    """One answer, in the terms of `POST /v1/consents`; `customer` is a row of the world."""

    customer: int
    purpose: str
    channel: str
    status: ConsentStatus
    source: str
    notice_version: str
    occurred_us: int


_Answer = tuple[str, str, ConsentStatus]
"""Purpose, channel, status."""
ATTITUDES: dict[Attitude, tuple[float, tuple[_Answer, ...]]] = {
    "silent": (0.10, ()),
    "open": (0.42, (("marketing", "*", "granted"), ("profiling", "*", "granted"))),
    "impersonal": (0.10, (("marketing", "*", "granted"), ("profiling", "*", "refused"))),
    "own-channels": (
        0.16,
        (
            ("marketing", "web", "granted"),
            ("marketing", "app", "granted"),
            ("marketing", "email", "refused"),
            ("profiling", "*", "granted"),
        ),
    ),
    "e-mail-only": (0.04, (("marketing", "email", "granted"), ("profiling", "email", "granted"))),
    "closed": (0.10, (("marketing", "*", "refused"), ("profiling", "*", "refused"))),
    "withdrawn": (
        0.05,
        (("marketing", "*", "granted"), ("profiling", "*", "granted"), ("marketing", "*", "withdrawn")),
    ),
    "objected": (0.01, (("marketing", "*", "objected"),)),
    "stale": (0.02, (("marketing", "*", "granted"), ("profiling", "*", "granted"))),
}
"""The share of customers with each attitude, and their answers in order."""


def draw_attitudes(rng: Rng, age: Floats) -> Ints:
    """Draw an index into ATTITUDES per customer; nobody under 18 is asked."""
    shares = np.asarray([share for share, _ in ATTITUDES.values()])
    drawn = rng.choice(len(shares), size=len(age), p=shares)
    return np.asarray(np.where(age < 18, 0, drawn), dtype=np.int64)


def consent_records(rng: Rng, attitudes: Ints, as_of_us: int) -> tuple[ConsentGiven, ...]:
    """Return every consent record, in order of customer and time; the first 100 to 300 days before `as_of_us`."""
    newest = as_of_us - int(ANSWERED_DAYS[1] * DAY_US)
    spread_us = int((ANSWERED_DAYS[0] - ANSWERED_DAYS[1]) * DAY_US)
    first = newest - (rng.random(len(attitudes)) * spread_us).astype(np.int64)
    names = tuple(ATTITUDES)
    return tuple(
        record
        for customer, (attitude, at_us) in enumerate(zip(attitudes.tolist(), first.tolist(), strict=True))
        for record in _records(customer, names[attitude], at_us)
    )


def marketing_allowed(attitudes: Ints) -> Bools:
    """Return who may be sold something on which of CHANNELS, bool (n, 6)."""
    table = np.zeros((len(ATTITUDES), len(CHANNELS)), dtype=np.bool_)
    for i, (name, (_, answers)) in enumerate(ATTITUDES.items()):
        for purpose, channel, status in answers:
            if purpose == "marketing" and name != "stale":
                covered = [channel in (ALL_CHANNELS, c) for c in CHANNELS]
                table[i, covered] = status == "granted"
    return table[attitudes]


def _records(customer: int, attitude: Attitude, at_us: int) -> list[ConsentGiven]:
    source = "preference-centre" if attitude in ("own-channels", "e-mail-only") else "sign-up"
    notice = OLD_NOTICE if attitude == "stale" else NOTICE
    return [
        ConsentGiven(customer, purpose, channel, status, source, notice, at_us + (status == "withdrawn") * 5 * DAY_US)
        for purpose, channel, status in ATTITUDES[attitude][1]
    ]
