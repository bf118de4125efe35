"""What the generated customers said yes and no to, and when."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from decisioning.facts.standing import ALL_CHANNELS, ConsentStatus
from decisioning.times import DAY_US
from training.simulator.telecom_customers import Floats, Rng
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


_Said = tuple[str, str, ConsentStatus]
ATTITUDES: dict[Attitude, tuple[float, tuple[_Said, ...]]] = {
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
"""Share of customers, and what they said, in that order."""


def attitudes(rng: Rng, age: Floats) -> NDArray[np.int64]:
    """Index into ATTITUDES per customer; nobody is asked before they are 18."""
    shares = np.asarray([share for share, _ in ATTITUDES.values()])
    drawn = rng.choice(len(shares), size=len(age), p=shares)
    return np.asarray(np.where(age < 18, 0, drawn), dtype=np.int64)


def answers(rng: Rng, held: NDArray[np.int64], as_of_us: int) -> tuple[ConsentGiven, ...]:
    """Every consent record, in order of customer and time; the first 100 to 300 days before `as_of_us`."""
    newest = as_of_us - int(ANSWERED_DAYS[1] * DAY_US)
    spread_us = int((ANSWERED_DAYS[0] - ANSWERED_DAYS[1]) * DAY_US)
    first = newest - (rng.random(len(held)) * spread_us).astype(np.int64)
    names = tuple(ATTITUDES)
    return tuple(
        record
        for customer, (attitude, at_us) in enumerate(zip(held.tolist(), first.tolist(), strict=True))
        for record in _records(customer, names[attitude], at_us)
    )


def marketing_allowed(held: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Bool (n, 6): who may be sold something on which of CHANNELS."""
    table = np.zeros((len(ATTITUDES), len(CHANNELS)), dtype=np.bool_)
    for i, (name, (_, said)) in enumerate(ATTITUDES.items()):
        for purpose, channel, status in said:
            if purpose == "marketing" and name != "stale":
                concerned = [channel in (ALL_CHANNELS, c) for c in CHANNELS]
                table[i, concerned] = status == "granted"
    return table[held]


def _records(customer: int, attitude: Attitude, at_us: int) -> list[ConsentGiven]:
    source = "preference-centre" if attitude in ("own-channels", "e-mail-only") else "sign-up"
    notice = OLD_NOTICE if attitude == "stale" else NOTICE
    return [
        ConsentGiven(customer, purpose, channel, status, source, notice, at_us + (status == "withdrawn") * 5 * DAY_US)
        for purpose, channel, status in ATTITUDES[attitude][1]
    ]
