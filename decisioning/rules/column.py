"""Evaluation of a rule for a column of customers with numpy; each row equals `decisioning.rules.single`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.facts.schema import Facts, Feature
from decisioning.rules.nodes import (
    Arithmetic,
    Compare,
    Conditional,
    Default,
    HistoryCount,
    IsKnown,
    Literal,
    Logic,
    Membership,
    MinMax,
    Negate,
    Node,
    Not,
    Read,
    StartsWith,
)
from decisioning.rules.single import as_float, limit_of

Columns = Mapping[str, NDArray[Any]]
"""One array of shape (n,) per feature: float64 with NaN for UNKNOWN (numbers, timestamps; bools as 0.0 and 1.0), or
object with None for UNKNOWN (strings, enums). An absent column is UNKNOWN in every row.
"""
ColumnHistory = Callable[[str, str, int], NDArray[np.float64]]
"""(action id, outcome, window in microseconds) -> how often it happened, float64 of shape (n,), never UNKNOWN."""


@dataclass(frozen=True, slots=True)
class KleeneColumn:
    """Truth of n rows as two bool arrays of shape (n,): a row in neither is UNKNOWN, and no row is in both."""

    true: NDArray[np.bool_]
    false: NDArray[np.bool_]


Result = KleeneColumn | NDArray[Any]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
}


def columns_of(rows: Sequence[Facts], features: Iterable[Feature]) -> Columns:
    """Return the facts of n customers as `Columns`, with the types that a single evaluation accepts."""
    return {f.name: _column([row.get(f.name) for row in rows], f) for f in features}


def _column(values: list[object], feature: Feature) -> NDArray[Any]:
    if feature.dtype in ("string", "enum"):
        return _texts(values)
    if feature.dtype == "bool":
        return np.array([float(v) if isinstance(v, bool) else np.nan for v in values], dtype=np.float64)
    floats = (as_float(v) for v in values)
    return np.array([np.nan if v is None else v for v in floats], dtype=np.float64)


def _texts(values: Sequence[object], allowed: frozenset[str] | None = None) -> NDArray[np.object_]:
    """Return texts as object (n,), with None for each value that is not a text or not an allowed one."""
    column = np.empty(len(values), dtype=object)
    column[:] = [v if isinstance(v, str) and (allowed is None or v in allowed) else None for v in values]
    return column


@dataclass(slots=True)
class ColumnEvaluation:
    """One evaluation over n rows. UNKNOWN is NaN for floats and None for texts."""

    columns: Columns
    n: int
    features: Mapping[str, Feature]
    history: ColumnHistory | None
    action: str | None
    _facts: dict[str, Result] = field(default_factory=dict)

    def truth(self, node: Node) -> KleeneColumn:
        """Return the truth of a node of type bool."""
        result = self._of(node)
        assert isinstance(result, KleeneColumn)
        return result

    def values(self, node: Node) -> NDArray[Any]:
        """Return the values, shape (n,), of a node of any other type."""
        result = self._of(node)
        assert not isinstance(result, KleeneColumn)
        return result

    def _of(self, node: Node) -> Result:
        match node:
            case Literal():
                return self._constant(node.value)
            case Read():
                if node.name not in self._facts:
                    self._facts[node.name] = self._fact(self.features[node.name])
                return self._facts[node.name]
            case Conditional():
                truth = self.truth(node.condition)
                return _choose(truth, self._of(node.then), self._of(node.other))
            case Default():
                value = self._of(node.of)
                known = _known(value)
                return _choose(KleeneColumn(known, ~known), value, self._of(node.other))
            case Arithmetic() | Negate() | MinMax() | HistoryCount():
                return self._number(node)
        return self._bool(node)

    def _number(self, node: Arithmetic | Negate | MinMax | HistoryCount) -> NDArray[np.float64]:
        if isinstance(node, HistoryCount):
            return self._count(node)
        if isinstance(node, Negate):
            return -self.values(node.of)
        left, right = self.values(node.left), self.values(node.right)
        if isinstance(node, MinMax):
            first = np.less_equal(left, right) if node.op == "min" else np.greater_equal(left, right)
            return np.where(_known(left) & _known(right), np.where(first, left, right), np.nan)
        result = _ARITHMETIC[node.op](left, right)
        return np.where(np.isfinite(result), result, np.nan)

    def _bool(self, node: Node) -> KleeneColumn:
        match node:
            case Logic():
                return self._logic(node)
            case Not():
                truth = self.truth(node.of)
                return KleeneColumn(truth.false, truth.true)
            case Compare():
                return _compare(node.op, self._of(node.left), self._of(node.right))
            case IsKnown():
                known = _known(self._of(node.of))
                return KleeneColumn(known, ~known)
            case Membership():
                values = self.values(node.of)
                matches = np.zeros(self.n, dtype=bool)
                for value in node.values:
                    matches |= np.equal(values, value.value).astype(bool)
                return _where_known(matches, _known(values))
            case StartsWith():
                texts = self.values(node.of)
                matches = np.fromiter((t is not None and t.startswith(node.prefix) for t in texts), bool, self.n)
                return _where_known(matches, _known(texts))
        raise AssertionError(node)

    def _logic(self, node: Logic) -> KleeneColumn:
        parts = [self.truth(p) for p in node.parts]
        every, some = np.logical_and.reduce, np.logical_or.reduce
        if node.op == "&&":
            return KleeneColumn(every([p.true for p in parts]), some([p.false for p in parts]))
        return KleeneColumn(some([p.true for p in parts]), every([p.false for p in parts]))

    def _constant(self, value: float | bool | str) -> Result:
        if isinstance(value, bool):
            return KleeneColumn(np.full(self.n, value), np.full(self.n, not value))
        return np.full(self.n, value, dtype=object if isinstance(value, str) else np.float64)

    def _fact(self, feature: Feature) -> Result:
        textual = feature.dtype in ("string", "enum")
        column = self.columns.get(feature.name)
        if column is None:
            column = np.full(self.n, None if textual else np.nan, dtype=object if textual else np.float64)
        if column.shape != (self.n,):
            raise ValueError(f"column {feature.name!r} has shape {column.shape}, not ({self.n},)")
        if textual:
            return _texts(column.tolist(), frozenset(feature.values) if feature.dtype == "enum" else None)
        floats = column.astype(np.float64)
        if feature.dtype == "bool":
            return KleeneColumn(floats == 1.0, floats == 0.0)
        return np.where(np.abs(floats) < limit_of(feature), floats, np.nan)

    def _count(self, node: HistoryCount) -> NDArray[np.float64]:
        action = self.action if node.action is None else node.action
        assert self.history is not None  # the caller has checked both
        assert action is not None
        counts = np.asarray(self.history(action, node.outcome, node.window_us), dtype=np.float64)
        if counts.shape != (self.n,):
            raise ValueError(f"history has shape {counts.shape}, not ({self.n},)")
        return counts


def _known(values: Result) -> NDArray[np.bool_]:
    if isinstance(values, KleeneColumn):
        return values.true | values.false
    if values.dtype == object:
        return np.fromiter((v is not None for v in values), bool, len(values))
    return np.isfinite(values)


def _where_known(truth: NDArray[np.bool_], known: NDArray[np.bool_]) -> KleeneColumn:
    return KleeneColumn(truth & known, ~truth & known)


def _compare(op: str, left: Result, right: Result) -> KleeneColumn:
    known = _known(left) & _known(right)
    if isinstance(left, KleeneColumn) and isinstance(right, KleeneColumn):
        truth = _COMPARE[op](left.true, right.true)
    else:
        truth = _COMPARE[op](left, right).astype(bool)
    return _where_known(truth, known)


def _choose(condition: KleeneColumn, then: Result, other: Result) -> Result:
    """Return `then` where the condition is true, `other` where it is false, and UNKNOWN in the remaining rows."""
    if isinstance(then, KleeneColumn) and isinstance(other, KleeneColumn):
        true = (condition.true & then.true) | (condition.false & other.true)
        return KleeneColumn(true, (condition.true & then.false) | (condition.false & other.false))
    assert not isinstance(then, KleeneColumn)
    assert not isinstance(other, KleeneColumn)
    selected = np.full(then.shape, None if then.dtype == object else np.nan, dtype=then.dtype)
    selected[condition.true] = then[condition.true]
    selected[condition.false] = other[condition.false]
    return selected
