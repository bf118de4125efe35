"""What the first screen of the report rests on: the people of four weeks beside those of the four weeks before."""

from typing import Any, Final

from decisioning.catalogue.release import Release
from decisioning.deciding.arms import NBA
from decisioning.times import DAY_US
from features.decisions.log import DecisionLog
from training.evaluation.metrics import wilson

DAYS: Final = 28
_PEOPLE = """
WITH per_decision AS (
  SELECT any_value(_customer) AS unit, _decision, _at_us >= {since_us} AS recent,
    bool_or(_issue IN ('service', 'hardship') AND _reached) AS helped,
    bool_or(_issue IN ('service', 'hardship') AND _succeeded) AS took_help,
    bool_or(_issue IN ('grow', 'retain', 'nurture')) AS sold, bool_or(_issue <> 'none') AS offered,
    count(*) FILTER (_issue <> 'none' AND _reached) AS reached,
    count(*) FILTER (_complained) AS complaints, count(*) FILTER (_opted_out) AS objections
  FROM log JOIN units USING (_stream)
  WHERE _source = 'decision' AND _at_us > {since_us} - {span_us} AND _at_us <= {now_us} GROUP BY _decision, recent),
per_unit AS (
  SELECT recent, unit, count(*) AS decisions, bool_or(helped) AS helped, bool_or(took_help) AS took_help,
    bool_or(sold) AS sold, bool_or(offered) AS offered, sum(reached) AS reached, sum(complaints) AS complaints,
    sum(objections) AS objections
  FROM per_decision GROUP BY recent, unit)
SELECT recent, count(*) AS customers, sum(decisions)::BIGINT AS decisions, count(*) FILTER (helped) AS helped,
  count(*) FILTER (took_help) AS took_help, count(*) FILTER (NOT offered) AS left_in_peace,
  count(*) FILTER (sold) AS sold, sum(reached)::BIGINT AS reached, sum(complaints)::BIGINT AS complaints,
  sum(objections)::BIGINT AS objections, count(*) FILTER (complaints > 0 OR objections > 0) AS annoyed
FROM per_unit GROUP BY recent
"""
_COUNTS: Final = (
    *("customers", "decisions", "helped", "took_help", "left_in_peace", "sold", "reached"),
    *("complaints", "objections", "annoyed"),
)


def people(log: DecisionLog, release: Release, now_us: int) -> dict[str, Any]:
    """Return how many customers (or accounts) were helped, left in peace and annoyed, `now` and `before`.

    `annoyed_rate`: of all customers of the period, those of whose offers one was followed by a complaint or an
    objection, with its interval.
    """
    names = {"since_us": now_us - DAYS * DAY_US, "span_us": DAYS * DAY_US, "now_us": now_us}
    rows = {row["recent"]: row for row in log.query(_PEOPLE.format(**names), release).to_pylist()}
    return {"days": DAYS, "now": _period(rows.get(True)), "before": _period(rows.get(False))}


def _period(row: dict[str, Any] | None) -> dict[str, Any]:
    counts = {name: int(row[name] or 0) if row else 0 for name in _COUNTS}
    if not counts["customers"]:
        return {**counts, "annoyed_rate": None}
    low, high = wilson(counts["annoyed"], counts["customers"])
    rate = {"value": counts["annoyed"] / counts["customers"], "low": low, "high": high}
    return {**counts, "annoyed_rate": rate}


def compared_arm(arms: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the arm that stands for doing without the brain: the holdout, else the first; None without arms."""
    others = [row for row in arms if row["arm"] != NBA]
    return next((row for row in others if row["arm"] == "holdout"), others[0] if others else None)
