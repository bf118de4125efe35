"""How groups of customers fare under a model: whether they are offered as much, and accept as often, as others."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from decisioning.catalogue.release import Release
from decisioning.times import DAY_US
from features.decisions.log import DecisionLog
from training.learning.evidence import Guard, group_guards

FAIR_DAYS = 90
"""The days before now whose decisions are compared."""

_GROUPS = """
SELECT "{feature}"::VARCHAR AS part, count(*) AS decisions, count(*) FILTER (shown) AS shown,
  count(*) FILTER (label IS NOT NULL) AS labelled, count(*) FILTER (label) AS succeeded
FROM (SELECT _decision, any_value("{feature}") AS "{feature}", bool_or(_issue = '{issue}') AS shown,
    bool_or(_label) FILTER (_issue = '{issue}') AS label
  FROM log WHERE _source = 'decision' AND _arm = 'nba' AND _at_us >= {since_us} {condition} GROUP BY _decision)
WHERE "{feature}" IS NOT NULL GROUP BY part ORDER BY part
"""  # names of features and models follow patterns that hold no quotes


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
        rows = log.query(_GROUPS.format(feature=feature, issue=issue, **names), release).to_pylist()
        for rate, hits, base in (("selected", "shown", "decisions"), ("succeeded", "succeeded", "labelled")):
            guards += _guards(f"fairness.{issue}.{rate}.{feature}", rows, hits, base, always=always)
    return guards


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


def _guards(name: str, rows: Sequence[Mapping[str, Any]], hits: str, base: str, *, always: bool) -> list[Guard]:
    return group_guards(
        name, {str(r["part"]): r[hits] for r in rows}, {str(r["part"]): r[base] for r in rows}, always=always
    )
