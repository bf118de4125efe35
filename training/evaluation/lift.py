"""Earnings per customer in each control arm, whatever was offered to them, with intervals.

Figures are per customer, and their errors are computed over the units that were drawn. If those are accounts, people
who share one share an arm and much else, and count as one piece of evidence (Liang and Zeger 1986), not as several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.release import Release
from decisioning.deciding.arms import NBA
from decisioning.times import microseconds
from features.decisions.log import DecisionLog
from features.decisions.worth import catalogue_eur, sales
from training.model.frame import Floats

_Z = NormalDist().inv_cdf(0.975)
MISMATCH = 0.001
"""Probability of an arm's size below which the arm is not the random group that was declared."""

_UNITS = """
WITH worth AS (SELECT * FROM (VALUES {worth}) w(action, name, eur)),
customers AS (
  SELECT _stream, any_value({unit} ORDER BY _at_us) AS unit, any_value(_arm ORDER BY _at_us) AS arm,
    count(DISTINCT _arm) AS arms, min(_at_us) AS since
  FROM log WHERE _source = 'decision' AND _at_us >= {since_us} GROUP BY _stream),
net AS (
  SELECT e.stream, e.action, e.name, e.at_us, e.offer_id, e.value_eur, w.eur AS catalogue_eur,
    sum(e.sign)::BIGINT AS times
  FROM events e JOIN worth w ON w.action = e.action AND w.name = e.name WHERE e.kind = 'outcome'
  GROUP BY ALL HAVING times > 0),
since AS (SELECT n.* FROM net n JOIN customers c ON n.stream = c._stream AND n.at_us >= c.since),
sales AS ({sales}),
earned AS (
  SELECT c._stream, c.unit, c.arm, coalesce(sum(s.eur ORDER BY s.action, s.eur), 0.0) AS eur, count(s.eur) AS sales,
    count(*) FILTER (s.unasked) AS unasked
  FROM customers c LEFT JOIN sales s ON s.stream = c._stream WHERE c.arms = 1 GROUP BY ALL)
SELECT arm, count(*)::DOUBLE AS customers, sum(eur ORDER BY _stream) AS eur, sum(sales)::DOUBLE AS sales,
  sum(unasked)::DOUBLE AS unasked
FROM earned GROUP BY arm, unit ORDER BY arm, unit
"""
_SALES = sales("since", "stream, action")
_UNIT = {"person": "_stream", "account": "coalesce(_account, _stream)"}
"""As `decisioning.deciding.arms.unit_of`: a customer without an account is a unit of their own."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean per customer; `variance` divided by `units` is its squared standard error."""

    value: float
    variance: float
    units: int


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more a customer in `nba` is worth than one in the arm, with its 95% interval."""

    value: float
    low: float
    high: float


def lift(log: DecisionLog, release: Release, now_us: int) -> list[dict[str, Any]]:
    """Return a row per arm in force: its units, its earnings, and how much more `nba` earned, since the last arm began.

    Every sale by a customer of the arm counts, offered or not, from their first decision on. Customers whom a new draw
    moved to another arm are left out. There is no comparison with `holdout` until a sale without an offer has been
    recorded, because until then it is unknown what the holdout bought by itself.
    """
    arms = {a.id: a for a in release.catalogue.arms if microseconds(a.from_) <= now_us and not _over(a.until, now_us)}
    if not arms:
        return []
    since_us = max(microseconds(a.from_) for a in arms.values())
    unit = _UNIT[next(iter(arms.values())).unit]  # `brain check` makes sure that all arms draw the same unit
    units = log.query(_UNITS.format(worth=_worth(release), sales=_SALES, since_us=since_us, unit=unit), release)
    names = pc.unique(units["arm"]).to_pylist()
    earnings = {name: _Earnings.of(units.filter(pc.equal(units["arm"], name))) for name in names}
    total = units.num_rows
    shares: dict[str, float] = {NBA: 1.0 - sum(a.share for a in arms.values())}
    shares.update((name, a.share) for name, a in arms.items())
    return [_row(name, share, earnings, total) for name, share in shares.items()]


def _over(until: Any, now_us: int) -> bool:
    return until is not None and microseconds(until) <= now_us


def _worth(release: Release) -> str:
    """Return SQL rows (action, outcome, euros) of commercial actions: the worth of a sale whose value was not told."""
    rows = [
        f"('{a.id}', '{name}', {catalogue_eur(a, release)})"
        for a in release.actions.values()
        if a.commercial
        for name in a.outcomes.positive
    ]
    return ", ".join(rows) or "('', '', 0.0)"


@dataclass(frozen=True, slots=True)
class _Earnings:
    """The earnings of an arm's customers; `unasked`: number of sales without an offer."""

    customers: int
    eur: Mean
    sales: Mean
    unasked: float

    @classmethod
    def of(cls, units: pa.Table) -> "_Earnings":
        """Return the earnings of an arm from the rows of its units."""
        columns = {n: np.asarray(units[n].to_numpy(), dtype=np.float64) for n in units.column_names if n != "arm"}
        people = columns["customers"]
        eur, sales = (mean_per_customer(columns[name], people) for name in ("eur", "sales"))
        return cls(int(people.sum()), eur, sales, float(columns["unasked"].sum()))


def mean_per_customer(total: Floats, customers: Floats) -> Mean:
    """Return the mean per customer of units with totals (n,) and `customers` (n,); its error is that of a ratio."""
    mean = float(total.sum() / customers.sum())
    deviation = (total - mean * customers) * len(total) / float(customers.sum())
    return Mean(mean, float(deviation.var(ddof=1)) if len(deviation) > 1 else 0.0, len(total))


def _row(name: str, share: float, earnings: Mapping[str, _Earnings], total: int) -> dict[str, Any]:
    """Return the figures of one arm, with its lift if there is one; `total`: units of all arms."""
    arm, nba = earnings.get(name), earnings.get(NBA)
    n = arm.eur.units if arm else 0
    row: dict[str, Any] = {"arm": name, "share": share, "units": n, "mismatch": _mismatch(n, total, share)}
    row |= {"customers": arm.customers if arm else 0}
    row |= {"mean_eur": arm.eur.value if arm else None, "mean_sales": arm.sales.value if arm else None}
    unknown = name == "holdout" and not sum(e.unasked for e in earnings.values())
    if name == NBA or arm is None or nba is None or min(n, nba.eur.units) < 2 or unknown:
        why = "nobody told of a sale without an offer" if unknown else None
        return {**row, "lift_eur": None, "lift_low": None, "lift_high": None, "brought_eur": None, "why": why}
    gain = difference(nba.eur, arm.eur)
    return {
        **row,
        "lift_eur": gain.value,
        "lift_low": gain.low,
        "lift_high": gain.high,
        "brought_eur": gain.value * nba.customers,
        "why": None,
    }


def difference(a: Mean, b: Mean) -> Difference:
    """Return the difference a - b of two means with its 95% interval (Welch 1947; normal, as arms have many units)."""
    value, half = a.value - b.value, _Z * sqrt(a.variance / a.units + b.variance / b.units)
    return Difference(value, value - half, value + half)


def _mismatch(n: int, total: int, share: float) -> float | None:
    """Return the probability that an arm's size deviates so far from its share (normal, two-sided).

    None if nobody was drawn, or the share is 0 or 1.
    """
    if not total or not 0.0 < share < 1.0:
        return None
    z = abs(n - total * share) / sqrt(total * share * (1.0 - share))
    return erfc(z / sqrt(2.0))


def mismatched_arms(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the arms whose sizes do not match the declared shares."""
    return [r["arm"] for r in rows if r["mismatch"] is not None and r["mismatch"] < MISMATCH]
