"""Labels of rows: whether the customer was reached and, once windows have closed, label, stage, weight and value.

An outcome belongs to the offer that it names, else to the last offer of its action that reached the customer. A
corrected outcome counts as corrected. While its window is open, a row has no label, no stage and no weight.

An outcome implies that its offer was seen. That look was not told, and does not say that the customer was reached:
where looks are told of some, those who succeeded would all be among the reached. `_label` is of those who were reached,
for models to learn from. `_succeeded` and `_earned_eur` say what came of every offer, reached or not.

Where a person speaks with the customer, that person chooses what to pitch, to those who seem willing. So on channels
with people models learn from all that was suggested, whatever was told of the contact; an outcome without an offer is
then that of the last suggestion if it belongs to no offer that reached the customer. What a person offered in place of
a suggestion takes the outcomes that follow it: they are those of no offer that was drawn.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from decisioning.catalogue.actions import Action
from decisioning.catalogue.release import Release
from decisioning.times import DAY_US, days_us
from features.decisions.parsing import INSTEAD, NOTHING, OPT_OUT
from features.decisions.worth import catalogue_eur, sales

COMPLAINED = "complained"
"""The outcome that counts as a complaint, for every action."""
IGNORED = "ignored"
"""The stage of customers who were reached and did nothing until the window closed."""

_NET = """
SELECT stream, offer_id, action, name, at_us, value_eur, sum(sign)::BIGINT AS times
FROM events WHERE kind = 'outcome' GROUP BY ALL HAVING times > 0
"""
_CREDITED = """
SELECT b.*, n.name, n.value_eur, n.times, n.offer_id, n.at_us
FROM base b JOIN net n ON n.offer_id = b._id AND n.stream = b._stream
UNION ALL
SELECT b.*, n.name, n.value_eur, n.times, n.offer_id, n.at_us
FROM unnamed n ASOF JOIN made b ON n.stream = b._stream AND n.action = b._action AND n.at_us >= b._at_us
WHERE b._id IS NOT NULL
UNION ALL
SELECT b.*, n.name, n.value_eur, n.times, n.offer_id, n.at_us
FROM (SELECT n.* FROM unnamed n ASOF LEFT JOIN made m
    ON n.stream = m._stream AND n.action = m._action AND n.at_us >= m._at_us
    WHERE n.at_us - m._at_us > m.window_us IS DISTINCT FROM false) n
ASOF JOIN (SELECT * FROM base WHERE suggested AND NOT reached) b
  ON n.stream = b._stream AND n.action = b._action AND n.at_us >= b._at_us
WHERE n.at_us - b._at_us <= b.window_us AND EXISTS (
  SELECT 1 FROM stages s WHERE s.action = b._action AND s.name = n.name AND s.positive)
"""
"""Outcomes by the row that they belong to: named, else the last that reached the customer, else the last suggested."""
_SHARED = """
SELECT b.*, n.name, n.value_eur, n.times, n.offer_id, n.at_us
FROM base b JOIN net n ON n.stream = b._stream AND n.at_us BETWEEN b._at_us AND b._at_us + b.window_us
"""
_MARKS = """
SELECT offer_id, name FROM (
  SELECT *, coalesce(implied, name = 'seen' AND (lead(kind, 1, '') OVER later, lead(offer_id, 1, '') OVER later,
    lead(at_us, 1, 0) OVER later, lead(sign, 1, 0) OVER later) = ('outcome', offer_id, at_us, sign)
    AND lead(name, 1, '') OVER later NOT IN ('delivered', 'seen', 'pitched')) AS implicit
  FROM events WINDOW later AS (PARTITION BY stream ORDER BY seq, part))
WHERE kind = 'contact' AND NOT implicit GROUP BY stream, offer_id, name, at_us HAVING sum(sign) > 0
"""
"""Contact states that were told. Before November 2026 an implied look was not marked: it is the one that was recorded
right before its outcome."""
_LABELS = f"""
WITH net AS ({_NET}),
marks AS ({_MARKS}),
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
    r._source = 'decision' AND r._action <> '{NOTHING}' AND h.channel IS NOT NULL AS suggested,
    reached OR suggested AS learned,
    a.window_us, a.settled_us, a.catalogue_eur,
    r._at_us + a.window_us <= now.us AS closed, r._at_us + a.settled_us <= now.us AS settled
  FROM rows r CROSS JOIN now LEFT JOIN states s ON s.offer_id = r._id LEFT JOIN actions a ON a.action = r._action
    LEFT JOIN with_people h ON h.channel = r._channel),
unnamed AS (SELECT * FROM net WHERE offer_id IS NULL),
made AS (
  SELECT * FROM base WHERE reached
  UNION ALL BY NAME
  SELECT e.stream AS _stream, e.action AS _action, e.at_us AS _at_us, a.window_us
  FROM events e JOIN actions a USING (action) WHERE e.kind = '{INSTEAD}' GROUP BY ALL HAVING sum(e.sign) > 0),
named AS ({{named}}),
happened AS (
  SELECT n.*, n.at_us - _at_us AS after_us, s.to_us, s.weight, s.ord,
    coalesce(s.positive AND after_us BETWEEN 0 AND window_us, false) AS success,
    coalesce(after_us BETWEEN s.from_us AND s.to_us, false) AS counts
  FROM named n LEFT JOIN stages s ON s.action = n._action AND s.name = n.name),
sold AS ({sales("(FROM happened WHERE success)", "_stream, _id")}),
earned AS (SELECT _stream, _id, sum(eur ORDER BY eur) AS eur FROM sold GROUP BY ALL),
complained AS (
  SELECT _stream, _id FROM happened
  WHERE name = '{COMPLAINED}' AND after_us BETWEEN 0 AND greatest(window_us, to_us, {{patience_us}}) GROUP BY ALL),
stage_weights AS (
  SELECT _stream, _id, sum(weight ORDER BY ord) AS weight, arg_max(name, ord) AS stage FROM (
    SELECT _stream, _id, name, weight, ord FROM happened WHERE counts
    UNION
    SELECT b._stream, b._id, s.name, s.weight, s.ord FROM base b JOIN stages s ON s.action = b._action
    WHERE s.state IS NOT NULL AND b.state >= s.state AND b.state >= 4)
  GROUP BY ALL),
opt_outs AS (
  SELECT b._stream, b._id, true AS opted_out
  FROM (SELECT stream, at_us FROM events WHERE kind = 'consent' AND name = '{OPT_OUT}') e
  ASOF JOIN (SELECT * FROM base WHERE reached AND _action <> '{NOTHING}') b
    ON e.stream = b._stream AND e.at_us >= b._at_us
  WHERE e.at_us - b._at_us <= {{patience_us}} GROUP BY ALL)
SELECT b._stream, b._id, b.reached AS _reached,
  CASE WHEN b.learned AND b.closed AND CASE WHEN b._told IS NULL THEN p.declared ELSE list_has_any(b._told, p.names) END
    THEN e.eur IS NOT NULL END AS _label,
  CASE WHEN b.learned AND b.settled THEN coalesce(w.weight, 0.0) END AS _weight,
  CASE WHEN b.learned AND b.closed THEN coalesce(w.stage, '{IGNORED}') END AS _stage,
  CASE WHEN b.learned AND b.closed THEN coalesce(e.eur, 0.0) END AS _value_eur,
  c._id IS NOT NULL AS _complained, coalesce(l.opted_out, false) AS _opted_out,
  coalesce(b.closed, false) AS _closed,
  CASE WHEN b.closed THEN e.eur IS NOT NULL END AS _succeeded,
  CASE WHEN b.closed THEN coalesce(e.eur, 0.0) END AS _earned_eur
FROM base b LEFT JOIN earned e USING (_stream, _id) LEFT JOIN complained c USING (_stream, _id)
LEFT JOIN stage_weights w USING (_stream, _id)
LEFT JOIN opt_outs l USING (_stream, _id) LEFT JOIN positives p ON p.action = b._action
"""

PATIENCE_US = 30 * DAY_US
"""How long after an offer a complaint or an opt-out still counts as caused by it."""
_STATES = {"delivered": 4, "seen": 5, "pitched": 6}
_ACTION = {
    "action": pa.string(),
    "window_us": pa.int64(),
    "settled_us": pa.int64(),
    "catalogue_eur": pa.float64(),
}
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


_COLUMNS = {
    "_reached": pa.bool_(),
    "_label": pa.bool_(),
    "_weight": pa.float64(),
    "_stage": pa.string(),
    "_value_eur": pa.float64(),
    "_complained": pa.bool_(),
    "_opted_out": pa.bool_(),
    "_closed": pa.bool_(),
    "_succeeded": pa.bool_(),
    "_earned_eur": pa.float64(),
}


def label_columns() -> dict[str, pa.DataType]:
    """Return the columns that `labels_sql` adds to a row, with their types."""
    return dict(_COLUMNS)


def labels_sql(*, shared: bool = False) -> str:
    """Return a query over `rows`, `events`, the tables of `outcome_tables` and `now`: every row of `rows`, once.

    :param shared: an outcome counts for every row whose window holds it, whatever action or offer it is about: for an
        event of the customer, such as leaving, which no offer brings about
    """
    return _LABELS.format(patience_us=PATIENCE_US, named=_SHARED if shared else _CREDITED)


def longest_window_us(release: Release) -> int:
    """Return after how long only corrections can still change a row."""
    return max([PATIENCE_US, *(a.outcomes.settled_us for a in release.actions.values())])


def outcome_tables(release: Release, outcome: str | None = None) -> dict[str, pa.Table]:
    """Return the release's rules for outcomes as the tables that `labels_sql` joins, with its channels with people.

    A superseded action has the rules of the action that superseded it. After doing nothing, the positive outcomes of
    every action count, for as long as the longest window.

    :param outcome: the only outcome that counts as positive, instead of those of each action
    """
    all_actions = tuple(release.with_superseded.values())
    window = max((a.outcomes.window_us for a in all_actions), default=0)
    positive = {a.id: (outcome,) if outcome else a.outcomes.positive for a in all_actions}
    every = {name for names in positive.values() for name in names}
    positive[NOTHING] = (outcome,) if outcome else tuple(sorted(every))
    actions: list[tuple[object, ...]] = [
        (a.id, a.outcomes.window_us, a.outcomes.settled_us, catalogue_eur(a, release, outcome)) for a in all_actions
    ]
    actions.append((NOTHING, window, window, 0.0))
    stages = [row for a in all_actions for row in (_stages(a) if outcome is None else (_single_stage(outcome, a),))]
    stages += [(NOTHING, name, 1.0, 0, window, n, True, None) for n, name in enumerate(positive[NOTHING])]
    declared = {a.id: outcome is None or outcome in a.outcomes.all for a in all_actions}
    positives = [(action, list(names), declared.get(action, True)) for action, names in positive.items()]
    return {
        "actions": _table(actions, _ACTION),
        "stages": _table(stages, _STAGE),
        "positives": _table(positives, {"action": pa.string(), "names": pa.list_(pa.string()), "declared": pa.bool_()}),
        "with_people": _table([(c.id,) for c in release.channels.values() if c.human], {"channel": pa.string()}),
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
