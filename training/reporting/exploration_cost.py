"""What extra exploration of immature candidates cost, compared with the budget that a channel states for it."""

from typing import Any

from decisioning.catalogue.release import Release
from features.decisions.log import DecisionLog

_SPENT = """
SELECT _channel AS channel, count(*) AS slots, avg(coalesce(_extra, 0.0)) AS spent,
  coalesce(sum(_given_up_eur), 0.0) AS given_up_eur
FROM log WHERE _source = 'decision' AND _at_us >= {since_us} GROUP BY _channel ORDER BY _channel
"""


def exploration_costs(log: DecisionLog, release: Release, since_us: int) -> list[dict[str, Any]]:
    """Return the cost of extra exploration per channel that states a budget, or spent one since `since_us`.

    `spent` is the share of all slots that went to it. `given_up_eur` is what the normal exploration schedule was
    expected to earn more, by the recorded priorities. Both are expectations over the draws, so luck does not count.
    `budget` is None if the release states none now.
    """
    budgets = {c.id: c.immature.budget for c in release.channels.values() if c.immature}
    spent = {row["channel"]: row for row in log.query(_SPENT.format(since_us=since_us), release).to_pylist()}
    nothing = {"slots": 0, "spent": 0.0, "given_up_eur": 0.0}
    rows = ({"channel": c, "budget": budgets.get(c), **nothing, **spent.get(c, {})} for c in release.channels)
    return [row for row in rows if row["budget"] or row["spent"]]
