"""How groups of customers fare under a model: whether they are offered as much, and accept as often, as others."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.release import Release
from decisioning.times import DAY_US
from features.decisions.log import DecisionLog
from training.evaluation.localized import LocalText, localized
from training.fitting.intervals import ConfidenceInterval, effective_size
from training.learning.evidence import FAIR_RATIO, GUARD_ALPHA, Guard, risk_ratio
from training.model.frame import Bools, Floats, Ints
from training.rows.columns import floats, unit_codes

FAIR_DAYS = 90
"""The days before now whose decisions are compared."""

FEWEST_CUSTOMERS = 50
"""Nothing is said of a group unless it and everybody else are worth at least this many customers who come equally
often."""

_GROUPS = """
SELECT part, unit, count(*) AS decisions, count(*) FILTER (shown) AS shown,
  count(*) FILTER (label IS NOT NULL) AS labelled, count(*) FILTER (label) AS succeeded
FROM (SELECT _decision, any_value("{feature}")::VARCHAR AS part, any_value(_customer) AS unit,
    bool_or(_issue = '{issue}') AS shown, bool_or(_label) FILTER (_issue = '{issue}') AS label
  FROM log JOIN units USING (_stream)
  WHERE _source = 'decision' AND _arm = 'nba' AND _at_us >= {since_us} {condition} GROUP BY _decision)
WHERE part IS NOT NULL GROUP BY part, unit ORDER BY part, unit
"""  # names of features and models follow patterns that hold no quotes
_CUSTOMERS = """
SELECT count(DISTINCT _customer) AS n FROM log JOIN units USING (_stream)
WHERE _source = 'decision' AND _arm = 'nba' AND _at_us >= {since_us}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """m counts, one per customer and group: the `group` and the customer (`unit`) as codes, `rows` and `hits` of them,
    all (m,). `names`: of the groups, by code.
    """

    names: tuple[str, ...]
    group: Ints
    unit: Ints
    rows: Floats
    hits: Floats


def fairness_guards(
    log: DecisionLog, release: Release, now_us: int, model: str | None = None, *, always: bool = False
) -> list[Guard]:
    """Compare groups by each protected feature, per issue that sells.

    Two rates are compared over the decisions of the last `FAIR_DAYS` days: how often the group is selected, and how
    often it succeeds once selected. Groups without decisions have no guard, so the list is empty for an empty log.

    :param model: judge the decisions assigned to this model alone; None: those of every model
    :param always: intervals also hold over all the times that one looks
    """
    condition = "" if model is None else f"AND _assigned = '{model}'"
    names = {"since_us": now_us - FAIR_DAYS * DAY_US, "condition": condition}
    guards: list[Guard] = []
    for issue, feature in _compared(release):
        table = log.query(_GROUPS.format(feature=feature, issue=issue, **names), release)
        for rate, rows, hits in (("selected", "decisions", "shown"), ("succeeded", "labelled", "succeeded")):
            tally = _tally(table, rows, hits)
            guards += group_guards(f"fairness.{issue}.{rate}.{feature}", tally, always=always)
    return guards


def fairness_said(log: DecisionLog, release: Release, now_us: int) -> LocalText:
    """Return in one sentence whose decisions the guards of every model compare, and what is left out."""
    customers = log.query(_CUSTOMERS.format(since_us=now_us - FAIR_DAYS * DAY_US), release)["n"][0].as_py()
    return localized("fairness-rests-on", customers=customers, days=FAIR_DAYS, few=FEWEST_CUSTOMERS)


def standing_guards(log: DecisionLog, release: Release, now_us: int, model: str) -> list[Guard]:
    """Return the guards that a model must pass to serve: its own, and those of everybody's decisions.

    What is breached over the decisions of every model holds for this model, too, until its own decisions show that the
    groups fare otherwise under it: their interval no longer holds the ratio of all. A few decisions show nothing.
    """
    own = {g.name: g for g in fairness_guards(log, release, now_us, model)}
    return [
        overall
        if overall.state == "breached" and not _differs(own.get(overall.name), overall)
        else own.get(overall.name, overall)
        for overall in fairness_guards(log, release, now_us)
    ]


def _differs(own: Guard | None, overall: Guard) -> bool:
    """Tell whether a model's own decisions rule out the ratio of everybody's."""
    if own is None or own.low is None or own.high is None:
        return False
    return not own.low <= overall.value <= own.high


def _compared(release: Release) -> Iterator[tuple[str, str]]:
    """Yield each issue that sells with each protected feature that splits customers into groups."""
    features = [
        f.name for f in release.schema.features.values() if "protected" in f.tags and f.dtype in ("enum", "bool")
    ]
    for issue in sorted({a.issue for a in release.actions.values() if a.commercial}):
        yield from ((issue, feature) for feature in features)


def _tally(table: pa.Table, rows: str, hits: str) -> Tally:
    """Return the counts of two columns of the groups."""
    group, unit = unit_codes(table["part"]), unit_codes(table["unit"])
    return Tally(tuple(pc.unique(table["part"]).to_pylist()), group, unit, floats(table[rows]), floats(table[hits]))


def group_guards(name: str, tally: Tally, *, always: bool = False) -> list[Guard]:
    """Compare each group's rate, hits per row, with the rate of everybody else.

    A guard is breached if the interval of the ratio lies outside `FAIR_RATIO`. Intervals hold with 99% over all groups
    together (Bonferroni), and their errors are over customers, since what one customer does today and tomorrow is
    alike. A group without rows, or without others to compare it with, has no guard. A guard of fewer than
    `FEWEST_CUSTOMERS` has no interval, and is kept.

    :param always: intervals also hold over all the times that one looks
    """
    guards = []
    for code, group in enumerate(tally.names):
        own = tally.group == code
        hits, rows, all_hits, all_rows = (
            int(column[at].sum()) for at in (own, slice(None)) for column in (tally.hits, tally.rows)
        )
        alpha, alike = GUARD_ALPHA / len(tally.names), _alike(tally, own)
        ratio = risk_ratio(hits, rows, all_hits - hits, all_rows - rows, alpha, alike, always=always)
        if ratio is not None:
            few = min(_customers_worth(tally, at) for at in (own, ~own)) < FEWEST_CUSTOMERS
            guards.append(_guard(f"{name}={group}", ratio, few=few))
    return guards


def _guard(name: str, ratio: ConfidenceInterval, *, few: bool) -> Guard:
    if few:
        return Guard(name, ratio.value, None, None, FAIR_RATIO[1], "kept")
    breached = ratio.low > FAIR_RATIO[1] or ratio.high < FAIR_RATIO[0]
    return Guard(name, ratio.value, ratio.low, ratio.high, FAIR_RATIO[1], "breached" if breached else "kept")


def _customers_worth(tally: Tally, at: Bools) -> float:
    """Return how many customers who come equally often would tell as much as those of these counts (m,)."""
    return effective_size(np.bincount(tally.unit[at], tally.rows[at]).astype(np.float64))


def _alike(tally: Tally, own: Bools) -> float:
    """Return how much larger the squared error of a log ratio of rates is over customers than over rows, at least 1.

    A customer may be in both groups: an account of two people, or somebody whose group changed.

    :param own: (m,), the counts of the group; the others are everybody else's
    """
    influence, alone = np.zeros(len(own)), 0.0
    for at, sign in ((own, 1.0), (~own, -1.0)):
        hits, rows = float(tally.hits[at].sum()) + 0.5, float(tally.rows[at].sum()) + 0.5
        rate = hits / rows
        influence[at] = sign * (tally.hits[at] - rate * tally.rows[at]) / hits
        alone += (hits * (1.0 - rate) ** 2 + (rows - hits) * rate**2) / hits**2
    return max(1.0, float(np.sum(np.bincount(tally.unit, influence) ** 2)) / alone) if alone > 0.0 else 1.0
