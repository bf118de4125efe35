"""Rows of history out of statements: merged with the rows that a subject has, or at once for those who have none."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.profile.fitting import fit_to, kept_columns, place_of
from features.profile.versions import (
    Row,
    Stamp,
    State,
    Statement,
    Version,
    decode_stamps,
    encode_stamps,
    history,
    statements_in,
)
from features.views import TIME, ProfileView

HEAD = 4
"""Number of columns before the features: subject, event_timestamp, created, stamps."""
Positions = np.ndarray[tuple[int], np.dtype[np.intp]]
StatementsBySubject = Mapping[str, Sequence[Statement]]


def merge(old: pa.Table, view: ProfileView, new: pa.Table | None, further_statements: StatementsBySubject) -> pa.Table:
    """Return the history of everything in `old`, `new` (one statement per row) and `further_statements`, sorted.

    Subjects that are in `new` once and not in `old` need no merging. They take a vectorised path, as those do whose
    statement is later than all that is in `old`.
    """
    statements = {subject: list(own) for subject, own in further_statements.items()}
    added: list[pa.Table] = []
    if new is not None:
        often, in_old = is_about(new, repeated(new["subject"])), is_about(new, old["subject"])
        added.append(fit_to(statement_rows(new.filter(pc.invert(pc.or_(often, in_old))), view), old.schema))
        later, others = _appended(old, new.filter(pc.and_not(in_old, often)), view)
        added.append(later)
        statements |= _statements(pa.concat_tables([others, new.filter(often)]))
    changed = is_about(old, list(statements))
    for subject, states in _states(old.filter(changed)).items():
        statements[subject] = [*statements[subject], *statements_in(states)]
    merged = _full_rows(statements, old.schema)
    return pa.concat_tables([old.filter(pc.invert(changed)), merged, *added]).sort_by(
        [("subject", "ascending"), ("event_timestamp", "ascending"), ("created", "ascending")]
    )


def _appended(old: pa.Table, new: pa.Table, view: ProfileView) -> tuple[pa.Table, pa.Table]:
    """Return a row of history for each statement that comes after all of its subject's, and the other statements.

    `old` is sorted, and has rows of each subject of `new`, which has one statement of each. Such a row is the subject's
    last row with the new values, because later events change no earlier row. A statement that the last row holds
    already is in neither result: a repeated import changes nothing.
    """
    if not new.num_rows:
        return old.schema.empty_table(), new
    first = first_rows(old["subject"])
    last = np.append(first[1:], old.num_rows) - 1
    which = pc.index_in(new["subject"], value_set=old["subject"].take(first).combine_chunks()).to_numpy()
    ends = old.take(last[which])
    recorded = np.maximum.reduceat(micros(old["created"]), first)[which]
    event, created = micros(new["event_timestamp"]), micros(new["created"])
    late = (event > micros(ends["event_timestamp"])) & (created >= recorded)
    rows = _overlaid(ends, new, view)
    held = _same(rows, ends)
    return rows.filter(pa.array(late)), new.filter(pa.array(~(late | held)))


def first_rows(subjects: pa.ChunkedArray) -> Positions:
    """Return the position of the first row of each subject in a column that is sorted."""
    codes = subjects.combine_chunks().dictionary_encode().indices.to_numpy()
    return np.flatnonzero(np.diff(codes, prepend=-1))


def _overlaid(ends: pa.Table, new: pa.Table, view: ProfileView) -> pa.Table:
    """Return the rows `ends` with the times and the values of `new`, row by row."""
    rows, schema = statement_rows(new, view), ends.schema
    names, texts = rows.schema.names[HEAD:], ends[view.stamps].combine_chunks().dictionary_encode()
    old = [decode_stamps(text) for text in texts.dictionary.to_pylist()]
    keys = np.stack([texts.indices.to_numpy(), micros(new["event_timestamp"]), micros(new["created"])], axis=1)
    distinct, which = np.unique(keys, axis=0, return_inverse=True)
    encoded = [encode_stamps({**old[i], **dict.fromkeys(names, Stamp(int(e), int(c)))}) for i, e, c in distinct]
    stamps = pa.chunked_array([pa.array(encoded, pa.string()).take(pa.array(which.reshape(-1)))])
    stale = [column for name, column in kept_columns(ends.schema) if name in names]
    ends = ends.drop_columns(stale)
    columns = {name: rows[name] if name in rows.schema.names else ends[name] for name in ends.schema.names}
    return fit_to(pa.table({**columns, view.stamps: stamps}), schema)


def _same(one: pa.Table, other: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which rows of two tables have the same cells, two nulls being the same."""
    same = np.ones(one.num_rows, np.bool_)
    for a, b in zip(map(_bits, one.columns), map(_bits, other.columns), strict=True):
        equal = pc.fill_null(pc.equal(a, b), False)
        same &= pc.or_(equal, pc.and_(a.is_null(), b.is_null())).to_numpy(zero_copy_only=False)
    return same


def _bits(column: pa.ChunkedArray) -> pa.Array:
    """Return floats as the integers of their bits, so that zero differs from minus zero as it does in `wins`."""
    whole = column.combine_chunks()
    return whole.view(pa.int64()) if pa.types.is_float64(whole.type) else whole


def is_about(table: pa.Table, subjects: Sequence[str] | pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a bool column (n,): whether the row is about one of `subjects`."""
    values = subjects if isinstance(subjects, pa.Array | pa.ChunkedArray) else pa.array(subjects, pa.string())
    return pc.is_in(table["subject"], value_set=values)


def repeated(subjects: pa.ChunkedArray) -> pa.Array:
    """Return the subjects that occur more than once."""
    counts = pc.value_counts(subjects)
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def statement_rows(table: pa.Table, view: ProfileView) -> pa.Table:
    """Return statements about a view's features as rows of history: the same values, with the times of each.

    `table` has one row per statement, with columns subject, event_timestamp, created and any features.
    """
    names = [f.name for f in view.features if f.name in table.schema.names]
    times = np.stack([micros(table["event_timestamp"]), micros(table["created"])], axis=1)
    pairs, which = np.unique(times, axis=0, return_inverse=True)
    texts = [encode_stamps(dict.fromkeys(names, Stamp(int(e), int(c)))) for e, c in pairs]
    stamps = pa.array(texts, pa.string()).take(pa.array(which.reshape(-1)))
    rows = table.select(["subject", "event_timestamp", "created", *names])
    return rows.add_column(HEAD - 1, view.stamps, stamps)


def micros(column: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return timestamps as int64 microseconds UTC, shape (n,)."""
    return column.cast(TIME).cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]


def _statements(table: pa.Table) -> dict[str, list[Statement]]:
    statements: dict[str, list[Statement]] = {}
    names = [n for n in table.schema.names if n not in ("subject", "event_timestamp", "created")]
    stamps = map(Stamp, micros(table["event_timestamp"]).tolist(), micros(table["created"]).tolist())
    facts = table.select(names).to_pylist()
    for subject, stamp, row in zip(table["subject"].to_pylist(), stamps, facts, strict=True):
        statements.setdefault(subject, []).append(Statement(stamp, row))
    return statements


def _states(table: pa.Table) -> dict[str, list[State]]:
    states: dict[str, list[State]] = {}
    for subject, state in zip(table["subject"].to_pylist(), states_of(table), strict=True):
        states.setdefault(subject, []).append(state)
    return states


def states_of(table: pa.Table) -> list[State]:
    """Return the versions in each row of a history table, in the order of its rows."""
    stamps = table.column(HEAD - 1).to_pylist()
    facts = table.select(table.schema.names[HEAD:]).to_pylist()
    for name, column in kept_columns(table.schema):
        for row in facts:
            row[name] = row[column] if row[name] is None else row[name]
    return [
        {name: Version(row[name], stamp) for name, stamp in decode_stamps(text).items()}
        for text, row in zip(stamps, facts, strict=True)
    ]


def _full_rows(statements: Mapping[str, Iterable[Statement]], schema: pa.Schema) -> pa.Table:
    records = [_record(subject, row, schema) for subject, own in statements.items() for row in history(own)]
    return pa.Table.from_pylist(records, schema=schema)


def _record(subject: str, row: Row, schema: pa.Schema) -> dict[str, object]:
    stamps = encode_stamps({name: version.stamp for name, version in row.state.items()})
    head = (subject, row.event_us, row.created_us, stamps)
    values = {place_of(schema, name, version.value): version.value for name, version in row.state.items()}
    return dict(zip(schema.names[:HEAD], head, strict=True)) | values
