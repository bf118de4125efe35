"""Unusual rises within the last hour, beside the same hour of the days before.

The count of the last hour is compared with those of the same hour of up to four weeks, which takes out the rhythm of
the day. If both come at the same rate, then of all of them together the last hour's share is binomial, with a chance of
one in the number of hours (Przyborowski and Wilenski 1940); this holds exactly, for any rate. Customers are counted,
each once an hour, as one customer may do a thing many times. Over all series of a report, the chance that any of them
is called a rise where nothing changed is at most `FALSE_ALARMS` (Bonferroni).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from decisioning.catalogue.release import Release
from decisioning.times import DAY_US, HOUR_US
from features.decisions.labels import COMPLAINED
from features.decisions.log import DecisionLog
from training.evaluation.localized import fields, localized

FALSE_ALARMS: Final = 0.01
"""The probability, at most, that a report tells of any rise where nothing changed."""
HISTORY_DAYS: Final = 28
FEWEST_DAYS: Final = 7
"""With a shorter past nothing is said of rises."""

_BEGAN = "SELECT min(_at_us) AS at_us FROM log WHERE _source = 'decision'"
_COUNTS = """
WITH happened AS ({happened})
SELECT kind, name, count(DISTINCT _customer) FILTER (day = 0) AS now,
  count(DISTINCT (_customer, day)) FILTER (day > 0) AS before
FROM (SELECT *, ({now_us} - at_us) // {day_us} AS day FROM happened JOIN units USING (_stream)
  WHERE at_us <= {now_us} AND ({now_us} - at_us) % {day_us} < {hour_us})
WHERE day <= {days} GROUP BY kind, name ORDER BY kind, name
"""
_OUTCOMES = f"""
SELECT 'complaint' AS kind, action AS name, stream AS _stream, at_us FROM events
WHERE kind = 'outcome' AND name = '{COMPLAINED}' GROUP BY ALL HAVING sum(sign) > 0
"""  # noqa: S608
_DECIDED = "SELECT '{kind}' AS kind, {name} AS name, _stream, _at_us AS at_us FROM log WHERE {decided} AND {condition}"
_OWN_CHOICE = "('nothing_is_better', 'explored_nothing')"


@dataclass(frozen=True, slots=True)
class Series:
    """Counts of customers of one thing: in the last hour (`now`), and in the same hour of all days before together."""

    kind: str
    name: str
    now: int
    before: int


def rises(log: DecisionLog, release: Release, now_us: int) -> dict[str, Any]:
    """Return the series that rose, and what was looked at (`rises_said`), as plain JSON types."""
    began_us = log.query(_BEGAN, release)["at_us"][0].as_py()
    days = 0 if began_us is None else min(HISTORY_DAYS, (now_us - began_us - HOUR_US) // DAY_US)
    if days < FEWEST_DAYS:
        return {"rises": [], **fields("rises_said", localized("rises-short", days=max(days, 0), needed=FEWEST_DAYS))}
    happened = " UNION ALL ".join(_series_sql(release))
    names = {"now_us": now_us, "days": days, "day_us": DAY_US, "hour_us": HOUR_US}
    rows = log.query(_COUNTS.format(happened=happened, **names), release).to_pylist()
    series = [Series(**row) for row in rows]
    looked_at = localized("rises-looked", days=days, n=len(series), chance=FALSE_ALARMS)
    return {"rises": risen(series, days), **fields("rises_said", looked_at)}


def risen(series: Sequence[Series], days: int) -> list[dict[str, Any]]:
    """Return the series that rose, the least likely by chance first, with what is `usual` in an hour and `chance`."""
    tails = [(upper_tail(s.now, s.now + s.before, 1.0 / (days + 1)), s) for s in series]
    rare = [(tail, s) for tail, s in tails if tail <= FALSE_ALARMS / len(series)]
    return [{**asdict(s), "usual": s.before / days, "chance": tail} for tail, s in sorted(rare, key=lambda r: r[0])]


def upper_tail(hits: int, n: int, share: float) -> float:
    """Return the probability that a binomial variable of `n` draws is at least `hits`."""
    if hits <= 0:
        return 1.0
    k = np.arange(1, n + 1)
    odds = np.log((n - k + 1) / k) + np.log(share / (1.0 - share))
    logs = n * np.log1p(-share) + np.cumsum(odds)
    return float(min(1.0, np.exp(logs[hits - 1 :]).sum()))


def _series_sql(release: Release) -> Iterator[str]:
    """Yield SQL rows (kind, name, _stream, at_us) of everything that is looked at."""
    decided = "_source = 'decision' AND _rank = 1"
    yield _OUTCOMES
    yield _DECIDED.format(kind="handover", name="_handover", decided=decided, condition="_handover IS NOT NULL")
    withheld = f"_empty_reason IS NOT NULL AND _empty_reason NOT IN {_OWN_CHOICE}"
    yield _DECIDED.format(kind="withheld", name="_empty_reason", decided=decided, condition=withheld)
    channels = human_channels(release)
    for name in asked_features(release):
        on_people = f"""_channel IN ({channels}) AND "{name}" IS NOT NULL"""
        yield _DECIDED.format(kind="intent", name=f'"{name}"', decided=decided, condition=on_people)
    for feature in release.schema.features.values():
        if "request" in feature.tags and feature.dtype in ("int", "float", "bool"):
            said = f'"{feature.name}"::DOUBLE > 0'
            yield _DECIDED.format(kind="request", name=f"'{feature.name}'", decided=decided, condition=said)


def asked_features(release: Release) -> list[str]:
    """Return the facts of a request that name one of several things, such as why somebody calls."""
    return [f.name for f in release.schema.of_source("context") if f.dtype == "enum"]


def human_channels(release: Release) -> str:
    """Return the channels on which a person speaks with the customer, as a list in SQL."""
    return ", ".join(f"'{c.id}'" for c in release.channels.values() if c.human) or "''"
