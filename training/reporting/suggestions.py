"""What people did with suggestions, per action and reason, and the next action whose automation could be widened.

A suggestion is an offer on a channel with people, or one of which a person said what they did about it. It was followed
if somebody said so or told that they pitched it, and nobody said that they overrode it. Shares are of the suggestions
of which anything is known; the unit of their intervals is the customer or account. Nothing is widened by this.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import numpy as np
import pyarrow as pa

from decisioning.catalogue.actions import Action, Automation
from decisioning.catalogue.intents import Intent, Risk, is_above
from decisioning.catalogue.release import Release
from decisioning.facts.forms import Issue
from decisioning.times import DAY_US
from features.decisions.log import DecisionLog
from training.evaluation.localized import LocalText, fields, local_text, localized
from training.model.frame import Bools
from training.reporting.customers.rises import human_channels
from training.reporting.held_out import rate_figure
from training.reporting.monitoring import FEWEST
from training.rows.columns import bools, unit_codes

DAYS: Final = 90
FOLLOWED, REGRETTED = 0.8, 0.05
"""The least share that people follow, and the largest that they regret, each at the worse end of its interval."""
_WIDER: Final[Mapping[Automation, Automation]] = {"human_only": "suggest", "suggest": "automatic"}
_RISKS: Final[tuple[Risk, ...]] = get_args(Risk)
_RISK_OF: Final[Mapping[Issue, Risk]] = {
    "service": "status",
    "nurture": "change",
    "grow": "money",
    "retain": "leaving",
    "hardship": "leaving",
}
"""The risk of an action that answers no intent, which has the highest risk of its intents."""
_SUGGESTED = """
WITH pitched AS (
  SELECT stream, offer_id, 'pitched' AS kind FROM events WHERE kind = 'contact' AND name = 'pitched'
  GROUP BY stream, offer_id HAVING sum(sign) > 0),
known AS (
  SELECT stream, offer_id, bool_or(kind = 'overridden') AS overridden, bool_or(kind = 'regretted') AS regretted
  FROM (FROM pitched UNION ALL SELECT stream, offer_id, kind FROM events
    WHERE kind IN ('accepted_suggestion', 'overridden', 'regretted') GROUP BY ALL HAVING sum(sign) > 0)
  GROUP BY stream, offer_id)
SELECT _action AS action, _customer AS customer, k.overridden IS NOT NULL AS known,
  NOT coalesce(k.overridden, false) AS followed, coalesce(k.overridden, false) AS overridden,
  coalesce(k.regretted AND NOT k.overridden, false) AS regretted
FROM log JOIN units USING (_stream) LEFT JOIN known k ON k.stream = _stream AND k.offer_id = _id
WHERE _source = 'decision' AND _action <> 'none' AND _at_us > {since_us} AND _at_us <= {now_us}
  AND (_channel IN ({channels}) OR k.overridden IS NOT NULL)
ORDER BY _action, _at_us, _id
"""
_REASONS = """
SELECT action, kind AS verdict, name AS reason, sum(sign)::BIGINT AS times,
  count(DISTINCT coalesce(_customer, stream)) AS customers
FROM events LEFT JOIN units ON _stream = stream
WHERE kind IN ('overridden', 'regretted') AND at_us > {since_us} AND at_us <= {now_us}
GROUP BY ALL HAVING sum(sign) > 0 ORDER BY times DESC, action, verdict, reason
"""
_CORRECTED = """
SELECT name AS field, sum(sign)::BIGINT AS times, count(DISTINCT coalesce(_customer, stream)) AS customers
FROM events LEFT JOIN units ON _stream = stream
WHERE kind = 'correction' AND at_us > {since_us} AND at_us <= {now_us} GROUP BY ALL HAVING sum(sign) > 0
ORDER BY times DESC, field
"""
Row = dict[str, Any]


def suggestions(log: DecisionLog, release: Release, now_us: int) -> dict[str, Any]:
    """Return the sections on suggestions and corrections of the last `DAYS` days; empty if there is nothing to tell."""
    names = {"since_us": now_us - DAYS * DAY_US, "now_us": now_us, "channels": human_channels(release)}
    table, reasons, corrected = (log.query(sql.format(**names), release) for sql in (_SUGGESTED, _REASONS, _CORRECTED))
    if not (len(table) or len(reasons) or len(corrected)):
        return {}
    rows = [{**row, "automation": _automation(row["action"], release)} for row in _per_action(table)]
    widen = widest(rows, release)
    return {
        "suggestions": rows,
        **fields("suggestions_said", _said(rows)),
        "override_reasons": reasons.to_pylist(),
        "corrections": corrected.to_pylist(),
        "widen": widen,
        **fields("widen_said", _proposal(rows, widen)),
    }


def _automation(action: str, release: Release) -> Automation | None:
    return release.actions[action].effective_automation if action in release.actions else None


def _per_action(table: pa.Table) -> Iterator[Row]:
    """Yield a row per action: its suggestions, of how many anything is known, and the shares of these."""
    actions, unit = np.asarray(table["action"].to_pylist(), dtype=object), unit_codes(table["customer"])
    known, followed, overridden, regretted = (
        bools(table[name]) for name in ("known", "followed", "overridden", "regretted")
    )

    def share(hits: Bools, of: Bools) -> Row:
        return rate_figure(hits[of], unit[of])

    for action in dict.fromkeys(actions.tolist()):
        own = np.asarray(actions == action, dtype=np.bool_)
        judged = own & known
        yield {
            "action": action,
            "suggested": int(own.sum()),
            "known": int(judged.sum()),
            "customers": len(np.unique(unit[judged])),
            "times_followed": int((judged & followed).sum()),
            "times_overridden": int((judged & overridden).sum()),
            "times_regretted": int((judged & regretted).sum()),
            "followed": share(followed, judged),
            "overridden": share(overridden, judged),
            "regretted": share(regretted, judged & followed),
        }


def _said(rows: Sequence[Row]) -> LocalText:
    known, suggested = (sum(row[name] for row in rows) for name in ("known", "suggested"))
    return localized("suggestions-rest-on", suggested=suggested, days=DAYS, known=known)


def widest(rows: Sequence[Row], release: Release) -> Row | None:
    """Return the next action whose automation could be widened, with its evidence: the one of least risk."""
    ready = [(row, release.actions[row["action"]]) for row in rows if _is_ready(row, release)]
    if not ready:
        return None
    row, action = min(ready, key=lambda one: (_risk(one[1], release), -one[0]["followed"]["low"], one[1].id))
    wider, risk = _WIDER[action.effective_automation], _RISKS[_risk(action, release)]
    proposal = {"action": action.id, "risk": risk, "from": action.effective_automation, "to": wider}
    return {**proposal, **fields("said", _evidence(row, risk, action.effective_automation, wider))}


def _intents(action: Action, release: Release) -> list[Intent]:
    return [intent for intent in release.catalogue.intents if intent.id in action.intent]


def _risk(action: Action, release: Release) -> int:
    """Return how much risk there is in automating an action: its place among risks, the least first."""
    risks = [intent.risk for intent in _intents(action, release)] or [_RISK_OF[action.issue]]
    return max(map(_RISKS.index, risks))


def _is_ready(row: Row, release: Release) -> bool:
    """Tell whether people follow an action's suggestions, and hardly ever regret it, by enough evidence.

    What decides something of weight, or lends, stays with people, and no intent is automated beyond its limit.
    """
    action = release.actions.get(row["action"])
    if action is None or action.effective_automation == "automatic" or action.significant or action.credit:
        return False
    wider = _WIDER[action.effective_automation]
    if any(is_above(wider, intent.ceiling) for intent in _intents(action, release)):
        return False
    enough = row["customers"] >= FEWEST
    return bool(enough and row["followed"]["low"] >= FOLLOWED and row["regretted"]["high"] <= REGRETTED)


def _evidence(row: Row, risk: Risk, level: Automation, wider: Automation) -> LocalText:
    followed, regretted = row["followed"], row["regretted"]
    return localized(
        "widen",
        action=row["action"],
        risk=localized(f"risk-{risk}"),
        level=level,
        wider=wider,
        **{name: row[name] for name in ("known", "customers")},
        followed=followed["value"],
        low=followed["low"],
        high=followed["high"],
        regretted=regretted["value"],
        most=regretted["high"],
    )


def _proposal(rows: Sequence[Row], widen: Row | None) -> LocalText:
    """Return which action's automation could be widened, or why none can."""
    if widen is not None:
        return local_text(widen, "said")
    if all(row["automation"] in ("automatic", None) for row in rows):
        return localized("widen-nothing")
    return localized("widen-not-yet", fewest=FEWEST, followed=FOLLOWED, regretted=REGRETTED)
