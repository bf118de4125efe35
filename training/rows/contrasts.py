"""Contrasts from the log of decisions: for every choice, the outcomes of every action, offered or not.

A row is the first slot of a placement in which something commercial was shown, or nothing. It is evidence about the
action that was shown there, and about every other action that could have been shown and was shown nowhere in that
decision. What was drawn there is weighed by the probability that it came out so (`training.rows.chances`): shown with
p, it counts 1 / p, withheld 1 / (1 - p), whatever was shown instead. Where chance did not decide, a row is no evidence.
An outcome counts whatever it is credited to and whether or not it names an offer: outcomes without an offer
and outcomes of a later offer are both consequences of not showing the action now. So every pick counts, delivered or
not. An action has no uplift as long as none of its outcomes was reported without an offer, because until then it is
unknown what happens by itself. A campaign with a control group compares each
action with that group alone. A holdout is left out: it is offered nothing later either, so it is evidence about never
offering, whose effect `training.evaluation.lift` computes.
"""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.release import Release
from features.decisions.log import DecisionLog
from features.decisions.parsing import NOTHING
from features.decisions.worth import catalogue_eur, sales
from training.fitting.uplift import Contrasts
from training.model.frame import Bools, Floats, TrainingSet
from training.rows.chances import ODDS, chances
from training.rows.columns import unit_codes
from training.rows.logged import NO_CHOICE, ReleaseOf, permitted, to_training_set, with_nothing

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

_CHOSEN = """
WITH positives AS (SELECT * FROM (VALUES {positives}) p(action, name, window_us, eur)),
chosen AS (
  SELECT * FROM log JOIN units USING (_stream)
  WHERE _rank = 1 AND _arm <> 'holdout' AND _at_us + {longest_us} <= {now_us}
    AND (_empty_reason IS NULL OR _empty_reason NOT IN {no_choice}) AND (_source = 'decision' OR _label IS NOT NULL)),
net AS (
  SELECT stream, offer_id, action, name, at_us, value_eur, sum(sign)::BIGINT AS times
  FROM events WHERE kind = 'outcome' GROUP BY ALL HAVING times > 0),
followed AS (
  SELECT c._stream, c._id, p.action, n.name, n.at_us, n.value_eur, n.offer_id, n.times, p.eur AS catalogue_eur
  FROM chosen c JOIN net n ON n.stream = c._stream JOIN positives p ON p.name = n.name
    AND CASE WHEN c._source = 'decision' THEN n.action = p.action ELSE n.offer_id = c._id END
  WHERE n.at_us BETWEEN c._at_us AND c._at_us + p.window_us),
outcomes AS (
  SELECT _stream, _id, list_sort(list(DISTINCT action)) AS _outcomes, sum(eur ORDER BY action, eur) AS _came_to_eur
  FROM ({sales}) GROUP BY ALL),
shown AS (SELECT _decision, list(DISTINCT _action) AS _shown FROM log WHERE _source = 'decision' GROUP BY ALL),
unoffered AS (SELECT list(DISTINCT n.action) AS actions FROM net n JOIN positives p USING (action, name)
  WHERE n.offer_id IS NULL)
SELECT c.* EXCLUDE (_label, _value_eur, _odds), len(c._odds) AS _has_odds,
  CASE WHEN c._source = 'decision' THEN m._outcomes IS NOT NULL ELSE c._label END AS _label,
  CASE WHEN c._source = 'decision' THEN coalesce(m._came_to_eur, 0.0) ELSE c._value_eur END AS _value_eur,
  coalesce(m._outcomes, []) AS _outcomes, coalesce(s._shown, []) AS _shown,
  CASE WHEN c._source = 'decision' THEN coalesce((FROM unoffered), [])
    ELSE (SELECT list(DISTINCT p.action) FROM positives p WHERE c._told IS NULL OR list_contains(c._told, p.name)) END
    AS _measured
FROM chosen c LEFT JOIN outcomes m USING (_stream, _id)
LEFT JOIN shown s ON s._decision = c._decision
ORDER BY c._at_us, c._stream, c._id
"""


def contrasts(
    log: DecisionLog,
    release: Release,
    history: "History",
    release_of: ReleaseOf,
    now_us: int,
    *,
    outcome: str | None = None,
) -> Contrasts:
    """Return every choice whose windows have all closed, sorted by time; `none` is always among the actions.

    :param outcome: the outcome to count, instead of the positive outcomes of each action
    """
    commercial = pa.array([NOTHING, *(a.id for a in release.actions.values() if a.commercial)], pa.string())
    table = log.query(_query(release, now_us, outcome), release)
    table = table.filter(pc.is_in(table["_action"], value_set=commercial))
    rows = with_nothing(to_training_set(table, release, history, release_of))
    allowed = permitted(table, rows.actions, release_of)
    outcomes = _membership(table["_outcomes"], rows.actions)
    slots = log.query(ODDS.format(longest_us=_longest_us(release), now_us=now_us), release)
    chance = _chance(table, rows, slots, release_of)
    usable, unit = _usable(table, rows, allowed, chance), unit_codes(table["_customer"])
    untold = (rows.probability < 1.0) & ~_imported(table) & np.asarray(pc.is_null(table["_has_odds"]), dtype=np.bool_)
    return Contrasts(rows, allowed, usable, outcomes, unit, chance, untold)


def _chance(table: pa.Table, rows: TrainingSet, slots: pa.Table, release_of: ReleaseOf) -> Floats:
    """Return with what probability each row is evidence about each action, (n, k), NaN where it is none.

    Of imported rows it is what was told, or 0 if nothing was, which is no probability of what happened.
    """
    stated = np.where(rows.probability < 1.0, rows.probability, np.where(rows.probability >= 1.0, np.nan, 0.0))[:, None]
    return np.where(_imported(table)[:, None], stated, chances(slots, table, rows.actions, release_of))


def _imported(table: pa.Table) -> Bools:
    return np.asarray(pc.equal(table["_source"], "observation"), dtype=np.bool_)


def _usable(table: pa.Table, rows: TrainingSet, allowed: Bools, chance: Floats) -> Bools:
    """Return which rows are evidence about which actions, (n, k).

    Among imported rows only those of the control group are evidence about actions that were withheld: the outcomes of
    the others are those of the action that was taken.
    """
    is_chosen, idle = rows.action[:, None] == np.arange(len(rows.actions)), rows.action == rows.actions.index(NOTHING)
    shown = _membership(table["_shown"], rows.actions)
    withheld = allowed & ~shown & ~(_imported(table) & ~idle)[:, None]
    usable = (is_chosen | withheld) & ~np.isnan(chance) & _membership(table["_measured"], rows.actions)
    usable[:, rows.actions.index(NOTHING)] = False
    return np.asarray(usable, dtype=np.bool_)


def _query(release: Release, now_us: int, outcome: str | None) -> str:
    """Return the SQL of the choices, with the outcomes that count per action."""
    positives = [
        f"('{a.id}', '{name}', {a.outcomes.window_us}, {catalogue_eur(a, release, outcome)})"
        for a in release.actions.values()
        for name in ((outcome,) if outcome else a.outcomes.positive)
        if name in a.outcomes.all
    ]
    return _CHOSEN.format(
        positives=", ".join(positives) or "('', '', 0, 0.0)",
        longest_us=_longest_us(release),
        now_us=now_us,
        no_choice=NO_CHOICE,
        sales=sales("followed", "_stream, _id, action"),
    )


def _longest_us(release: Release) -> int:
    return max((a.outcomes.window_us for a in release.actions.values()), default=0)


def _membership(column: pa.ChunkedArray, actions: tuple[str, ...]) -> Bools:
    """Return whether each row's list holds each action, (n, k)."""
    member = np.zeros((len(column), len(actions)), dtype=np.bool_)
    lists = column.combine_chunks()
    at = pc.index_in(pc.list_flatten(lists), pa.array(actions, pa.string()))
    matched = np.asarray(pc.is_valid(at))
    member[np.asarray(pc.list_parent_indices(lists))[matched], np.asarray(at.drop_null())] = True
    return member
