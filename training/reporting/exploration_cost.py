"""What extra exploration of the immature cost, against the budget that a channel states for it."""

from typing import Any

from decisioning.catalogue.release import Release
from features.decisions.log import DecisionLog

_SPENT = """
SELECT _channel AS channel, count(*) AS slots, avg(coalesce(_extra, 0.0)) AS spent,
  coalesce(sum(_given_up_eur), 0.0) AS given_up_eur
FROM log WHERE _source = 'decision' AND _at_us >= {since_us} GROUP BY _channel ORDER BY _channel
"""


def spent(log: DecisionLog, release: Release, since_us: int) -> list[dict[str, Any]]:
    """Per channel that states a budget or spent one since: `budget`, the share of all slots that was `spent`, and what
    was given up by it: the euros that the schedule alone was expected to bring more, by the priorities as recorded.

    Both are expectations over the draws, so no luck is in them. A budget is None where the release states none now.
    """
    budgets = {c.id: c.immature.budget for c in release.channels.values() if c.immature}
    found = {row["channel"]: row for row in log.query(_SPENT.format(since_us=since_us), release).to_pylist()}
    nothing = {"slots": 0, "spent": 0.0, "given_up_eur": 0.0}
    rows = ({"channel": c, "budget": budgets.get(c), **nothing, **found.get(c, {})} for c in release.channels)
    return [row for row in rows if row["budget"] or row["spent"]]
