"""Rows of history out of statements: merged with the rows that a subject has, or at once for those who have none."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.errors import Refused
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
StatementsBySubject = Mapping[str, Sequence[Statement]]


def fit(table: pa.Table, view: ProfileView) -> pa.Table:
    """Return `table` with the columns and types of `view`, in its order, then columns of undeclared features."""
    extra = [table.schema.field(name) for name in table.schema.names if name not in view.arrow_schema.names]
    columns = [_column(table, field) for field in [*view.arrow_schema, *extra]]
    return pa.table(columns, schema=pa.schema([*view.arrow_schema, *extra]))


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name not in table.schema.names:
        return pa.chunked_array([pa.nulls(table.num_rows, field.type)])
    try:
        return table[field.name].cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        old = table.schema.field(field.name).type
        raise Refused(
            f"feature {field.name} is kept as {old} and its history does not fit {field.type}: give it a new name"
        ) from None


def merge(old: pa.Table, view: ProfileView, new: pa.Table | None, further_statements: StatementsBySubject) -> pa.Table:
    """Return the history of everything in `old`, `new` (one statement per row) and `further_statements`, sorted.

    Subjects that are in `new` once and not in `old` need no merging and take a vectorised path.
    """
    statements, single = {subject: list(own) for subject, own in further_statements.items()}, None
    if new is not None:
        in_old = is_about(new, old["subject"])
        to_merge = pc.or_(in_old, is_about(new, repeated(new["subject"])))
        single = statement_rows(new.filter(pc.invert(to_merge)), view)
        statements = {**statements, **_statements(new.filter(to_merge))}
    changed = is_about(old, list(statements))
    for subject, states in _states(old.filter(changed)).items():
        statements[subject] = [*statements[subject], *statements_in(states)]
    merged = _full_rows(statements, old.schema)
    parts = [old.filter(pc.invert(changed)), merged, *([fit_to(single, old.schema)] if single is not None else [])]
    return pa.concat_tables(parts).sort_by(
        [("subject", "ascending"), ("event_timestamp", "ascending"), ("created", "ascending")]
    )


def fit_to(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` with exactly the columns of `schema`, null where the table has none."""
    return pa.table([_column(table, field) for field in schema], schema=schema)


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
    values = {name: version.value for name, version in row.state.items()}
    return dict(zip(schema.names[:HEAD], head, strict=True)) | values
