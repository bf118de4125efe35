"""With what probability each choice is evidence about each action, from the recorded odds of every slot."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.release import Release
from training.model.frame import Floats, Ints

ODDS = """
SELECT _decision, _nth, _release, _candidates, _odds FROM log
WHERE _odds IS NOT NULL AND _arm <> 'holdout' AND _at_us + {longest_us} <= {now_us} ORDER BY _decision, _nth
"""
"""SQL of every slot that was left to chance, whatever came of it."""


def chances(slots: pa.Table, rows: pa.Table, actions: tuple[str, ...], release_of: Callable[[str], Release]) -> Floats:
    """Return per row and action, (n, k), with what probability the row came to be evidence about the action.

    Of the action that the row shows, this is the probability that its slot shows it. Of any other, it is the
    probability that neither its slot nor a later one of the decision shows it, given the slots before. NaN where
    chance did not decide whether the slot shows the action: there the row is no evidence about it.

    :param slots: what `ODDS` selects
    :param rows: with `_decision`, `_nth` and `_action`
    """
    result = np.full((len(rows), len(actions)), np.nan)
    if not len(slots):
        return result
    shown, decisions = _by_action(slots, actions, release_of), pc.unique(slots["_decision"])
    nowhere = _nowhere_from_here(shown, _codes(slots["_decision"], decisions))
    at = _places(slots, rows, decisions)
    known, own = at >= 0, rows["_action"].to_numpy()[:, None] == np.array(actions, dtype=object)
    here = shown[at[known]]
    by_chance = (here > 0.0) & (here < 1.0)
    result[known] = np.where(by_chance, np.where(own[known], here, nowhere[at[known]]), np.nan)
    return result


def _by_action(slots: pa.Table, actions: tuple[str, ...], release_of: Callable[[str], Release]) -> Floats:
    """Return the probability that each slot shows each action, in whichever form: (m, k)."""
    result = np.zeros((len(slots), len(actions)))
    odds = np.asarray(pc.list_flatten(slots["_odds"]), dtype=np.float64)
    candidate = np.asarray(pc.list_flatten(slots["_candidates"]), dtype=np.int64)
    slot = np.asarray(pc.list_parent_indices(slots["_odds"].combine_chunks()), dtype=np.int64)
    releases = np.asarray(slots["_release"].to_numpy())[slot]
    for name in pc.unique(slots["_release"]).to_pylist():
        column = _columns(release_of(name), actions)
        of_release = np.flatnonzero(releases == name)
        of_release = of_release[column[candidate[of_release]] >= 0]
        np.add.at(result, (slot[of_release], column[candidate[of_release]]), odds[of_release])
    return np.minimum(result, 1.0)


def _columns(release: Release, actions: tuple[str, ...]) -> Ints:
    """Return each candidate's position in `actions`, (n_candidates,); -1 if it is not among them."""
    code = {action: n for n, action in enumerate(actions)}
    return np.array([code.get(action.id, -1) for action, _ in release.candidates], dtype=np.int64)


def _nowhere_from_here(shown: Floats, decision: Ints) -> Floats:
    """Return the probability that neither a slot nor a later one of its decision shows each action, (m, k).

    Slots are sorted by decision and place; the odds of each slot are given the picks before it.
    """
    result = 1.0 - shown
    for slot in np.flatnonzero(decision[:-1] == decision[1:])[::-1].tolist():
        result[slot] *= result[slot + 1]
    return np.asarray(result, dtype=np.float64)


def _places(slots: pa.Table, rows: pa.Table, decisions: pa.Array) -> Ints:
    """Return where each row's slot is among the slots, (n,); -1 if its odds are not known."""
    wide = 1 + int(pc.max(slots["_nth"]).as_py())
    of_slot, of_row = (_codes(table["_decision"], decisions) * wide + _nth(table) for table in (slots, rows))
    place = np.minimum(np.searchsorted(of_slot, of_row), len(of_slot) - 1)
    return np.where((of_slot[place] == of_row) & (_nth(rows) < wide), place, -1)


def _nth(table: pa.Table) -> Ints:
    return np.asarray(pc.fill_null(table["_nth"], 0), dtype=np.int64)


def _codes(column: pa.ChunkedArray, names: pa.Array) -> Ints:
    """Return each value's position in `names`, (n,); -1 if it is not among them."""
    return np.asarray(pc.fill_null(pc.index_in(column, names), -1), dtype=np.int64)
