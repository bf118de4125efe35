"""What the control groups show: what a customer earned in each arm, whoever was offered what, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from statistics import NormalDist
from typing import Any

from decisioning.actions import microseconds
from decisioning.arms import NBA
from decisioning.release import Release
from features.decisions.log import DecisionLog

_Z = NormalDist().inv_cdf(0.975)
MISMATCH = 0.001
"""Below this probability of its sizes, an arm is not the random group that it was declared to be."""

_UNITS = """
WITH worth AS (SELECT * FROM (VALUES {worth}) w(action, name, eur)),
units AS (
  SELECT _stream, any_value(_arm ORDER BY _at_us) AS arm, count(DISTINCT _arm) AS arms, min(_at_us) AS since
  FROM log WHERE _source = 'decision' AND _at_us >= {since_us} GROUP BY _stream),
net AS (
  SELECT e.stream, e.action, e.name, e.at_us, e.offer_id, coalesce(e.value_eur, w.eur) AS eur, sum(e.sign) AS times
  FROM events e JOIN worth w ON w.action = e.action AND w.name = e.name WHERE e.kind = 'outcome'
  GROUP BY ALL HAVING times > 0),
earned AS (
  SELECT u._stream, u.arm, coalesce(sum(n.eur * n.times), 0.0) AS eur, coalesce(sum(n.times), 0) AS sales,
    coalesce(sum(n.times) FILTER (n.offer_id IS NULL), 0) AS unasked
  FROM units u LEFT JOIN net n ON n.stream = u._stream AND n.at_us >= u.since WHERE u.arms = 1 GROUP BY ALL)
SELECT arm, count(*) AS units, avg(eur) AS mean_eur, coalesce(var_samp(eur), 0.0) AS var_eur, avg(sales) AS mean_sales,
  coalesce(var_samp(sales), 0.0) AS var_sales, sum(unasked) AS unasked
FROM earned GROUP BY arm ORDER BY arm
"""


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
    told: until then nobody knows what the holdout bought by itself. A unit here is a person, also where accounts were
    drawn; households make such intervals too narrow.
    """
    arms = {a.id: a for a in release.catalogue.arms if microseconds(a.from_) <= now_us and not _over(a.until, now_us)}
    if not arms:
        return []
    since_us = max(microseconds(a.from_) for a in arms.values())
    rows: list[dict[str, Any]] = log.query(_UNITS.format(worth=_worth(release), since_us=since_us), release).to_pylist()
    found = {str(r["arm"]): r for r in rows}
    total = sum(r["units"] for r in found.values())
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


def _row(name: str, share: float, found: Mapping[str, dict[str, Any]], total: int) -> dict[str, Any]:
    mine, nba = found.get(name), found.get(NBA)
    n = mine["units"] if mine else 0
    row: dict[str, Any] = {"arm": name, "share": share, "units": n, "mismatch": _mismatch(n, total, share)}
    row |= {"mean_eur": mine["mean_eur"] if mine else None, "mean_sales": mine["mean_sales"] if mine else None}
    unknown = name == "holdout" and not sum(r["unasked"] for r in found.values())
    if name == NBA or mine is None or nba is None or n < 2 or nba["units"] < 2 or unknown:
        why = "nobody told of a sale without an offer" if unknown else None
        return {**row, "lift_eur": None, "lift_low": None, "lift_high": None, "brought_eur": None, "why": why}
    more = welch(nba["mean_eur"], nba["var_eur"], nba["units"], mine["mean_eur"], mine["var_eur"], n)
    return {
        **row,
        "lift_eur": more.value,
        "lift_low": more.low,
        "lift_high": more.high,
        "brought_eur": more.value * nba["units"],
        "why": None,
    }


def welch(mean_a: float, var_a: float, n_a: int, mean_b: float, var_b: float, n_b: int) -> Difference:
    """The difference a - b of two means with its 95% interval (Welch 1947, normal: arms have many units)."""
    half = _Z * sqrt(var_a / n_a + var_b / n_b)
    return Difference(mean_a - mean_b, mean_a - mean_b - half, mean_a - mean_b + half)


def _mismatch(n: int, total: int, share: float) -> float | None:
    """The probability that an arm of this share has a size so far from it (normal, two-sided); None for nobody."""
    if not total or not 0.0 < share < 1.0:
        return None
    z = abs(n - total * share) / sqrt(total * share * (1.0 - share))
    return erfc(z / sqrt(2.0))


def mismatched(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The arms whose sizes are not what was declared."""
    return [r["arm"] for r in rows if r["mismatch"] is not None and r["mismatch"] < MISMATCH]
