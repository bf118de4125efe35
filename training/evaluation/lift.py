"""What the control groups show: what a customer earned in each arm, whoever was offered what, with intervals.

Figures are per customer; their errors are of the units that were drawn. Where those are accounts, people who share one
share an arm, and much else: they count as one piece of evidence (Liang and Zeger 1986), not as several.
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
from training.model.frame import Floats

_Z = NormalDist().inv_cdf(0.975)
MISMATCH = 0.001
"""Below this probability of its sizes, an arm is not the random group that it was declared to be."""

_UNITS = """
WITH worth AS (SELECT * FROM (VALUES {worth}) w(action, name, eur)),
customers AS (
  SELECT _stream, any_value({unit} ORDER BY _at_us) AS unit, any_value(_arm ORDER BY _at_us) AS arm,
    count(DISTINCT _arm) AS arms, min(_at_us) AS since
  FROM log WHERE _source = 'decision' AND _at_us >= {since_us} GROUP BY _stream),
net AS (
  SELECT e.stream, e.action, e.name, e.at_us, e.offer_id, coalesce(e.value_eur, w.eur) AS eur, sum(e.sign) AS times
  FROM events e JOIN worth w ON w.action = e.action AND w.name = e.name WHERE e.kind = 'outcome'
  GROUP BY ALL HAVING times > 0),
earned AS (
  SELECT c._stream, c.unit, c.arm, coalesce(sum(n.eur * n.times ORDER BY n.at_us, n.action, n.name), 0.0) AS eur,
    coalesce(sum(n.times), 0) AS sales, coalesce(sum(n.times) FILTER (n.offer_id IS NULL), 0) AS unasked
  FROM customers c LEFT JOIN net n ON n.stream = c._stream AND n.at_us >= c.since WHERE c.arms = 1 GROUP BY ALL)
SELECT arm, count(*)::DOUBLE AS customers, sum(eur ORDER BY _stream) AS eur, sum(sales)::DOUBLE AS sales,
  sum(unasked)::DOUBLE AS unasked
FROM earned GROUP BY arm, unit ORDER BY arm, unit
"""
_UNIT = {"person": "_stream", "account": "coalesce(_account, _stream)"}
"""As `decisioning.arms.unit_of`: whoever asks without an account is a unit of their own."""


@dataclass(frozen=True, slots=True)
class Mean:
    """Of something per customer; `variance` over `units` is its squared error."""

    value: float
    variance: float
    units: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What one customer more in `nba` is worth than in the arm, with its 95% interval."""

    value: float
    low: float
    high: float


def lift(log: DecisionLog, release: Release, now_us: int) -> list[dict[str, Any]]:
    """A row per arm that is in force: its units, what each earned, and what `nba` earned more, since the last began.

    Every sale by a customer of the arm counts, offered or not, from their first decision on; customers whom a new draw
    moved from one arm to another are left out. Against `holdout` nothing is said until some sale without an offer was
    told: until then nobody knows what the holdout bought by itself.
    """
    arms = {a.id: a for a in release.catalogue.arms if microseconds(a.from_) <= now_us and not _over(a.until, now_us)}
    if not arms:
        return []
    since_us = max(microseconds(a.from_) for a in arms.values())
    unit = _UNIT[next(iter(arms.values())).unit]  # all arms draw by the same: `brain check`
    units = log.query(_UNITS.format(worth=_worth(release), since_us=since_us, unit=unit), release)
    names = pc.unique(units["arm"]).to_pylist()
    found = {name: _Earned.of(units.filter(pc.equal(units["arm"], name))) for name in names}
    total = units.num_rows
    shares: dict[str, float] = {NBA: 1.0 - sum(a.share for a in arms.values())}
    shares.update((name, a.share) for name, a in arms.items())
    return [_row(name, share, found, total) for name, share in shares.items()]


def _over(until: Any, now_us: int) -> bool:
    return until is not None and microseconds(until) <= now_us


def _worth(release: Release) -> str:
    """What a sale is worth where nobody says: that of a typical customer. SQL rows, of what sells alone."""
    points = release.catalogue.settings.eur_per_point
    rows = []
    for a in (a for a in release.actions.values() if a.commercial):
        eur = a.value.typical if a.value.typical is not None else a.value.constant_eur(points)
        rows += [f"('{a.id}', '{name}', {eur or 0.0})" for name in a.outcomes.positive]
    return ", ".join(rows) or "('', '', 0.0)"


@dataclass(frozen=True, slots=True)
class _Earned:
    """What an arm's customers earned; `unasked`: sales without an offer."""

    customers: int
    eur: Mean
    sales: Mean
    unasked: float

    @classmethod
    def of(cls, units: pa.Table) -> "_Earned":
        columns = {n: np.asarray(units[n].to_numpy(), dtype=np.float64) for n in units.column_names if n != "arm"}
        people = columns["customers"]
        eur, sales = (mean_per_customer(columns[name], people) for name in ("eur", "sales"))
        return cls(int(people.sum()), eur, sales, float(columns["unasked"].sum()))


def mean_per_customer(total: Floats, customers: Floats) -> Mean:
    """The mean of what units of several `customers` (n,) came to together (n,); its error is that of a ratio."""
    mean = float(total.sum() / customers.sum())
    off = (total - mean * customers) * len(total) / float(customers.sum())
    return Mean(mean, float(off.var(ddof=1)) if len(off) > 1 else 0.0, len(total))


def _row(name: str, share: float, found: Mapping[str, _Earned], total: int) -> dict[str, Any]:
    mine, nba = found.get(name), found.get(NBA)
    n = mine.eur.units if mine else 0
    row: dict[str, Any] = {"arm": name, "share": share, "units": n, "mismatch": _mismatch(n, total, share)}
    row |= {"customers": mine.customers if mine else 0}
    row |= {"mean_eur": mine.eur.value if mine else None, "mean_sales": mine.sales.value if mine else None}
    unknown = name == "holdout" and not sum(r.unasked for r in found.values())
    if name == NBA or mine is None or nba is None or min(n, nba.eur.units) < 2 or unknown:
        why = "nobody told of a sale without an offer" if unknown else None
        return {**row, "lift_eur": None, "lift_low": None, "lift_high": None, "brought_eur": None, "why": why}
    more = difference(nba.eur, mine.eur)
    return {
        **row,
        "lift_eur": more.value,
        "lift_low": more.low,
        "lift_high": more.high,
        "brought_eur": more.value * nba.customers,
        "why": None,
    }


def difference(a: Mean, b: Mean) -> Difference:
    """Of two means, a - b, with its 95% interval (Welch 1947, normal: arms have many units)."""
    more, half = a.value - b.value, _Z * sqrt(a.variance / a.units + b.variance / b.units)
    return Difference(more, more - half, more + half)


def _mismatch(n: int, total: int, share: float) -> float | None:
    """The probability that an arm of this share has a size so far from it (normal, two-sided); None for nobody."""
    if not total or not 0.0 < share < 1.0:
        return None
    z = abs(n - total * share) / sqrt(total * share * (1.0 - share))
    return erfc(z / sqrt(2.0))


def mismatched_arms(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The arms whose sizes are not what was declared."""
    return [r["arm"] for r in rows if r["mismatch"] is not None and r["mismatch"] < MISMATCH]
