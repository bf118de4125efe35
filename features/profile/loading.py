"""History into an online store: the rows of new subjects in bulk, others merged, so that the newest value wins."""

from collections import Counter
from collections.abc import Mapping
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.profile.archive import Archive, Step
from features.profile.fitting import kept_columns
from features.profile.merging import HEAD, first_rows, is_about, repeated, states_of
from features.profile.spool import Spool
from features.profile.stores.rows import Kind, Online, Table
from features.profile.versions import State, decode_stamps, newer
from features.views import TIME, ProfileView

BULK, CHUNK = 10_000, 500
"""Subjects per write transaction, inserted and merged; chosen so that a load delays live writes by about 100 ms."""
_KINDS: Mapping[pa.DataType, Kind] = {pa.float64(): "d", pa.int64(): "q", pa.bool_(): "?", pa.string(): "s"}


def load_latest(online: Online, archive: Archive, view: ProfileView, step: Step) -> None:
    """Write the last row of the history of each subject; newer values online stay. `step` counts the history's rows."""
    for part in archive.parts(view):
        latest = _latest(part)
        load(online, archive.spool, view.name, latest, step)
        step(part.num_rows - latest.num_rows)


def unfit(archive: Archive) -> dict[str, int]:
    """Return by feature of how many subjects the newest value does not fit its type, and reads as unknown."""
    counts: Counter[str] = Counter()
    for view in archive.views:
        features = {feature.name for feature in view.features}
        columns = [kept for kept in kept_columns(archive.schema(view)) if kept[0] in features]
        for part in archive.parts(view) if columns else ():
            latest = _latest(part)
            counts.update({name: latest.num_rows - latest[column].null_count for name, column in columns})
    return {name: count for name, count in sorted(counts.items()) if count}


def _latest(rows: pa.Table) -> pa.Table:
    """Return the last row of each subject of a table that is sorted by subject and time."""
    return rows.take(np.append(first_rows(rows["subject"])[1:], rows.num_rows) - 1) if rows.num_rows else rows


def load(online: Online, spool: Spool, view: str, rows: pa.Table, step: Step) -> None:
    """Write the versions in `rows`, a table with the columns of a file of history; newer ones that are online stay.

    A subject may have any number of rows, in any order. Everything is on the disk when this returns.
    """
    names = [name for name in rows.schema.names[HEAD:] if not name.startswith("_")]
    table = Table(view, {name: _KINDS[rows.schema.field(name).type] for name in names})
    often = is_about(rows, repeated(rows["subject"]))
    single, rest = rows.filter(pc.invert(often)), [rows.filter(often)]
    parts, mixed = _by_features(single)
    for part, which in parts:
        for start in range(0, part.num_rows, BULK):
            with spool.writing():
                left = online.replace(table, part.slice(start, BULK))
            rest.append(single.take(which.slice(start, BULK).filter(left)))
            step(len(left) - rest[-1].num_rows)
    for others in (*rest, single.take(mixed)):
        states = _states(others)
        merge(online, spool, table, states, step)
        step(others.num_rows - len(states))


def _by_features(rows: pa.Table) -> tuple[list[tuple[pa.Table, pa.Array]], pa.Array]:
    """Return the rows that were stated at one time, in a table per set of features, with their positions in `rows`.

    The second result holds the positions of the other rows, and of those with values that do not fit their type.
    """
    texts = rows.column(HEAD - 1).combine_chunks().dictionary_encode()
    times, groups = np.zeros((len(texts.dictionary), 2), np.int64), dict[tuple[str, ...], list[int]]()
    for i, stamps in enumerate(map(decode_stamps, texts.dictionary.to_pylist())):
        distinct = set(stamps.values())
        names = tuple(stamps) if len(distinct) == 1 else ()
        groups.setdefault(names, []).append(i)
        if names:
            times[i] = distinct.pop()
    codes, parts = texts.indices.to_numpy(), []
    unfit = np.zeros(len(codes), np.bool_)
    for _, column in kept_columns(rows.schema):
        unfit |= rows[column].is_valid().to_numpy()
    mixed = np.flatnonzero(np.isin(codes, groups.pop((), [])) | unfit)
    for names, own in groups.items():
        which = np.flatnonzero(np.isin(codes, own) & ~unfit)
        both = (pa.array(times[codes[which], i]).cast(TIME) for i in (0, 1))
        columns = rows.select(["subject", *names]).take(which)
        for name, column in zip(("event_timestamp", "created"), both, strict=True):
            columns = columns.append_column(name, column)
        parts.append((columns, pa.array(which)))
    return parts, pa.array(mixed, pa.int64())


def _states(rows: pa.Table) -> dict[str, State]:
    """Return the newest versions of each subject."""
    states: dict[str, State] = {}
    for subject, row in zip(rows["subject"].to_pylist(), states_of(rows), strict=True):
        state = states.setdefault(subject, {})
        state.update(newer(state, row))
    return states


def merge(online: Online, spool: Spool, table: Table, states: Mapping[str, State], step: Step) -> None:
    """Write versions of many subjects, by name of the subject; newer ones that are online stay."""
    subjects = list(states)
    for start in range(0, len(subjects), CHUNK):
        chunk = subjects[start : start + CHUNK]
        with spool.writing():
            online.update(table, chunk, partial(_news, states))
        step(len(chunk))


def _news(states: Mapping[str, State], subject: str, stored: State) -> State:
    return newer(stored, states[subject])
