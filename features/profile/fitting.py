"""Columns of the history in the types of a release.

A rollback may return to a type that newer values do not fit. They stay, in a column beside that of their feature, which
is named after it and their type, until the type fits them again; at any place, at most one of the columns has a value.
"""

from collections.abc import Iterator, Mapping
from types import NoneType

import pyarrow as pa
import pyarrow.compute as pc

from decisioning.errors import Refused
from decisioning.facts.schema import Value
from features.views import ProfileView

PYTHON_OF: Mapping[pa.DataType, tuple[type, ...]] = {
    pa.float64(): (float, int, NoneType),
    pa.int64(): (int, NoneType),
    pa.bool_(): (bool, NoneType),
    pa.string(): (str, NoneType),
}
"""The Python types that a column accepts. A process on the previous release may still send a feature's old dtype."""
_ARROW_OF: Mapping[type, pa.DataType] = {float: pa.float64(), int: pa.int64(), bool: pa.bool_(), str: pa.string()}
_CANNOT_CAST = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


def _kept(name: str, type_: pa.DataType) -> str:
    return f"_{name}.{type_}"


def kept_columns(schema: pa.Schema) -> Iterator[tuple[str, str]]:
    """Yield (feature, column) for each column of values that do not fit their feature's present type."""
    for column in schema.names:
        name, dot, _ = column.removeprefix("_").partition(".")
        if dot:
            yield name, column


def place_of(schema: pa.Schema, name: str, value: object) -> str:
    """Return the column that holds this value of a feature."""
    if value is None or type(value) in PYTHON_OF[schema.field(name).type]:
        return name
    return _kept(name, _ARROW_OF[type(value)])


def fit(table: pa.Table, view: ProfileView, *, keep: bool = False) -> pa.Table:
    """Return `table` with the columns and types of `view`, in its order, then columns of undeclared features.

    If `keep`, values that do not fit a new type are kept beside it; otherwise they raise Refused.
    """
    features = {f.name for f in view.features}
    columns: dict[str, pa.ChunkedArray] = {}
    for field in view.arrow_schema:
        columns[field.name] = _column(table, field) if field.name not in features else pa.nulls(0)
    for name in table.schema.names:
        if name not in columns and name.removeprefix("_").partition(".")[0] not in features:
            columns[name] = table[name]
    for field in view.arrow_schema:
        if field.name in features:
            columns |= _fitted(table, field, keep=keep)
    return pa.table(columns)


def _fitted(table: pa.Table, field: pa.Field, *, keep: bool) -> dict[str, pa.ChunkedArray]:
    """Return the column of a feature, and those of its values that do not fit."""
    columns, sources = {}, [column for name, column in kept_columns(table.schema) if name == field.name]
    old = table.schema.field(field.name).type if field.name in table.schema.names else field.type
    if old == field.type or not keep:
        columns[field.name] = _column(table, field)
    else:
        columns[field.name] = pa.nulls(table.num_rows, field.type)
        sources.insert(0, field.name)
    for source in sources:
        cast = _cast_where_possible(table[source], field.type)
        columns[field.name] = pc.coalesce(columns[field.name], cast)
        if table[source].type != field.type:
            rest = pc.if_else(cast.is_valid(), pa.scalar(None, table[source].type), table[source])
            column = _kept(field.name, table[source].type)
            columns[column] = pc.coalesce(columns[column], rest) if column in columns else rest
    return columns


def _cast_where_possible(column: pa.ChunkedArray, type_: pa.DataType) -> pa.Array:
    """Return the values in another type, null where a value does not fit."""
    try:
        return column.cast(type_).combine_chunks()
    except _CANNOT_CAST:
        texts = column.combine_chunks().dictionary_encode()
        return pa.array([_cast(value, type_) for value in texts.dictionary], type_).take(texts.indices)


def _cast(value: pa.Scalar, type_: pa.DataType) -> Value | None:
    try:
        return value.cast(type_).as_py()  # type: ignore[no-any-return]
    except _CANNOT_CAST:
        return None


def fit_to(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` with exactly the columns of `schema`, null where the table has none."""
    return pa.table([_column(table, field) for field in schema], schema=schema)


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name not in table.schema.names:
        return pa.chunked_array([pa.nulls(table.num_rows, field.type)])
    try:
        return table[field.name].cast(field.type)
    except _CANNOT_CAST:
        old = table.schema.field(field.name).type
        raise Refused(
            f"feature {field.name} is kept as {old} and its history does not fit {field.type}: give it a new name"
        ) from None
