"""Earnings per customer in each control arm, whatever was offered to them, with intervals.

Figures are per customer, and their errors are computed over the units that were drawn, as their first decision recorded
them. If those are accounts, people who share one share an arm and much else, and count as one piece of evidence (Liang
and Zeger 1986), not as several. Everybody stays in the arm that was drawn first for them, whatever they do later: who
logs in, or asks once without their account, is in no other arm, and nobody is left out for it. A visitor who logs in
and the customer that they are have been one person all along.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import bdtr, bdtrc

from decisioning.catalogue.policies import Arm, Unit
from decisioning.catalogue.release import Release
from decisioning.deciding.arms import NBA
from decisioning.records.kept import ACCOUNT, OWN
from decisioning.times import DAY_US, WEEK_US, iso, microseconds
from features.decisions.log import DecisionLog
from features.decisions.people import PEOPLE
from features.decisions.worth import catalogue_eur, sales
from training.evaluation.localized import LocalText, fields, joined, localized
from training.evaluation.mean_difference import Totals, difference

MISMATCH = 0.001
"""Probability of an arm's size below which the arm is not the random group that was declared."""
MIN_BUYING = 10
"""How many units of an arm would have to buy, at the rate of all arms together, before it is compared.

The rate is not the arm's own: an arm in which many happened to buy must not be told rather than one in which few did.
"""

_UNITS = """
WITH RECURSIVE {people},
worth AS (SELECT * FROM (VALUES {worth}) w(action, name, eur)),
ends AS (SELECT unnest({ends}) AS until_us),
decided AS (
  SELECT until_us, l._at_us, l._id, l._arm, coalesce(p._person, l._stream) AS person, l._unit IS NULL AS unnamed,
    CASE l._unit WHEN '{own}' THEN l._stream WHEN '{account}' THEN l._account
      ELSE coalesce(l._unit, {stand_in}) END AS unit
  FROM log l JOIN ends ON l._at_us BETWEEN {since_us} AND until_us LEFT JOIN people p USING (_stream)
  WHERE l._source = 'decision'),
customers AS (
  SELECT until_us, person, any_value(unit ORDER BY _at_us, _id) AS unit, any_value(_arm ORDER BY _at_us, _id) AS arm,
    any_value(unnamed ORDER BY _at_us, _id) AS unnamed, count(DISTINCT _arm) > 1 AS moved, min(_at_us) AS since
  FROM decided GROUP BY until_us, person),
net AS (
  SELECT e.stream, e.action, e.name, e.at_us, e.offer_id, e.value_eur, w.eur AS catalogue_eur,
    sum(e.sign)::BIGINT AS times
  FROM events e JOIN worth w ON w.action = e.action AND w.name = e.name
  WHERE e.kind = 'outcome'
  GROUP BY ALL HAVING times > 0),
since AS (
  SELECT n.* EXCLUDE (stream), c.until_us, c.person
  FROM net n LEFT JOIN people p ON p._stream = n.stream
  JOIN customers c ON c.person = coalesce(p._person, n.stream) AND n.at_us BETWEEN c.since AND c.until_us),
sales AS ({sales}),
earned AS (
  SELECT c.until_us, c.person, c.unit, any_value(c.arm) AS arm, any_value(c.since) AS since,
    any_value(c.unnamed) AS unnamed, any_value(c.moved) AS moved,
    coalesce(sum(s.eur ORDER BY s.action, s.eur), 0.0) AS eur, count(s.eur) AS sales,
    count(*) FILTER (s.unasked) AS unasked
  FROM customers c LEFT JOIN sales s ON s.until_us = c.until_us AND s.person = c.person
  GROUP BY c.until_us, c.person, c.unit)
SELECT until_us, any_value(arm ORDER BY since, person) AS arm, count(*)::DOUBLE AS customers,
  sum(eur ORDER BY person) AS eur,
  sum(sales)::DOUBLE AS sales, sum(unasked)::DOUBLE AS unasked, sum(unnamed::INT)::DOUBLE AS unnamed,
  sum(moved::INT)::DOUBLE AS moved
FROM earned GROUP BY until_us, unit ORDER BY until_us, unit
"""
_SALES = sales("since", "until_us, person, action")
_FIRST = "SELECT min(_at_us) AS at_us FROM log WHERE _source = 'decision' AND _at_us >= {since_us}"
_MOST_ENDS = 12
_STAND_IN = {"person": "l._stream", "account": "coalesce(l._account, l._stream)"}
"""What stands in for the unit where a decision does not name it, as those before December 2026 do not."""


@dataclass(frozen=True, slots=True)
class Lift:
    """`rows`: one per arm in force, plain JSON types. `basis`: on what they rest, in sentences; None without arms."""

    rows: list[dict[str, Any]]
    basis: LocalText | None


def lift(log: DecisionLog, release: Release, now_us: int) -> list[dict[str, Any]]:
    """Return the rows of `lift_told`."""
    return lift_told(log, release, now_us).rows


def lift_told(log: DecisionLog, release: Release, now_us: int) -> Lift:
    """Return per arm in force its units, its earnings, and how much more `nba` earned, from when the last arm began to
    `now_us`.

    Every sale by a customer of the arm counts, offered or not, from their first decision on. There is no comparison
    with `holdout` until a sale without an offer has been recorded, because until then it is unknown what the holdout
    bought by itself; and none of any arm in which too few would buy, see `MIN_BUYING`.
    """
    arms = _arms(release, now_us)
    if not arms:
        return Lift([], None)
    units = _units(log, release, arms, [now_us])
    return Lift(_rows(units, arms), _basis(units, _unit_of(arms), _began_us(arms)))


def value_over_time(log: DecisionLog, release: Release, now_us: int) -> list[dict[str, Any]]:
    """Return the rows of arms that are compared with `nba`, as they would have been told week by week.

    `until_us`: the end of each row's period; `nba_eur`: what a customer of `nba` had earned by then. There are at most
    `_MOST_ENDS` ends, of which the last is now.
    """
    arms = _arms(release, now_us)
    if not arms:
        return []
    first_us = log.query(_FIRST.format(since_us=_began_us(arms)), release)["at_us"][0].as_py()
    if first_us is None:
        return []
    step_us = max(WEEK_US, -(-(now_us - first_us) // (_MOST_ENDS * DAY_US)) * DAY_US)
    ends = [*range(now_us, first_us, -step_us)][:_MOST_ENDS][::-1]
    units = _units(log, release, arms, ends)
    return [row for end in ends for row in _compared(_rows(units.filter(pc.equal(units["until_us"], end)), arms), end)]


def _compared(rows: Sequence[Mapping[str, Any]], until_us: int) -> list[dict[str, Any]]:
    nba_eur = next((r["mean_eur"] for r in rows if r["arm"] == NBA), None)
    names = ("arm", "units", "mean_eur", "lift_eur", "lift_low", "lift_high")
    compared = [r for r in rows if r["lift_eur"] is not None]
    return [{"until_us": until_us, "nba_eur": nba_eur, **{n: r[n] for n in names}} for r in compared]


def _arms(release: Release, now_us: int) -> dict[str, Arm]:
    """Return the arms in force."""
    arms = release.catalogue.arms
    return {a.id: a for a in arms if microseconds(a.from_) <= now_us and not _over(a.until, now_us)}


def _began_us(arms: Mapping[str, Arm]) -> int:
    return max(microseconds(a.from_) for a in arms.values())


def _unit_of(arms: Mapping[str, Arm]) -> Unit:
    """Return the unit of all arms: `brain check` makes sure that it is the same."""
    return next(iter(arms.values())).unit


def _rows(units: pa.Table, arms: Mapping[str, Arm]) -> list[dict[str, Any]]:
    names = pc.unique(units["arm"]).to_pylist()
    earnings = {name: _Earnings.of(units.filter(pc.equal(units["arm"], name))) for name in names}
    shares: dict[str, float] = {NBA: 1.0 - sum(a.share for a in arms.values())}
    shares.update((name, a.share) for name, a in arms.items())
    return [_row(name, share, earnings, units.num_rows) for name, share in shares.items()]


def _units(log: DecisionLog, release: Release, arms: Mapping[str, Arm], ends: Sequence[int]) -> pa.Table:
    """Return a row per end of a period and unit, with the arm drawn for it first and what its customers had bought."""
    drawn = {"own": OWN, "account": ACCOUNT, "stand_in": _STAND_IN[_unit_of(arms)]}
    names = {"people": PEOPLE, "worth": _worth(release), "sales": _SALES, "ends": list(ends)}
    return log.query(_UNITS.format(since_us=_began_us(arms), **names, **drawn), release)


def _basis(units: pa.Table, unit: str, since_us: int) -> LocalText:
    """Return what was counted, in which unit, and what was left out, as sentences for the report."""
    people, moved, unnamed = (int(pc.sum(units[name]).as_py() or 0) for name in ("customers", "moved", "unnamed"))
    of = localized("arms-of-accounts", n=units.num_rows) if unit == "account" else localized("nothing")
    drawn = {"unit": localized(f"unit-{unit}"), "since": iso(since_us)[:10]}
    parts = [localized("arms-counted", people=people, of=of, **drawn)]
    if moved:
        parts.append(localized("arms-moved", n=moved))
    if unnamed:
        parts.append(localized("arms-unnamed", n=unnamed, stand_in=localized(f"stand-in-{unit}")))
    return joined(parts)


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
    """What the units of an arm earned and sold; `unasked`: number of sales without an offer."""

    eur: Totals
    sales: Totals
    unasked: float

    @classmethod
    def of(cls, units: pa.Table) -> "_Earnings":
        """Return the earnings of an arm from the rows of its units."""
        columns = {n: np.asarray(units[n].to_numpy(), dtype=np.float64) for n in units.column_names if n != "arm"}
        eur, sales = (Totals(columns[name], columns["customers"]) for name in ("eur", "sales"))
        return cls(eur, sales, float(columns["unasked"].sum()))

    @property
    def customers(self) -> int:
        return int(self.eur.customers.sum())

    @property
    def buying(self) -> float:
        """Number of units that bought something."""
        return float(np.count_nonzero(self.sales.total))


def _row(name: str, share: float, earnings: Mapping[str, _Earnings], total: int) -> dict[str, Any]:
    """Return the figures of one arm, with its lift if there is one; `total`: units of all arms."""
    arm, nba = earnings.get(name), earnings.get(NBA)
    n = len(arm.eur) if arm else 0
    row: dict[str, Any] = {"arm": name, "share": share, "units": n, "mismatch": size_probability(n, total, share)}
    row |= {"customers": arm.customers if arm else 0, "buying_units": int(arm.buying) if arm else 0}
    row |= {"mean_eur": arm.eur.mean if arm else None, "mean_sales": arm.sales.mean if arm else None}
    why = _why_not(name, earnings)
    if name == NBA or arm is None or nba is None or why is not None:
        unknown = {"lift_eur": None, "lift_low": None, "lift_high": None, "brought_eur": None, "why": None}
        return {**row, **unknown, **(fields("why", why) if why is not None else {})}
    gain = difference(nba.eur, arm.eur)
    return {
        **row,
        "lift_eur": gain.value,
        "lift_low": gain.low,
        "lift_high": gain.high,
        "brought_eur": gain.value * nba.customers,
        "why": None,
    }


def _why_not(name: str, earnings: Mapping[str, _Earnings]) -> LocalText | None:
    """Return why an arm cannot be compared with `nba`, or None."""
    arm, nba = earnings.get(name), earnings.get(NBA)
    if name == NBA or arm is None or nba is None:
        return None
    if name == "holdout" and not sum(e.unasked for e in earnings.values()):
        return localized("why-no-sale")
    rate = (arm.buying + nba.buying) / (len(arm.eur) + len(nba.eur))
    buying = rate * min(len(arm.eur), len(nba.eur))
    if buying < MIN_BUYING:
        return localized("why-small", buying=buying, most=MIN_BUYING)
    return None


def size_probability(n: int, total: int, share: float) -> float | None:
    """Return the probability that an arm's size deviates so far from its share (binomial, twice the smaller tail).

    None if nobody was drawn, or the share is 0 or 1.
    """
    if not total or not 0.0 < share < 1.0:
        return None
    return min(1.0, 2.0 * float(min(bdtr(n, total, share), bdtrc(n - 1, total, share))))


def mismatched_arms(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the arms whose sizes do not match the declared shares."""
    return [r["arm"] for r in rows if r["mismatch"] is not None and r["mismatch"] < MISMATCH]
