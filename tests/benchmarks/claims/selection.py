"""The value of showing one action wherever it is open, from a real ledger: by which decisions it is told.

Whoever gets the action succeeds with probability RATE within its window, and after anything else nobody does.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from decisioning.errors import Refused
from features.ledger import Entry, Ledger
from tests.benchmarks.claims.figures import Case, Told
from tests.training.changed import BASE
from tests.training.choice_help import choices, decided
from tests.training.decided import DAY_US, LATER_US, THEN_US
from training.evaluation.estimators import estimate
from training.evaluation.policies import always, log_of

RATE, CUSTOMERS = 0.3, 1_500
EXPLORING = BASE.replace("gamma: 10", "gamma: 1")
WINDOWS = EXPLORING.replace("window_days: 30", "window_days: 90").replace("window_days: 10", "window_days: 7")


def value(seed: int, by: str, delivered: float = 1.0, days: int = 0, now_us: int = LATER_US) -> Told:
    """Return what is told of the value of always showing cake.

    :param delivered: of the offers, how many reach the customer; of the others nothing comes
    :param days: decisions are spread over so many
    """
    rng, truth = np.random.default_rng(seed), RATE * delivered
    with TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.db", b"x" * 32) as ledger:
        entries = []
        for record in decided(ledger, CUSTOMERS, {"hero": 1}, by, days=days, seed=seed):
            stream = ledger.stream_of("person", record["request"]["customer_id"])
            for contact in record["contacts"]:
                later_us, named = record["decided_us"] + DAY_US, {"offer_id": contact["offer_id"]}
                if rng.random() >= delivered:
                    entries.append(Entry(stream, "contact", {**named, "state": "not_delivered"}, later_us))
                elif contact["action"] == "cake" and rng.random() < RATE:
                    bought = {**named, "action": "cake", "outcome": "bought"}
                    entries.append(Entry(stream, "outcome", bought, later_us))
        ledger.append_many(iter(entries))
        drawn = choices(ledger, now_us, by=by)
    log, target = log_of(drawn, "outcome"), always(drawn, drawn.rows.actions.index("cake"))
    try:
        told = estimate(log, target, "dr", np.full(target.shape, 0.1)).interval
    except Refused:
        return Told(truth)
    return Told(truth, told.value, told.low, told.high, false_claim=not told.low <= truth <= told.high)


AFTER_120_DAYS = partial(value, by=WINDOWS, days=40, now_us=THEN_US + 120 * DAY_US)
CASES = (
    Case("value from a ledger", "all delivered", partial(value, by=EXPLORING), 40, coverage=(0.85, 1.0)),
    Case(
        "value from a ledger", "half delivered", partial(value, by=EXPLORING, delivered=0.5), 40, coverage=(0.85, 1.0)
    ),
    Case("value from a ledger", "windows of 7 and 90 days", AFTER_120_DAYS, 400),
)
