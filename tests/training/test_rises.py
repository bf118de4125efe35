"""Unusual rises within the hour: how often there is one where nothing changed, and what of a real one is found."""

import numpy as np
import pytest
from scipy.stats import binom

from training.reporting.customers.rises import FALSE_ALARMS, HISTORY_DAYS, Series, risen, upper_tail

RATES = (0.02, 0.2, 1.0, 3.0, 10.0, 40.0)
"""Customers an hour."""
EACH = 4
"""Series of each rate."""


def counts(rng: np.random.Generator, times: float = 1.0) -> list[Series]:
    """Return series of customers who come at constant rates; `times` as many in the last hour."""
    rates = np.repeat(RATES, EACH)
    now, before = rng.poisson(times * rates), rng.poisson(rates * HISTORY_DAYS)
    return [
        Series("intent", str(n), int(a), int(b)) for n, (a, b) in enumerate(zip(now, before, strict=True)) if a or b
    ]


def test_the_tail_is_that_of_the_binomial() -> None:
    for hits, n in ((0, 0), (1, 1), (3, 40), (25, 27), (9, 3_000)):
        assert upper_tail(hits, n, 1 / 29) == pytest.approx(float(binom.sf(hits - 1, n, 1 / 29)), rel=1e-9)


@pytest.mark.promise("report.rises")
def test_where_nothing_changed_a_report_seldom_tells_of_a_rise() -> None:
    rng, reports = np.random.default_rng(7), 4_000
    alarms = sum(bool(risen(counts(rng), HISTORY_DAYS)) for _ in range(reports))
    assert alarms <= FALSE_ALARMS * reports + 3.0 * (FALSE_ALARMS * reports) ** 0.5, alarms


def test_what_came_four_times_as_often_as_usual_is_told() -> None:
    rng, reports, often = np.random.default_rng(8), 50, {str(n) for n in range(EACH * 4, EACH * len(RATES))}
    rises = [risen(counts(rng, times=4.0), HISTORY_DAYS) for _ in range(reports)]
    told = sum(row["name"] in often for rows in rises for row in rows)
    assert told >= 0.99 * reports * len(often)
    assert all([row["chance"] for row in rows] == sorted(row["chance"] for row in rows) for rows in rises)
