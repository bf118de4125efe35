"""Training rows from the log of decisions are those of the whole ledger, and a new feature is as it was known then."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from decisioning.catalogue import pack
from decisioning.release import Release
from features.decisions.log import DecisionLog
from features.ledger import Entry
from tests.features.importing_help import Shop
from tests.training.test_dataset import CATALOGUE, DAY_US, RELEASE, THEN_US, decision, entry, reached
from training.dataset import build
from training.logged import training_rows


def test_observations_are_the_rows_that_the_ledger_gives(shop: Shop, tmp_path: Path) -> None:
    now_us = 1_780_000_000_000_000
    own = {"action": "coats", "channel": "email", "outcomes": [{"outcome": "bought"}], "facts": {"age": 99}}
    shop.ledger.append([Entry(shop.stream("c2"), "observation", own, now_us - 60 * DAY_US)])
    log = DecisionLog(tmp_path / "log")
    log.update(shop.ledger, shop.release, now_us)
    found = training_rows(log, shop.release, shop.history, lambda _: shop.release)
    whole = build(shop.ledger, shop.release, shop.history, now_us).rows
    assert found.digest() == whole.digest()
    assert len(found) == 5
    assert 99.0 in found.x


def test_a_feature_that_was_not_served_yet_is_as_it_was_known_then(shop: Shop, tmp_path: Path) -> None:
    """Decided without `age`; the new release declares it, and the history knew it before and after."""
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
