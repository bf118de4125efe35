"""Type check of a rule's syntax tree against the feature schema."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from decisioning.facts.schema import Dtype, Feature
from decisioning.rules.errors import RuleError, did_you_mean
from decisioning.rules.nodes import (
    Arithmetic,
    Compare,
    Conditional,
    Default,
    HistoryCount,
    IsKnown,
    KindName,
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


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a node's value.

    `values`: all texts that it can be, or None for any text. `declared`: an enum feature declares those texts.
    """

    name: KindName
    values: frozenset[str] | None = None
    declared: bool = False

    def __str__(self) -> str:
        return _PHRASES[self.name]


NUMBER, BOOL, TEXT = Kind("number"), Kind("bool"), Kind("text")
TIMESTAMP, DURATION = Kind("timestamp"), Kind("duration")

_PHRASES: dict[KindName, str] = {
    "number": "a number",
    "bool": "true or false",
    "text": "a text",
    "timestamp": "a time",
    "duration": "a duration",
}
_OF_DTYPE: dict[Dtype, Kind] = {
    "float": NUMBER,
    "int": NUMBER,
    "bool": BOOL,
    "string": TEXT,
    "timestamp": TIMESTAMP,
}
_ARITHMETIC_KINDS: dict[tuple[str, KindName, KindName], Kind] = {
    **{(op, "number", "number"): NUMBER for op in "+-*/%"},
    **{(op, "duration", "duration"): DURATION for op in "+-"},
    **{(op, "timestamp", "duration"): TIMESTAMP for op in "+-"},
    ("+", "duration", "timestamp"): TIMESTAMP,
    ("-", "timestamp", "timestamp"): DURATION,
}


def kind_of(node: Node, schema: Mapping[str, Feature]) -> Kind:
    """Return the type of `node`; raises RuleError for the first part whose type does not fit."""
    return _Checker(schema).of(node)


class _Checker:
    def __init__(self, schema: Mapping[str, Feature]) -> None:
        self._schema = schema

    def of(self, node: Node) -> Kind:
        return self._CHECK[type(node)](self, node)

    def _of_logic(self, node: Logic) -> Kind:
        for part in node.parts:
            self._require(BOOL, part)
        return BOOL

    def _of_min_max(self, node: MinMax) -> Kind:
        self._require(NUMBER, node.left)
        return self._require(NUMBER, node.right)

    def _of_starts_with(self, node: StartsWith) -> Kind:
        self._require(TEXT, node.of)
        return BOOL

    def _of_known(self, node: IsKnown) -> Kind:
        self.of(node.of)
        return BOOL

    def _of_choose(self, node: Conditional) -> Kind:
        self._require(BOOL, node.condition)
        return _common_kind(self.of(node.then), self.of(node.other), node.other)

    def _require(self, required: Kind, node: Node) -> Kind:
        kind = self.of(node)
        if kind.name != required.name:
            raise RuleError(f"{required} should stand here, this is {kind}", node.start)
        return required

    def _of_read(self, node: Read) -> Kind:
        feature = self._schema.get(node.name)
        if feature is None:
            hint = did_you_mean(node.name, self._schema)
            if node.name == "action":
                hint = 'the bare word action stands only in history(action, "outcome", "90d")'
            raise RuleError(f"unknown feature {node.name!r}", node.start, hint)
        if feature.dtype == "enum":
            return Kind("text", frozenset(feature.values), declared=True)
        return _OF_DTYPE[feature.dtype]

    def _of_compare(self, node: Compare) -> Kind:
        left, right = self.of(node.left), self.of(node.right)
        if left.name != right.name:
            raise RuleError(f"{left} and {right} never compare", node.right.start, _hint(left, right))
        if node.op not in ("==", "!=") and left.name in ("bool", "text"):
            raise RuleError(f"{left} has no order", node.start, "use == or !=")
        _refuse_undeclared(left, right, node.right)
        _refuse_undeclared(right, left, node.left)
        return BOOL

    def _of_arithmetic(self, node: Arithmetic) -> Kind:
        left, right = self.of(node.left), self.of(node.right)
        result = _ARITHMETIC_KINDS.get((node.op, left.name, right.name))
        if result is None:
            wrong = node.left if left.name in ("bool", "text") else node.right
            raise RuleError(f"{left} {node.op} {right} has no meaning", wrong.start, _hint(left, right))
        return result

    def _of_member(self, node: Membership) -> Kind:
        kind = self.of(node.of)
        for value in node.values:
            if value.kind != kind.name:
                raise RuleError(f"{kind} and {_PHRASES[value.kind]} never compare", value.start)
            _refuse_undeclared(kind, _of_literal(value), value)
        return BOOL

    def _of_default(self, node: Default) -> Kind:
        kind, fallback = self.of(node.of), self.of(node.other)
        _refuse_undeclared(kind, fallback, node.other)
        return _common_kind(kind, fallback, node.other)

    _CHECK: ClassVar[dict[type[Node], Callable[["_Checker", Any], Kind]]] = {
        Literal: lambda _self, node: _of_literal(node),
        Read: _of_read,
        Logic: _of_logic,
        Not: lambda self, node: self._require(BOOL, node.of),
        Compare: _of_compare,
        Membership: _of_member,
        Arithmetic: _of_arithmetic,
        Negate: lambda self, node: self._require(NUMBER, node.of),
        Conditional: _of_choose,
        IsKnown: _of_known,
        Default: _of_default,
        HistoryCount: lambda _self, _node: NUMBER,
        MinMax: _of_min_max,
        StartsWith: _of_starts_with,
    }


def _common_kind(left: Kind, right: Kind, node: Node) -> Kind:
    if left.name != right.name:
        raise RuleError(f"both values must be of one type, not {left} and {right}", node.start)
    both = left.values is not None and right.values is not None
    values = (left.values or frozenset()) | (right.values or frozenset()) if both else None
    return Kind(left.name, values, left.declared or right.declared)


def _of_literal(node: Literal) -> Kind:
    return Kind("text", frozenset((node.value,))) if isinstance(node.value, str) else Kind(node.kind)


def _refuse_undeclared(enum: Kind, operand: Kind, node: Node) -> None:
    """Raise RuleError if the rule writes a text that is not among the enum's values."""
    if not enum.declared or operand.declared or enum.values is None or operand.values is None:
        return
    for text in sorted(operand.values - enum.values):
        hint = did_you_mean(text, enum.values) or f"the values are {', '.join(sorted(enum.values)[:10])}"
        raise RuleError(f"{text!r} is not a value of this feature", node.start, hint)


def _hint(left: Kind, right: Kind) -> str | None:
    names = {left.name, right.name}
    if "timestamp" in names and names & {"text", "number"}:
        return 'write a time as timestamp("2026-01-01T00:00:00Z")'
    if "duration" in names and names & {"text", "number"}:
        return 'write a duration as duration("90d")'
    if names == {"timestamp", "duration"}:
        return "subtract two times to get a duration"
    return None
