"""Customers as a float64 matrix: one builder for training (columns) and serving (one customer), equal to the bit."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from decisioning.errors import Refused
from decisioning.facts.schema import Dtype, Facts, Feature, FeatureSchema, Value
from decisioning.rules import Columns
from decisioning.rules import columns_of as rule_columns
from decisioning.rules.single import as_float

__all__ = ["Columns", "FeatureMatrix", "columns_from_table", "columns_of"]

NAN = math.nan
_PLAIN = frozenset({float, int, type(None)})
OneHot = Mapping[str | None, tuple[float, ...]]
"""Value of an enum -> its cells; None -> the cells of an unknown value."""


class FeatureMatrix:
    """The learnable features of a schema, ordered by name; an enum has one column per value, in sorted order.

    `names[i]` is what column i holds: a feature, or `feature=value`. Unknown is NaN, in all columns of an enum.
    """

    def __init__(self, schema: FeatureSchema) -> None:
        self.features = schema.learnable
        self._plan = tuple((f.name, f.dtype, _one_hot(f) if f.dtype == "enum" else None) for f in self.features)
        self.names: tuple[str, ...] = tuple(name for f in self.features for name in _names(f))
        numbers = [f.name for f in self.features if f.dtype not in ("enum", "bool")]
        self._number_names = tuple(numbers)
        self._number_columns = np.asarray([self.names.index(name) for name in numbers], dtype=np.int64)
        firsts = ((self.names.index(_names(f)[0]), f) for f in self.features if f.dtype in ("enum", "bool"))
        self._others = tuple((n, f.name, _one_hot(f) if f.dtype == "enum" else None) for n, f in firsts)

    def row(self, facts: Facts) -> NDArray[np.float64]:
        """Return the features of one customer, shape (n_features,)."""
        row = np.empty(len(self.names))
        row[self._number_columns] = _numbers_of([facts.get(name) for name in self._number_names])
        for first, name, one_hot in self._others:
            value = facts.get(name)
            if one_hot is None:
                row[first] = float(value) if isinstance(value, bool) else NAN
            else:
                cells = one_hot.get(value if isinstance(value, str) else None) or one_hot[None]
                row[first : first + len(cells)] = cells
        return row

    def rows(self, columns: Columns, n: int) -> NDArray[np.float64]:
        """Return n customers, shape (n, n_features), C-contiguous; a feature without a column is unknown for all."""
        matrix = np.full((n, len(self.names)), NAN)
        at = 0
        for name, _, one_hot in self._plan:
            width = 1 if one_hot is None else len(one_hot[None])
            if name in columns:
                block = matrix[:, at : at + width]
                block[:] = _numbers(columns[name]) if one_hot is None else _hot(columns[name], one_hot)
            at += width
        return matrix


def _numbers_of(values: list[Value | None]) -> NDArray[np.float64]:
    """Return values (n,) as numbers, NaN where one is none; numpy converts them at once if all are floats or ints."""
    if _PLAIN.issuperset(map(type, values)):
        try:
            return _finite(np.array(values, dtype=np.float64))
        except OverflowError:  # an int that no float can hold
            pass
    floats = map(as_float, values)
    return np.array([NAN if number is None else number for number in floats], dtype=np.float64)


def _names(feature: Feature) -> list[str]:
    return [f"{feature.name}={v}" for v in sorted(feature.values)] if feature.dtype == "enum" else [feature.name]


def _one_hot(feature: Feature) -> OneHot:
    values = sorted(feature.values)
    table: dict[str | None, tuple[float, ...]] = {v: tuple(float(v == w) for w in values) for v in values}
    return {**table, None: (NAN,) * len(values)}


def _numbers(column: NDArray[Any]) -> NDArray[np.float64]:
    return _finite(np.asarray(column, dtype=np.float64))[:, None]


def _hot(column: NDArray[Any], one_hot: OneHot) -> NDArray[np.float64]:
    unknown = one_hot[None]
    cells = [one_hot.get(v if isinstance(v, str) else None, unknown) for v in column]
    return np.array(cells, dtype=np.float64).reshape(len(column), len(unknown))


def columns_of(facts: Sequence[Facts], schema: FeatureSchema) -> Columns:
    """Return every feature of the schema as a column, shape (len(facts),); wrong types are unknown, as in `row`."""
    return rule_columns(facts, schema.features.values())


def columns_from_table(table: pa.Table, schema: FeatureSchema) -> Columns:
    """Return the table's columns that are features, in the format of `columns_of`.

    :raises Refused: a column has another type than its feature
    """
    return {name: _from_arrow(table[name], schema[name]) for name in table.schema.names if name in schema}


def _from_arrow(column: pa.ChunkedArray, feature: Feature) -> NDArray[Any]:
    try:
        if feature.dtype in ("string", "enum"):
            texts: NDArray[Any] = column.cast(pa.string()).to_numpy()
            return texts.astype(object)
        return _finite(_as_numbers(column, feature.dtype))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise Refused(f"column {feature.name} is {column.type}, not {feature.dtype}") from None


def _as_numbers(column: pa.ChunkedArray, dtype: Dtype) -> NDArray[np.float64]:
    kind = column.type
    if dtype == "timestamp" and pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    elif dtype == "bool":
        column = _of_type(column, pa.types.is_boolean(kind)).cast(pa.int8())
    else:
        column = _of_type(column, pa.types.is_integer(kind) or pa.types.is_floating(kind))
    numbers: NDArray[np.float64] = pc.fill_null(column.cast(pa.float64(), safe=False), NAN).to_numpy()
    return numbers


def _of_type(column: pa.ChunkedArray, fits: bool) -> pa.ChunkedArray:
    """Return the column if it fits or holds only nulls, which have no type of their own."""
    if not fits and not pa.types.is_null(column.type):
        raise pa.ArrowInvalid("another type")
    return column


def _finite(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(numbers), numbers, NAN)
