"""With what probability a recorded decision's slots could get each candidate, from its record alone.

What a slot was drawn from is recorded; tier, priority and exploration follow from the release, the facts as served, the
recorded scores, and the recorded results of what counts past outcomes, as they did when the decision was made.
"""

from typing import Any

import numpy as np

from decisioning.catalogue.release import Release
from decisioning.catalogue.view import View
from decisioning.deciding import arms
from decisioning.deciding.arbitration import Chances
from decisioning.deciding.ranking import Passed, ranked_by
from decisioning.deciding.worth import Worth, worth, worth_of
from decisioning.facts.forms import Scores
from decisioning.records.answers import figures_of
from decisioning.records.formats import unpack_as
from decisioning.records.kept import Kept
from decisioning.records.tables import Tables
from decisioning.rules import Rule


def figures_in(raw: bytes, release: Release) -> dict[str, Any]:
    """Return the parts of a packed record that models are trained on; it raises as `formats.unpack` does."""
    return unpack_as(_figures, raw, release)


def _figures(kept: Kept, tables: Tables) -> dict[str, Any]:
    if any(pick.drawn_from is not None for pick in kept.picks):
        fill_odds(kept, tables.channel(kept.request["channel"]).view)
    return figures_of(kept, tables)


def fill_odds(kept: Kept, view: View) -> None:
    """Replace what each slot was drawn from by its odds; leave out those that do not give the recorded probability."""
    chances = _chances(kept, view)
    for pick in kept.picks:
        if pick.drawn_from is None:
            continue
        first = kept.rows[pick.drawn_from]
        odds, pick.drawn_from = chances.among(first), None
        chosen = int(first.searchsorted(pick.row)) if pick.row >= 0 else len(first)
        if odds.probability[chosen] == pick.probability:
            pick.odds = np.zeros(len(kept.rows))
            pick.odds[kept.rows.searchsorted(first)] = odds.probability[:-1]


def _chances(kept: Kept, view: View) -> Chances:
    """Return what the odds of the slots follow from."""
    permitted = np.zeros(len(view), dtype=np.bool_)
    permitted[kept.rows] = True
    valued = _worth(kept, view)
    weighed = arms.weighed(valued, view.tier, kept.arm)
    passed = Passed(view, permitted, kept.rows, weighed, kept.arm, kept.profiled, kept.decided_us)
    scores = Scores(
        kept.propensity,
        kept.evidence,
        ((),) * len(kept.rows),
        transparency=kept.transparency,
        upper=kept.upper,
        uplift=kept.uplift,
    )
    return Chances(*ranked_by(passed, scores))


def _worth(kept: Kept, view: View) -> Worth:
    """Return the worth of every candidate as the decision computed it; what counts past outcomes is recorded."""
    if not kept.profiled:
        return worth(view, kept.facts, kept.profiled, kept.decided_us, _nothing_happened)
    results = list(view.weighed(kept.facts, _nothing_happened))
    for (place, formula), result in zip(view.counting, kept.counted, strict=True):
        results[place] = bool(result) if result is not None and isinstance(formula, Rule) else result
    return worth_of(view, results, kept.decided_us)


def _nothing_happened(_action: str, _outcome: str, _window_us: int) -> int:
    return 0
