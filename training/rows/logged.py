"""Training rows from the log of decisions, as columns, so that millions of rows need no Python object each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
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
from training.fitting.terms import with_terms
from training.model.frame import Bools, Ints, TrainingSet
from training.rows.columns import bools, floats, unit_codes

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

NO_CHOICE = ("no_candidates", "all_withheld", "no_room", "silenced")
"""Reasons for an empty slot that mean that nothing could be chosen."""
_ACTIONS = f"""
SELECT * EXCLUDE (_candidates, _odds) FROM log JOIN units USING (_stream)
WHERE _label IS NOT NULL AND (_source = 'observation' OR _action <> '{NOTHING}') ORDER BY _at_us, _stream, _id
"""  # noqa: S608 - a name of our own
ReleaseOf = Callable[[str], Release]
"""Returns the release of a hash."""


def training_rows(
    log: DecisionLog,
    release: Release,
    history: "History",
    release_of: ReleaseOf,
    *,
    outcome: str | None = None,
    shared: bool = False,
) -> TrainingSet:
    """Return the rows whose window has closed, of the release's actions and those they supersede, sorted by time.

    Features are those that were served. Features that the release of a decision did not declare yet, or that an
    observation lacks, are those known at that time, by a point-in-time join.

    :param outcome: the label is this outcome, instead of any positive one of the action
    :param shared: the outcome counts for every row whose window holds it, as `labels_sql` says
    """
    table = _of_actions(log.query(_ACTIONS, release, outcome, shared=shared), release.with_superseded)
    return with_terms(to_training_set(table, release, history, release_of), release)


def _of_actions(table: pa.Table, actions: Iterable[str]) -> pa.Table:
    """Return the rows of these actions and of doing nothing."""
    return table.filter(pc.is_in(table["_action"], value_set=pa.array([*actions, NOTHING], pa.string())))


def to_training_set(table: pa.Table, release: Release, history: "History", release_of: ReleaseOf) -> TrainingSet:
    """Return rows of the log as training rows; all must be of actions in `release.with_superseded`."""
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
        label=bools(table["_label"]),
        probability=floats(table["_probability"]),
        value_eur=floats(table["_value_eur"]),
        at_us=np.asarray(table["_at_us"].to_numpy(), dtype=np.int64),
        unit=unit_codes(table["_customer"]),
    )


def with_nothing(rows: TrainingSet) -> TrainingSet:
    """Return the rows with `none` among the actions, even if it was never chosen."""
    if NOTHING in rows.actions:
        return rows
    extended: Mapping[str, tuple[object, ...]] = {
        "actions": (*rows.actions, NOTHING),
        "groups": (*rows.groups, NOTHING),
        "treatments": (*rows.treatments, ()),
    }
    return replace(rows, **extended)  # type: ignore[arg-type]


def permitted(table: pa.Table, actions: tuple[str, ...], release_of: ReleaseOf) -> Bools:
    """Return which actions passed every filter and fit the row's placement, (n, k).

    Doing nothing is always permitted, and so is every action in rows without a release.
    """
    releases, release_code = _codes(pc.fill_null(table["_release"], ""))
    placements, placement_code = _codes(table["_placement"])
    unrecorded = np.array([not releases[code] for code in release_code], dtype=np.bool_)
    result = unrecorded[:, None].repeat(len(actions), axis=1)
    result[:, [a == NOTHING for a in actions]] = True
    for r, p in np.unique(np.column_stack([release_code, placement_code]), axis=0).tolist():
        if releases[r]:
            rows = np.flatnonzero((release_code == r) & (placement_code == p))
            passed = table["_candidates"].take(pa.array(rows)).combine_chunks()
            columns = _columns_of(release_of(releases[r]), placements[p], actions)
            at = columns[pc.list_flatten(passed).to_numpy()]
            result[rows[pc.list_parent_indices(passed).to_numpy()][at >= 0], at[at >= 0]] = True
    return result


def _columns_of(release: Release, placement: str, actions: tuple[str, ...]) -> Ints:
    """Return each candidate's position in `actions`, (n_candidates,); -1 if it does not fit the placement."""
    code = {a: n for n, a in enumerate(actions)}
    columns = [code.get(a.id, -1) if placement in t.placements else -1 for a, t in release.candidates]
    return np.array(columns, dtype=np.int64)


def _codes(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Ints]:
    """Return the names that occur, sorted, and each row's position (n,) among them."""
    names = sorted(pc.unique(column).to_pylist())
    return tuple(names), np.asarray(pc.index_in(column, pa.array(names, pa.string())).to_numpy(), dtype=np.int64)


def _treatments(column: pa.ChunkedArray, action: Ints, n: int) -> tuple[tuple[tuple[str, ...], ...], Ints]:
    """Return the sorted treatments of each of `n` actions, and each row's code (n_rows,) within its action's.

    The code is -1 where the treatment is unknown.
    """
    names, name_code = _codes(column)
    treatments, code = [], np.full(len(name_code), -1, dtype=np.int64)
    for a in range(n):
        rows = action == a
        own = [c for c in np.unique(name_code[rows]).tolist() if names[c]]
        code_of_name = np.full(len(names), -1, dtype=np.int64)
        code_of_name[own] = np.arange(len(own))
        code[rows] = code_of_name[name_code[rows]]
        treatments.append(tuple(names[c] for c in own))
    return tuple(treatments), code


def _filled(table: pa.Table, schema: FeatureSchema, history: "History", release_of: ReleaseOf) -> pa.Table:
    """Return the table with the facts that were not served replaced by those known at the time of the row.

    What is collected for a purpose stays unknown, as nothing tells whether it was permitted then.
    """
    stored = [f.name for f in schema.learnable if f.source in ("profile", "model") and f.purpose is None]
    unserved = _unserved(table["_release"], stored, release_of)
    rows = np.flatnonzero(np.any(list(unserved.values()), axis=0)) if unserved else np.zeros(0, dtype=np.int64)
    if not len(rows):
        return table
    keys = table.take(pa.array(rows))
    entities = pa.table({"subject": keys["_stream"], "event_timestamp": keys["_at_us"].cast(TIME)})
    past = history.point_in_time(entities)
    position = np.full(len(table), -1, dtype=np.int64)
    position[rows] = np.arange(len(rows))
    positions = pa.array(position, mask=position < 0)
    for name, missing in unserved.items():
        past_values = past[name].take(positions).cast(table.schema.field(name).type)
        served = table[name]
        fill = pc.and_(pa.array(missing), pc.is_null(served))
        table = table.set_column(table.schema.get_field_index(name), name, pc.if_else(fill, past_values, served))
    return table


def _unserved(releases: pa.ChunkedArray, names: list[str], release_of: ReleaseOf) -> Mapping[str, Bools]:
    """Return feature -> whether each row's release did not serve it, bool (n,), without features that all served."""
    schema_of = lru_cache(lambda digest: release_of(digest).schema)
    hashes, code = _codes(pc.fill_null(releases, ""))
    unserved = {n: np.array([not h or n not in schema_of(h) for h in hashes], dtype=np.bool_) for n in names}
    return {n: missing[code] for n, missing in unserved.items() if missing.any()}
