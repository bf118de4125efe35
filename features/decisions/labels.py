"""Labels of rows: whether the customer was reached and, once windows have closed, label, stage, weight and value.

An outcome belongs to the offer that it names, else to the last offer of its action that reached the customer. A
corrected outcome counts as corrected. While its window is open, a row has no label, no stage and no weight.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from decisioning.catalogue.actions import Action
from decisioning.catalogue.release import Release
from decisioning.times import DAY_US, days_us
from features.decisions.parsing import NOTHING, OPT_OUT

COMPLAINED = "complained"
"""The outcome that counts as a complaint, for every action."""
IGNORED = "ignored"
"""The stage of customers who were reached and did nothing until the window closed."""

LABELS = f"""
WITH net AS (
  SELECT stream, offer_id, action, name, at_us, value_eur, sum(sign) AS times
  FROM events WHERE kind = 'outcome' GROUP BY ALL HAVING times > 0),
marks AS (
  SELECT offer_id, name FROM events WHERE kind = 'contact' GROUP BY stream, offer_id, name, at_us HAVING sum(sign) > 0),
states AS (
  SELECT offer_id, max(list_position(
    ['reserved', 'expired', 'not_delivered', 'delivered', 'seen', 'pitched'], name)) AS state
  FROM marks GROUP BY offer_id),
base AS (
  SELECT r._stream, r._id, r._at_us, r._action, r._told, coalesce(s.state, 1) AS state,
    CASE WHEN r._source = 'observation' OR r._action = '{NOTHING}' THEN true
      WHEN s.state IN (2, 3) THEN false
      WHEN r._counts_on = 'delivered' THEN coalesce(s.state, 1) >= 4
      WHEN r._counts_on = 'seen' THEN coalesce(s.state, 1) >= 5
      ELSE true END AS reached,
    a.window_us, a.settled_us, r._at_us + a.window_us <= now.us AS closed, r._at_us + a.settled_us <= now.us AS settled
  FROM rows r CROSS JOIN now LEFT JOIN states s ON s.offer_id = r._id LEFT JOIN actions a ON a.action = r._action),
named AS (
  SELECT b.*, n.name, n.value_eur * n.times AS value_eur, n.at_us
  FROM base b JOIN net n ON n.offer_id = b._id AND n.stream = b._stream
  UNION ALL
  SELECT b.*, n.name, n.value_eur * n.times AS value_eur, n.at_us
  FROM (SELECT * FROM net WHERE offer_id IS NULL) n
  ASOF JOIN (SELECT * FROM base WHERE reached) b
    ON n.stream = b._stream AND n.action = b._action AND n.at_us >= b._at_us),
happened AS (
  SELECT _stream, _id, n.name, coalesce(n.value_eur, 0.0) AS value_eur, n.at_us, n.at_us - _at_us AS after_us,
    window_us, s.to_us, s.weight, s.ord, s.positive, coalesce(after_us BETWEEN s.from_us AND s.to_us, false) AS counts
  FROM named n LEFT JOIN stages s ON s.action = n._action AND s.name = n.name),
sums AS (
  SELECT _stream, _id,
    bool_or(positive AND after_us BETWEEN 0 AND window_us) AS label,
    sum(value_eur ORDER BY at_us, name, value_eur) FILTER (positive AND after_us BETWEEN 0 AND window_us) AS value_eur,
    bool_or(name = '{COMPLAINED}' AND after_us BETWEEN 0 AND greatest(window_us, to_us, {{patience_us}})) AS complained
  FROM happened GROUP BY ALL),
stage_weights AS (
  SELECT _stream, _id, sum(weight ORDER BY ord) AS weight, arg_max(name, ord) AS stage FROM (
    SELECT _stream, _id, name, weight, ord FROM happened WHERE counts
    UNION
    SELECT b._stream, b._id, s.name, s.weight, s.ord FROM base b JOIN stages s ON s.action = b._action
    WHERE s.state IS NOT NULL AND b.state >= s.state AND b.state >= 4)
  GROUP BY ALL),
opt_outs AS (
  SELECT b._stream, b._id, true AS opted_out
  FROM (SELECT stream, at_us FROM events WHERE name = '{OPT_OUT}') e
  ASOF JOIN (SELECT * FROM base WHERE reached AND _action <> '{NOTHING}') b
    ON e.stream = b._stream AND e.at_us >= b._at_us
  WHERE e.at_us - b._at_us <= {{patience_us}} GROUP BY ALL)
SELECT b._stream, b._id, b.reached AS _reached,
  CASE WHEN b.reached AND b.closed AND CASE WHEN b._told IS NULL THEN p.declared ELSE list_has_any(b._told, p.names) END
    THEN coalesce(c.label, false) END AS _label,
  CASE WHEN b.reached AND b.settled THEN coalesce(w.weight, 0.0) END AS _weight,
  CASE WHEN b.reached AND b.closed THEN coalesce(w.stage, '{IGNORED}') END AS _stage,
  CASE WHEN b.reached AND b.closed THEN coalesce(c.value_eur, 0.0) END AS _value_eur,
  coalesce(c.complained, false) AS _complained, coalesce(l.opted_out, false) AS _opted_out,
  coalesce(b.closed, false) AS _closed
FROM base b LEFT JOIN sums c USING (_stream, _id) LEFT JOIN stage_weights w USING (_stream, _id)
LEFT JOIN opt_outs l USING (_stream, _id) LEFT JOIN positives p ON p.action = b._action
"""
"""A query over `rows`, `events`, `actions`, `stages`, `positives` and `now`, which returns every row of `rows` once."""

PATIENCE_US = 30 * DAY_US
"""How long after an offer a complaint or an opt-out still counts as caused by it."""
_STATES = {"delivered": 4, "seen": 5, "pitched": 6}
_STAGE = {
    "action": pa.string(),
    "name": pa.string(),
    "weight": pa.float64(),
    "from_us": pa.int64(),
    "to_us": pa.int64(),
    "ord": pa.int64(),
    "positive": pa.bool_(),
    "state": pa.int64(),
}


def label_columns() -> list[str]:
    """Return the columns that `LABELS` adds to a row."""
    return ["_reached", "_label", "_weight", "_stage", "_value_eur", "_complained", "_opted_out", "_closed"]


def longest_window_us(release: Release) -> int:
    """Return after how long only corrections can still change a row."""
    return max([PATIENCE_US, *(a.outcomes.settled_us for a in release.actions.values())])


def outcome_tables(release: Release, outcome: str | None = None) -> dict[str, pa.Table]:
    """Return the release's rules for outcomes as the tables that `LABELS` joins.

    A superseded action has the rules of the action that superseded it. After doing nothing, the positive outcomes of
    every action count, for as long as the longest window.

    :param outcome: the only outcome that counts as positive, instead of those of each action
    """
    all_actions = tuple(release.with_superseded.values())
    window = max((a.outcomes.window_us for a in all_actions), default=0)
    positive = {a.id: (outcome,) if outcome else a.outcomes.positive for a in all_actions}
    positive[NOTHING] = tuple(sorted({name for names in positive.values() for name in names}))
    actions = [(a.id, a.outcomes.window_us, a.outcomes.settled_us) for a in all_actions] + [(NOTHING, window, window)]
    stages = [row for a in all_actions for row in (_stages(a) if outcome is None else (_single_stage(outcome, a),))]
    stages += [(NOTHING, name, 1.0, 0, window, n, True, None) for n, name in enumerate(positive[NOTHING])]
    declared = {a.id: outcome is None or outcome in a.outcomes.all for a in all_actions}
    positives = [(action, list(names), declared.get(action, True)) for action, names in positive.items()]
    return {
        "actions": _table(actions, {"action": pa.string(), "window_us": pa.int64(), "settled_us": pa.int64()}),
        "stages": _table(stages, _STAGE),
        "positives": _table(positives, {"action": pa.string(), "names": pa.list_(pa.string()), "declared": pa.bool_()}),
    }


def _stages(action: Action) -> Iterator[tuple[object, ...]]:
    for n, s in enumerate(action.outcomes.weighted_stages):
        from_us, to_us = days_us(s.after_days), days_us(s.within_days)
        yield action.id, s.id, s.weight, from_us, to_us, n, s.id in action.outcomes.positive, _STATES.get(s.id)


def _single_stage(outcome: str, action: Action) -> tuple[object, ...]:
    """Return the stage of an outcome that counts for as long as the action's window."""
    return action.id, outcome, 1.0, 0, action.outcomes.window_us, 0, True, None


def _table(rows: Sequence[tuple[object, ...]], types: dict[str, pa.DataType]) -> pa.Table:
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(types)
    return pa.table({n: pa.array(list(c), t) for (n, t), c in zip(types.items(), cells, strict=True)})
