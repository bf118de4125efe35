"""What imported contacts came to: they are no offers of a decision, so no other section of a report holds them."""

from typing import Any

import numpy as np

from decisioning.catalogue.release import Release
from features.decisions.log import DecisionLog
from training.evaluation.localized import fields, localized
from training.reporting.held_out import rate_figure
from training.rows.columns import bools, unit_codes

_IMPORTED = """
SELECT _action, _channel, _label, _customer FROM log JOIN units USING (_stream)
WHERE _source = 'observation' AND _label IS NOT NULL ORDER BY _action, _channel
"""


def imported_contacts(log: DecisionLog, release: Release) -> dict[str, Any]:
    """Return a row per action and channel of imported contacts whose outcome is known, with the share of successes."""
    table = log.query(_IMPORTED, release)
    label, unit = bools(table["_label"]), unit_codes(table["_customer"])
    names = list(zip(table["_action"].to_pylist(), table["_channel"].to_pylist(), strict=True))
    rows = []
    for action, channel in dict.fromkeys(names):
        own = np.array([name == (action, channel) for name in names], dtype=np.bool_)
        rows.append(
            {
                "action": action,
                "channel": channel,
                "contacts": int(own.sum()),
                "succeeded": int(label[own].sum()),
                **rate_figure(label[own], unit[own]),
            }
        )
    return {"imported": rows, **fields("imported_said", localized("imported", n=len(label)))} if rows else {}
