"""Summaries of the log of decisions: results per action, lift, drift, customers served badly, and complaints."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.release import Release
from decisioning.facts.schema import Feature
from decisioning.times import DAY_US
from features.decisions.log import DecisionLog
from training.evaluation.lift import lift_told, mismatched_arms
from training.evaluation.metrics import calibration_table, wilson
from training.model.frame import Floats
from training.reporting.exploration_cost import exploration_costs
from training.rows.columns import bools, floats

Rows = list[dict[str, Any]]
RECENT_DAYS, BEFORE_DAYS = 28, 112
"""The last four weeks are compared with the twelve weeks before them."""
DRIFTED = 0.2
"""The population stability index from which on a column is called drifted (Siddiqi 2006)."""
_BINS = 10
_COLUMN_NAMES = {"_propensity": "score of what is shown", "_best": "best score"}
_MIN_ROWS = 100
_OFFERS = "_source = 'decision' AND _action <> 'none'"

_ACTIONS = f"""
SELECT _action AS action, count(*) AS offered, count(*) FILTER (_reached) AS reached, count(_label) AS closed,
  count(*) FILTER (_label) AS positive, count(*) FILTER (_succeeded) AS succeeded,
  count(*) FILTER (_succeeded AND NOT _reached) AS succeeded_untold,
  avg(_propensity) FILTER (_label IS NOT NULL) AS predicted,
  count(*) FILTER (_complained) AS complaints, count(*) FILTER (_opted_out) AS opt_outs
FROM log WHERE {_OFFERS} GROUP BY _action ORDER BY _action
"""  # noqa: S608
_UNTOLD = f"""
SELECT _action AS action, avg((NOT _reached)::INT) AS untold
FROM log WHERE {_OFFERS} AND _succeeded GROUP BY _action ORDER BY _action
"""  # noqa: S608
_ANNOYS = f"""
SELECT _action AS action, _treatment AS treatment, _channel AS channel, count(*) AS reached,
  count(*) FILTER (_complained) AS complaints, count(*) FILTER (_opted_out) AS opt_outs,
  count(*) FILTER (_complained OR _opted_out) AS annoyed
FROM log WHERE {_OFFERS} AND _reached GROUP BY ALL HAVING annoyed > 0
ORDER BY annoyed / reached DESC, annoyed DESC, action, treatment LIMIT 20
"""  # noqa: S608
_SEGMENTS = """
SELECT {segment}::VARCHAR AS part, count(*) AS decisions, avg(sell::INT) AS sell,
  avg((help AND NOT sell)::INT) AS service, avg((NOT sell AND NOT help)::INT) AS nothing
FROM (SELECT _decision, any_value({segment}) AS {segment}, bool_or(_issue IN ('grow', 'retain', 'nurture')) AS sell,
    bool_or(_issue IN ('service', 'hardship')) AS help
  FROM log WHERE _source = 'decision' AND _at_us >= {since_us} GROUP BY _decision)
WHERE {segment} IS NOT NULL GROUP BY part ORDER BY decisions DESC, part LIMIT 12
"""
_UNDER = """
SELECT count(*) AS customers, count(*) FILTER (best < {floor}) AS under FROM (
  SELECT _stream, max(_best) AS best FROM log
  WHERE _source = 'decision' AND _best IS NOT NULL AND _at_us >= {since_us} GROUP BY _stream)
"""
_EMPTY = """
SELECT coalesce(_empty_reason, 'shown') AS reason, count(*) AS slots FROM log
WHERE _source = 'decision' AND _at_us >= {since_us} GROUP BY reason ORDER BY slots DESC, reason
"""
_DRIFT_ROWS = """
SELECT * FROM log WHERE _source = 'decision' AND _rank = 1 AND _at_us >= {since_us} AND _at_us < {until_us}
ORDER BY _at_us DESC, _id LIMIT 20000
"""


def watch(log: DecisionLog, release: Release, now_us: int) -> dict[str, Any]:
    """Return every section of the report, as plain JSON types. None of them describes a single customer."""
    since_us = now_us - RECENT_DAYS * DAY_US
    compared = lift_told(log, release, now_us)

    def ask(sql: str, **names: object) -> Rows:
        rows: Rows = log.query(sql.format(since_us=since_us, **names), release).to_pylist()
        return rows

    return {
        "actions": [_action(row, release) for row in ask(_ACTIONS)],
        "arms": compared.rows,
        "arms_said": compared.said,
        "mismatched_arms": mismatched_arms(compared.rows),
        "drift": drift(log, release, now_us),
        "calibration": _calibration(log, release),
        "segments": _segments(ask, release),
        "under_served": _under_served(ask, release),
        "annoyed": [{**row, **_rate(row["annoyed"], row["reached"])} for row in ask(_ANNOYS)],
        "empty": ask(_EMPTY),
        "exploration": exploration_costs(log, release, since_us),
    }


def untold_looks(log: DecisionLog, release: Release, outcome: str | None = None) -> dict[str, float]:
    """Return per action the share of successes whose look was never told, of actions that ever succeeded.

    Models do not learn from them: the looks of those who did not succeed are missing as often.
    """
    rows = log.query(_UNTOLD, release, outcome).to_pylist()
    return {row["action"]: row["untold"] for row in rows}


def _action(row: dict[str, Any], release: Release) -> dict[str, Any]:
    """Add the issue, the rate and `mature`: at least a hundred offers have closed windows, twenty of them positive."""
    action = release.actions.get(row["action"])
    mature = row["closed"] >= _MIN_ROWS and row["positive"] >= _MIN_ROWS / 5
    issue = action.issue if action else None
    return {**row, "issue": issue, **_rate(row["positive"], row["closed"]), "mature": mature}


def _rate(hits: int, n: int) -> dict[str, Any]:
    low, high = wilson(hits, n) if n else (None, None)
    return {"rate": hits / n if n else None, "low": low, "high": high}


def drift(log: DecisionLog, release: Release, now_us: int) -> Rows:
    """Return how far each fact and the scores moved in the last four weeks, compared with the twelve before.

    Rows are sorted by the index, largest first. There are none if either period has fewer than a hundred decisions.
    """
    middle_us = now_us - RECENT_DAYS * DAY_US
    spans = ((middle_us - (BEFORE_DAYS - RECENT_DAYS) * DAY_US, middle_us), (middle_us, now_us + 1))
    before, after = (log.query(_DRIFT_ROWS.format(since_us=a, until_us=b), release) for a, b in spans)
    if min(before.num_rows, after.num_rows) < _MIN_ROWS:
        return []
    numbers = {f.name: f.dtype in ("float", "int") for f in _watched(release)} | {"_propensity": True, "_best": True}
    moved = {n: psi(before[n], after[n], numeric=numeric) for n, numeric in numbers.items()}
    order = sorted(moved, key=lambda name: (-moved[name], name))
    return [{"column": _COLUMN_NAMES.get(n, n), "psi": moved[n], "drifted": moved[n] >= DRIFTED} for n in order]


def _watched(release: Release) -> list[Feature]:
    features = (f for f in release.schema.features.values() if f.may_sell and "identifier" not in f.tags)
    return [f for f in features if f.dtype in ("float", "int", "bool", "enum")]


def psi(before: pa.ChunkedArray, after: pa.ChunkedArray, *, numeric: bool) -> float:
    """Return the population stability index of two columns.

    Numeric columns are compared over ten bins with equally many rows before, others over their values; unknown values
    are a bin of their own. Half a row is added to each bin, so that an empty bin does not make the index infinite.
    """
    edges = _bin_edges(before) if numeric else None
    counts = [_counts(column, edges) for column in (before, after)]
    bins = sorted(set().union(*counts))
    shares = [np.array([c.get(b, 0) + 0.5 for b in bins]) for c in counts]
    p, q = (s / s.sum() for s in shares)
    return float(np.sum((q - p) * np.log(q / p)))


def _bin_edges(column: pa.ChunkedArray) -> Floats:
    known = pc.drop_null(column.cast(pa.float64())).to_numpy()
    return np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(known) else np.zeros(0)


def _counts(column: pa.ChunkedArray, edges: Floats | None) -> Mapping[str, int]:
    """Return the rows per bin of a numeric column, or per value of another; `unknown` for missing values."""
    if edges is not None:
        known = pc.drop_null(column.cast(pa.float64())).to_numpy()
        bins, rows = np.unique(np.searchsorted(edges, known, side="right"), return_counts=True)
        counts = {f"{b:02d}": int(n) for b, n in zip(bins.tolist(), rows.tolist(), strict=True)}
        return {**counts, "unknown": column.null_count}
    values = pc.value_counts(pc.fill_null(column.cast(pa.string()), "unknown")).to_pylist()
    return {row["values"]: row["counts"] for row in values}


def _calibration(log: DecisionLog, release: Release) -> Rows:
    rows = log.query(
        f"SELECT _label, _propensity FROM log WHERE {_OFFERS} AND _label IS NOT NULL AND _propensity IS NOT NULL "  # noqa: S608
        "ORDER BY _at_us, _id",
        release,
    )
    if rows.num_rows < _MIN_ROWS:
        return []
    return [asdict(b) for b in calibration_table(bools(rows["_label"]), floats(rows["_propensity"]))]


def _segments(ask: Callable[..., Rows], release: Release) -> Rows:
    """Return a row per channel, and per value of each enumeration that a model may read."""
    names = ["_channel", *(f.name for f in release.schema.learnable if f.dtype == "enum")]
    return [
        {"segment": "channel" if name == "_channel" else name, **row}
        for name in names
        for row in ask(_SEGMENTS, segment=name)
    ]


def _under_served(ask: Callable[..., Rows], release: Release) -> dict[str, Any]:
    """Count customers for whom, in four weeks, no candidate was more likely than the catalogue's default prior."""
    floor = release.catalogue.settings.priors.default
    row = ask(_UNDER, floor=floor)[0]
    return {"below": floor, **row, **_rate(row["under"], row["customers"])}
