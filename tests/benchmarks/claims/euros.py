"""The euros that the log and lift tell of sales whose value is known: some told, some not, in one step or in two."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from decisioning.catalogue.files import pack
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from tests.benchmarks.claims.figures import Case, Told
from tests.training.decided import DAY_US, FILES_OF_RELEASE, RELEASE, THEN_US, decision

TYPICAL_EUR = 10.0
"""The catalogue's value of `tea`."""
NOW_US = THEN_US + 70 * DAY_US
OFFERS, RATE = 400, 0.3


def tell(seed: int, told_share: float, second_share: float) -> Told:
    """Return the mean earned per offer as the log tells it.

    :param told_share: of sales, those whose euros were told, which average the catalogue's value
    :param second_share: of sales, those with the second outcome, too
    """
    rng = np.random.default_rng(seed)
    sold, told = rng.random(OFFERS) < RATE, rng.random(OFFERS) < told_share
    twice, eur = rng.random(OFFERS) < second_share, rng.gamma(4.0, TYPICAL_EUR / 4.0, OFFERS).round(2)
    truth = float(np.where(sold, np.where(told, eur, TYPICAL_EUR), 0.0).mean())
    with TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.db", b"x" * 32) as ledger:
        ledger.put_release(pack(FILES_OF_RELEASE))
        pattern, entries = decision(ledger, 1, "email"), list[Entry]()
        for n in range(OFFERS):
            stream, at_us = ledger.stream_of("person", f"p{n}"), THEN_US + n
            offer = {"offer_id": f"d{n}.0", "counts_on": "decided"}
            contacts = [{**pattern["contacts"][0], **offer}]
            record = {**pattern, "decision_id": f"d{n}", "decided_us": at_us, "contacts": contacts}
            entries.append(Entry(stream, "decision", record, at_us))
            for name, days, happened in (("bought", 1, sold[n]), ("tried", 3, sold[n] and twice[n])):
                if happened:
                    value = float(eur[n]) if told[n] else None
                    body = {"action": "tea", "outcome": name, "offer_id": f"d{n}.0", "value_eur": value}
                    entries.append(Entry(stream, "outcome", body, at_us + days * DAY_US))
        ledger.append_many(iter(entries))
        log = DecisionLog(Path(folder) / "log")
        log.update(ledger, RELEASE, NOW_US)
        mean = log.query("SELECT avg(_earned_eur) AS eur FROM log", RELEASE)["eur"][0].as_py()
    return Told(truth, mean, false_claim=abs(mean - truth) > 1e-9)


def told_by_all(seed: int) -> Told:
    return tell(seed, 1.0, 0.0)


def told_by_some(seed: int) -> Told:
    return tell(seed, 0.5, 0.0)


def sold_in_two_steps(seed: int) -> Told:
    return tell(seed, 0.5, 0.8)


CASES = (
    Case("euros per offer", "all values told", told_by_all, 10, 0.0),
    Case("euros per offer", "half of the values told", told_by_some, 10, 0.0),
    Case("euros per offer", "half told, ordered and then activated", sold_in_two_steps, 10, 0.0),
)
