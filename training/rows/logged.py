"""Training rows from the log of decisions, as columns: millions of them without a Python object for each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.release import Release
from decisioning.facts.schema import FeatureSchema
from features.decisions.log import DecisionLog
from features.decisions.parsing import NOTHING
from features.matrix import FeatureMatrix, columns_from_table
from features.views import TIME
from training.fitting.terms import terms_of, with_terms
from training.model.frame import Bools, Floats, Ints, TrainingSet

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

NO_CHOICE = ("no_candidates", "all_withheld", "no_room", "silenced")
"""Reasons of a slot that is empty because nothing could be chosen."""
_TAKEN = f"""
SELECT * EXCLUDE (_candidates) FROM log
WHERE _label IS NOT NULL AND (_source = 'observation' OR _action <> '{NOTHING}') ORDER BY _at_us, _stream, _id
"""  # noqa: S608 - a name of our own
_CHOSEN = f"""
SELECT * FROM log WHERE _label IS NOT NULL AND (_empty_reason IS NULL OR _empty_reason NOT IN {NO_CHOICE})
ORDER BY _at_us, _stream, _id
"""  # noqa: S608 - names of our own
ReleaseOf = Callable[[str], Release]
"""The release of a hash."""


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """`rows`, and which of its actions could have been taken in each: `permitted` (n, k).

    All of them where nobody recorded it, as in imported observations.
    """

    rows: TrainingSet
    permitted: Bools


def training_rows(
    log: DecisionLog, release: Release, history: "History", release_of: ReleaseOf, *, outcome: str | None = None
) -> TrainingSet:
    """Rows whose window has closed, of actions that `release` has or that one of its own supersedes, sorted by time.

    Features are those that were served. What the release of a decision did not declare yet, and what an observation
    does not say, is what was known at that time, by a point-in-time join.

    :param outcome: the label is this outcome, instead of any positive one of the action
    """
    table = _of_actions(log.query(_TAKEN, release, outcome), release.with_superseded)
    return with_terms(to_training_set(table, release, history, release_of), release)


def choices(
    log: DecisionLog, release: Release, history: "History", release_of: ReleaseOf, *, outcome: str | None = None
) -> Choices:
    """As `training_rows`, with a row for each slot that was left empty though there was a choice: it earned nothing.

    For the value of policies; what a customer does when left alone is learned from observations only.
    """
    table = _of_actions(log.query(_CHOSEN, release, outcome), release.actions)
    rows = to_training_set(table, release, history, release_of)
    rows = replace(rows, terms=terms_of(release, rows.actions))
    return Choices(rows, permitted(table, rows.actions, release_of))


def _of_actions(table: pa.Table, actions: Iterable[str]) -> pa.Table:
    return table.filter(pc.is_in(table["_action"], value_set=pa.array([*actions, NOTHING], pa.string())))


def to_training_set(table: pa.Table, release: Release, history: "History", release_of: ReleaseOf) -> TrainingSet:
    """Rows of the log, all of actions that `release` remembers, as what a model learns from."""
    actions, action = _codes(table["_action"])
    treatments, treatment = _treatments(table["_treatment"], action, len(actions))
    matrix, schema = FeatureMatrix(release.schema), release.schema
    return TrainingSet(
        x=matrix.rows(columns_from_table(_filled(table, schema, history, release_of), schema), len(table)),
        feature_names=matrix.names,
        actions=actions,
        groups=tuple(NOTHING if a == NOTHING else release.with_superseded[a].group for a in actions),
        treatments=treatments,
        action=action,
        treatment=treatment,
        label=_numbers(table["_label"].cast(pa.int8())) > 0,
        probability=_numbers(table["_probability"]),
        value_eur=_numbers(table["_value_eur"]),
        at_us=np.asarray(table["_at_us"].to_numpy(), dtype=np.int64),
    )


def permitted(table: pa.Table, actions: tuple[str, ...], release_of: ReleaseOf) -> Bools:
    """(n, k): what passed every filter and can go to the placement that was decided on; doing nothing always can."""
    releases, decided_by = _codes(pc.fill_null(table["_release"], ""))
    placements, placed = _codes(table["_placement"])
    found = np.array([not releases[code] for code in decided_by], dtype=np.bool_)[:, None].repeat(len(actions), axis=1)
    found[:, [a == NOTHING for a in actions]] = True
    for digest, placement in np.unique(np.column_stack([decided_by, placed]), axis=0).tolist():
        if releases[digest]:
            rows = np.flatnonzero((decided_by == digest) & (placed == placement))
            passed = table["_candidates"].take(pa.array(rows)).combine_chunks()
            column = _columns_of(release_of(releases[digest]), placements[placement], actions)
            at = column[pc.list_flatten(passed).to_numpy()]
            found[rows[pc.list_parent_indices(passed).to_numpy()][at >= 0], at[at >= 0]] = True
    return found


def _columns_of(release: Release, placement: str, actions: tuple[str, ...]) -> Ints:
    """(n_candidates,): where in `actions` a candidate's is, -1 for one that cannot go to the placement."""
    code = {a: n for n, a in enumerate(actions)}
    known = [code.get(a.id, -1) if placement in t.placements else -1 for a, t in release.candidates]
    return np.array(known, dtype=np.int64)


def _numbers(column: pa.ChunkedArray) -> Floats:
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(), dtype=np.float64)


def _codes(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Ints]:
    """The names that occur, sorted, and each row's (n,)."""
    names = sorted(pc.unique(column).to_pylist())
    return tuple(names), np.asarray(pc.index_in(column, pa.array(names, pa.string())).to_numpy(), dtype=np.int64)


def _treatments(column: pa.ChunkedArray, action: Ints, n: int) -> tuple[tuple[tuple[str, ...], ...], Ints]:
    """Per action its treatments, sorted, and each row's code (n,) within its action, -1 where none is known."""
    names, code = _codes(column)
    found, placed = [], np.full(len(code), -1, dtype=np.int64)
    for a in range(n):
        rows = action == a
        own = [c for c in np.unique(code[rows]).tolist() if names[c]]
        at = np.full(len(names), -1, dtype=np.int64)
        at[own] = np.arange(len(own))
        placed[rows] = at[code[rows]]
        found.append(tuple(names[c] for c in own))
    return tuple(found), placed


def _filled(table: pa.Table, schema: FeatureSchema, history: "History", release_of: ReleaseOf) -> pa.Table:
    """The facts, and in the place of what was not served then what was known then."""
    stored = [f.name for f in schema.learnable if f.source in ("profile", "model")]
    unserved = _unserved(table["_release"], stored, release_of)
    rows = np.flatnonzero(np.any(list(unserved.values()), axis=0)) if unserved else np.zeros(0, dtype=np.int64)
    if not len(rows):
        return table
    keys = table.take(pa.array(rows))
    entities = pa.table({"subject": keys["_stream"], "event_timestamp": keys["_at_us"].cast(TIME)})
    then = history.point_in_time(entities)
    back = np.full(len(table), -1, dtype=np.int64)
    back[rows] = np.arange(len(rows))
    where = pa.array(back, mask=back < 0)
    for name, missing in unserved.items():
        known = then[name].take(where).cast(table.schema.field(name).type)
        own = table[name]
        said = pc.and_(pa.array(missing), pc.is_null(own))
        table = table.set_column(table.schema.get_field_index(name), name, pc.if_else(said, known, own))
    return table


def _unserved(releases: pa.ChunkedArray, names: list[str], release_of: ReleaseOf) -> Mapping[str, Bools]:
    """Feature -> bool (n,), whether the row's release did not serve it; those that every row has are left out."""
    declared = lru_cache(lambda digest: release_of(digest).schema)
    hashes, code = _codes(pc.fill_null(releases, ""))
    lacking = {n: np.array([not h or n not in declared(h) for h in hashes], dtype=np.bool_) for n in names}
    return {n: missing[code] for n, missing in lacking.items() if missing.any()}
