"""What reaching us takes of customers: contacts until something is solved, repeats, and people called in.

A contact is what a customer and a person of ours have to do with each other, on a channel with people, until an hour
passes without a decision. What it is about is the fact of the request that names one of several things. Something
counts as solved once it is not asked again within seven days.
"""

from dataclasses import asdict
from typing import Any, Final

import numpy as np
import pyarrow as pa

from decisioning.catalogue.release import Release
from decisioning.times import DAY_US, HOUR_US
from features.decisions.log import DecisionLog
from training.evaluation.metrics import rate_interval
from training.fitting.intervals import mean_interval
from training.model.frame import Bools, Ints
from training.reporting.customers.rises import asked_features, human_channels
from training.rows.columns import bools, unit_codes

EFFORT_DAYS: Final = 90
AGAIN_DAYS: Final = 7
FEWEST_CUSTOMERS: Final = 100
"""Customers below whom nothing is said."""

_CONTACTS = """
WITH decided AS (
  SELECT _decision, any_value(_customer) AS unit, any_value(_at_us) AS at_us, any_value({about}) AS about,
    bool_or(_handover IS NOT NULL) AS handed
  FROM log JOIN units USING (_stream)
  WHERE _source = 'decision' AND _channel IN ({channels}) AND _at_us >= {since_us} GROUP BY _decision),
begun AS (
  SELECT *, coalesce(at_us - lag(at_us) OVER later > {hour_us}, true) AS first
  FROM decided WINDOW later AS (PARTITION BY unit ORDER BY at_us, _decision)),
numbered AS (
  SELECT *, sum(first::INT) OVER (PARTITION BY unit ORDER BY at_us, _decision) AS nth FROM begun),
contacts AS (
  SELECT unit, min(at_us) AS at_us, any_value(about ORDER BY at_us) AS about, bool_or(handed) AS handed
  FROM numbered GROUP BY unit, nth)
SELECT unit, about, handed, at_us + {again_us} <= {now_us} AS closed,
  coalesce(lead(at_us) OVER (PARTITION BY unit ORDER BY at_us) - at_us <= {again_us}, false) AS repeated,
  about IS NOT NULL
    AND coalesce(lead(at_us) OVER (PARTITION BY unit, about ORDER BY at_us) - at_us <= {again_us}, false) AS again,
  coalesce(at_us - lag(at_us) OVER (PARTITION BY unit, about ORDER BY at_us) > {again_us}, true) AS new
FROM contacts ORDER BY unit, about, at_us
"""


def effort(log: DecisionLog, release: Release, now_us: int) -> dict[str, Any]:
    """Return the figures of the last `EFFORT_DAYS` days with intervals over customers, as plain JSON types.

    Each is None while fewer than `FEWEST_CUSTOMERS` customers support it.
    """
    about = ", ".join(f'"{name}"' for name in asked_features(release)) or "NULL"
    names = {"about": f"coalesce({about}, NULL)::VARCHAR", "channels": human_channels(release), "hour_us": HOUR_US}
    times = {"since_us": now_us - EFFORT_DAYS * DAY_US, "now_us": now_us, "again_us": AGAIN_DAYS * DAY_US}
    contacts = log.query(_CONTACTS.format(**names, **times), release)
    unit, closed, is_named = unit_codes(contacts["unit"]), bools(contacts["closed"]), ~_is_null(contacts["about"])
    return {
        "days": EFFORT_DAYS,
        "contacts": len(contacts),
        "customers": len(np.unique(unit)),
        "contacts_until_solved": _until_solved(contacts, unit, is_named),
        "repeats": _rate(bools(contacts["repeated"]), closed, unit),
        "asked_again": _rate(bools(contacts["again"]), closed & is_named, unit),
        "people_asked_for": _rate(bools(contacts["handed"]), np.ones(len(contacts), dtype=np.bool_), unit),
    }


def _until_solved(contacts: pa.Table, unit: Ints, is_named: Bools) -> dict[str, Any] | None:
    """Return the mean number of contacts about one thing until it was not asked again, of what is known to be solved.

    Rows come in the order of customer, thing and time.
    """
    episode = np.cumsum(bools(contacts["new"])) - 1
    if not len(episode):
        return None
    last = np.append(np.diff(episode) > 0, True)
    ended = last & is_named & bools(contacts["closed"])
    length, owner = np.bincount(episode).astype(np.float64)[episode[ended]], unit[ended]
    if len(np.unique(owner)) < FEWEST_CUSTOMERS:
        return None
    return {**asdict(mean_interval(length, unit=owner)), "of": len(length), "customers": len(np.unique(owner))}


def _rate(hits: Bools, rows: Bools, unit: Ints) -> dict[str, Any] | None:
    """Return the share of hits among the rows, all (n,)."""
    customers = len(np.unique(unit[rows]))
    if customers < FEWEST_CUSTOMERS:
        return None
    low, high = rate_interval(hits[rows], unit[rows])
    return {"value": float(hits[rows].mean()), "low": low, "high": high, "of": int(rows.sum()), "customers": customers}


def _is_null(column: pa.ChunkedArray) -> Bools:
    return bools(column.is_null())
