"""Summaries of the log of decisions: results per action, lift, drift, customers served badly, and complaints."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from decisioning.catalogue.release import Release
from decisioning.facts.schema import Feature
from decisioning.times import DAY_US
from features.decisions.log import DecisionLog
from training.evaluation.lift import lift_told, mismatched_arms, value_over_time
from training.evaluation.localized import LocalText, fields, localized
from training.evaluation.metrics import calibration_table, wilson
from training.model.frame import units_with
from training.reporting.customers.effort import effort
from training.reporting.customers.first_screen import compared_arm, people
from training.reporting.customers.rises import rises
from training.reporting.exploration_cost import exploration_costs
from training.reporting.stability import stability
from training.rows.columns import bools, floats, unit_codes

Rows = list[dict[str, Any]]
RECENT_DAYS, BEFORE_DAYS = 28, 112
"""The last four weeks are compared with the twelve weeks before them."""
MOST_COMPARED = 20_000
"""Customers of each period whose facts are compared; of more, a sample is drawn that does not depend on the time."""
_COLUMN_NAMES = {"_propensity": "score of what is shown", "_best": "best score"}
FEWEST = 100
"""Customers below whom nothing is said of calibration and of what moved."""
FEWEST_POSITIVE = 20
"""Customers with a positive outcome below whom nothing is said of a rate."""
_OFFERS = "_source = 'decision' AND _action <> 'none'"

_ALIKE = (
    "sum({hits} ** 2)::DOUBLE AS hits_2, sum({hits} * {rows})::DOUBLE AS hits_rows, sum({rows} ** 2)::DOUBLE AS rows_2"
)
"""What `_rate` needs of the counts per customer."""
_RESULTS = f"""
WITH per_unit AS (
  SELECT {{key}} AS {{name}}, _customer, count(*) AS offered, count(*) FILTER (_reached) AS reached,
    count(_label) AS closed,
    count(*) FILTER (_label) AS positive, count(*) FILTER (_succeeded) AS succeeded,
    count(*) FILTER (_succeeded AND _stage IS NULL) AS succeeded_untold,
    sum(_propensity) FILTER (_label IS NOT NULL) AS predicted, count(_propensity) FILTER (_label IS NOT NULL) AS scored,
    count(*) FILTER (_complained) AS complaints, count(*) FILTER (_opted_out) AS opt_outs,
    coalesce(sum(_earned_eur ORDER BY _id), 0.0) AS earned
  FROM log JOIN units USING (_stream) WHERE {_OFFERS} GROUP BY ALL)
SELECT {{name}}, sum(offered)::BIGINT AS offered, sum(reached)::BIGINT AS reached, sum(closed)::BIGINT AS closed,
  sum(positive)::BIGINT AS positive, sum(succeeded)::BIGINT AS succeeded,
  sum(succeeded_untold)::BIGINT AS succeeded_untold, sum(predicted ORDER BY _customer) / sum(scored) AS predicted,
  sum(complaints)::BIGINT AS complaints, sum(opt_outs)::BIGINT AS opt_outs,
  sum(earned ORDER BY _customer) AS earned_eur,
  count(*) FILTER (closed > 0) AS customers, count(*) FILTER (positive > 0) AS positive_customers,
  {_ALIKE.format(hits="positive", rows="closed")}
FROM per_unit GROUP BY {{name}} ORDER BY {{name}}
"""  # noqa: S608
_UNTOLD = f"""
SELECT _action AS action, avg((_stage IS NULL)::INT) AS untold
FROM log WHERE {_OFFERS} AND _succeeded GROUP BY _action ORDER BY _action
"""  # noqa: S608
_ANNOYS = f"""
WITH per_unit AS (
  SELECT _action AS action, _treatment AS treatment, _channel AS channel, _customer, count(*) AS n,
    count(*) FILTER (_complained) AS complained, count(*) FILTER (_opted_out) AS opted_out,
    count(*) FILTER (_complained OR _opted_out) AS either
  FROM log JOIN units USING (_stream) WHERE {_OFFERS} AND _reached GROUP BY ALL)
SELECT action, treatment, channel, sum(n)::BIGINT AS reached, count(*) AS customers,
  sum(complained)::BIGINT AS complaints, sum(opted_out)::BIGINT AS opt_outs, sum(either)::BIGINT AS annoyed,
  {_ALIKE.format(hits="either", rows="n")}
FROM per_unit GROUP BY action, treatment, channel HAVING annoyed > 0
ORDER BY annoyed / reached DESC, annoyed DESC, action, treatment, channel LIMIT 20
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
WITH drawn AS (
  SELECT arg_min(_id, (md5(_id), _id)) AS _id FROM log JOIN units USING (_stream)
  WHERE _source = 'decision' AND _rank = 1 AND _at_us >= {since_us} AND _at_us < {until_us}
  GROUP BY _customer ORDER BY _customer LIMIT {most})
SELECT log.* FROM log JOIN drawn USING (_id) WHERE _source = 'decision' ORDER BY _id
"""


def watch(log: DecisionLog, release: Release, now_us: int) -> dict[str, Any]:
    """Return every section of the report, as plain JSON types. None of them describes a single customer."""
    with log.reading():
        return _sections(log, release, now_us)


def _sections(log: DecisionLog, release: Release, now_us: int) -> dict[str, Any]:
    since_us = now_us - RECENT_DAYS * DAY_US
    compared = lift_told(log, release, now_us)

    def ask(sql: str, **names: object) -> Rows:
        rows: Rows = log.query(sql.format(since_us=since_us, **names), release).to_pylist()
        return rows

    actions = [_action(row, release) for row in ask(_RESULTS, key="_action", name="action")]
    moved, (kept, kept_said) = drift(log, release, now_us), _calibration(log, release)
    return {
        "people": {**people(log, release, now_us), "control": compared_arm(compared.rows)},
        "actions": actions,
        **fields("actions_said", _said_of_actions(actions)),
        "goals": [_result(row) for row in ask(_RESULTS, key="_issue", name="issue")],
        "channels": [_result(row) for row in ask(_RESULTS, key="_channel", name="channel")],
        "over_time": value_over_time(log, release, now_us),
        "effort": effort(log, release, now_us),
        **rises(log, release, now_us),
        "arms": compared.rows,
        **(fields("arms_said", compared.basis) if compared.basis else {"arms_said": None}),
        "mismatched_arms": mismatched_arms(compared.rows),
        "drift": moved,
        **fields("drift_said", _said_of_drift(moved)),
        "calibration": kept,
        **fields("calibration_said", kept_said),
        "segments": _segments(ask, release),
        "under_served": _under_served(ask, release),
        "annoyed": [_with_rate(row, "annoyed", "reached") for row in ask(_ANNOYS)],
        **fields("annoyed_said", localized("annoyed-rest-on")),
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
    """Add the action's issue."""
    action = release.actions.get(row["action"])
    return {**_result(row), "issue": action.issue if action else None}


def _result(row: dict[str, Any]) -> dict[str, Any]:
    """Add the rate and `mature`: windows of at least a hundred customers' offers have closed, and twenty of them have a
    positive one.
    """
    mature = row["customers"] >= FEWEST and row["positive_customers"] >= FEWEST_POSITIVE
    return {**_with_rate(row, "positive", "closed"), "mature": mature}


def _with_rate(row: dict[str, Any], hits: str, rows: str) -> dict[str, Any]:
    """Return a row with the rate of its columns `hits` and `rows`, and without the sums of `_ALIKE`.

    The interval is Wilson's of as many rows as would be worth as much if they were independent, as in `rate_interval`.
    """
    counts = {name: value for name, value in row.items() if name not in ("hits_2", "hits_rows", "rows_2")}
    n = row[rows]
    if not n:
        return {**counts, "rate": None, "low": None, "high": None}
    share = row[hits] / n
    worth = float(row["customers"])
    if 0.0 < share < 1.0:
        over_customers = row["hits_2"] - 2.0 * share * row["hits_rows"] + share**2 * row["rows_2"]
        worth = n / max(1.0, over_customers / (n * share * (1.0 - share)))
    low, high = wilson(share * worth, worth)
    return {**counts, "rate": share, "low": low, "high": high}


def drift(log: DecisionLog, release: Release, now_us: int) -> Rows:
    """Return how far each fact and the scores moved in the last four weeks, compared with the twelve before.

    Rows are sorted by the index, largest first. There are none if either period has fewer
    than a hundred customers.
    """
    middle_us = now_us - RECENT_DAYS * DAY_US
    spans = ((middle_us - (BEFORE_DAYS - RECENT_DAYS) * DAY_US, middle_us), (middle_us, now_us + 1))
    before, after = (one_decision_each(log, release, since_us, until_us) for since_us, until_us in spans)
    if min(before.num_rows, after.num_rows) < FEWEST:
        return []
    numbers = {f.name: f.dtype in ("float", "int") for f in _watched(release)} | {"_propensity": True, "_best": True}
    moved = {n: stability(before[n], after[n], numeric=numeric, columns=len(numbers)) for n, numeric in numbers.items()}
    order = sorted(moved, key=lambda name: (-moved[name].psi, name))
    compared = {"customers_before": before.num_rows, "customers_after": after.num_rows}
    return [
        {"column": _COLUMN_NAMES.get(n, n), **asdict(moved[n]), "drifted": moved[n].drifted, **compared} for n in order
    ]


def one_decision_each(log: DecisionLog, release: Release, since_us: int, until_us: int) -> pa.Table:
    """Return one decision of each customer (or account) of a period, drawn at random from its whole length.

    What is known of a customer is the same in most of their decisions, so that more of them tell no more. Of more than
    `MOST_COMPARED` customers as many are drawn, by the hashes that name their streams.
    """
    return log.query(_DRIFT_ROWS.format(since_us=since_us, until_us=until_us, most=MOST_COMPARED), release)


def _said_of_actions(actions: Rows) -> LocalText:
    closed, offered = (sum(a[name] for a in actions) for name in ("closed", "offered"))
    return localized("actions-rest-on", closed=closed, offered=offered)


def _said_of_drift(moved: Rows) -> LocalText:
    if not moved:
        return localized("drift-few", few=FEWEST)
    after, before = (moved[0][name] for name in ("customers_after", "customers_before"))
    return localized("drift-rests-on", after=after, before=before, most=MOST_COMPARED)


def _watched(release: Release) -> list[Feature]:
    features = (f for f in release.schema.features.values() if f.may_sell and "identifier" not in f.tags)
    return [f for f in features if f.dtype in ("float", "int", "bool", "enum")]


def _calibration(log: DecisionLog, release: Release) -> tuple[Rows, LocalText]:
    """Return predicted and observed rates by bins, and in one sentence whose they are and what is left out."""
    rows = log.query(
        f"SELECT _label, _propensity, _customer FROM log JOIN units USING (_stream) WHERE {_OFFERS} "  # noqa: S608
        "AND _label IS NOT NULL AND _propensity IS NOT NULL ORDER BY _at_us, _id",
        release,
    )
    unit = unit_codes(rows["_customer"])
    if (customers := units_with(np.ones(len(unit), dtype=np.bool_), unit)) < FEWEST:
        return [], localized("calibration-few", customers=customers, needed=FEWEST)
    table = calibration_table(bools(rows["_label"]), floats(rows["_propensity"]), unit=unit)
    return [asdict(b) for b in table], localized("calibration-rests-on", offers=len(unit), customers=customers)


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
    once = {"hits_2": row["under"], "hits_rows": row["under"], "rows_2": row["customers"]}
    return {"below": floor, **_with_rate({**row, **once}, "under", "customers")}
