"""What was given away to customers who accepted something, by protected group, beside everybody else."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from decisioning.catalogue.release import Release
from decisioning.times import DAY_US
from features.decisions.log import DecisionLog
from training.evaluation.localized import fields, localized
from training.evaluation.mean_difference import Totals, difference
from training.rows.columns import floats

DAYS: Final = 90
"""The days before now whose decisions are compared."""
FEWEST: Final = 50
"""Nothing is said of a group unless it and everybody else have at least this many customers."""

_GIVEN = """
SELECT part, unit, sum(given) AS eur FROM (
  SELECT "{feature}"::VARCHAR AS part, _customer AS unit,
    CASE WHEN _label THEN CASE _action {amounts} ELSE 0.0 END ELSE 0.0 END AS given
  FROM log JOIN units USING (_stream) WHERE _source = 'decision' AND _at_us >= {since_us})
WHERE part IS NOT NULL GROUP BY part, unit ORDER BY part, unit
"""  # names of features and actions follow patterns that hold no quotes


def discounts(log: DecisionLog, release: Release, now_us: int) -> dict[str, Any]:
    """Return `discounts`, a row for each protected group, and what they rest on; nothing if nothing is given away.

    A row has the group, its customers, what each of them was given on average, how much more that is than what
    everybody else was given, and the 95% interval of that difference; None where there are too few customers.
    """
    gives = {action.id: action.gives_eur for action in release.actions.values() if action.gives_eur}
    if not gives:
        return {}
    amounts = " ".join(f"WHEN '{name}' THEN {eur:.2f}" for name, eur in sorted(gives.items()))
    rows: list[dict[str, Any]] = []
    for feature in (f for f in release.schema.features.values() if "protected" in f.tags):
        if feature.dtype in ("enum", "bool"):
            asked = _GIVEN.format(feature=feature.name, amounts=amounts, since_us=now_us - DAYS * DAY_US)
            rows += _compared(feature.name, log.query(asked, release))
    return {"discounts": rows, **fields("discounts_said", localized("discounts-rest-on", days=DAYS))}


def _compared(feature: str, given: pa.Table) -> Iterator[dict[str, Any]]:
    parts, eur = np.asarray(given["part"].to_pylist(), dtype=object), floats(given["eur"])
    for part in sorted(set(parts.tolist())):
        own = parts == part
        if own.all():
            continue
        of_group, others = (Totals(eur[at], np.ones(int(at.sum()))) for at in (own, ~own))
        interval = difference(of_group, others)
        few = min(len(of_group), len(others)) < FEWEST
        limits = (None, None) if few else (interval.low, interval.high)
        about = {"group": f"{feature}={part}", "customers": len(of_group), "eur": of_group.mean}
        yield {**about, "difference": interval.value, "low": limits[0], "high": limits[1]}
