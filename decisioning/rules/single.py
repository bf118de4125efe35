"""Evaluation of a rule for one customer: the syntax tree is turned into nested closures once.

Every closure returns None for UNKNOWN and never raises. All arithmetic is IEEE float64, so that it agrees bit for bit
with `decisioning.rules.column`.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from decisioning.facts.schema import Facts, Feature
from decisioning.rules.literals import EXACT
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

History = Callable[[str, str, int], int]
"""(action id, outcome, window in microseconds) -> how often it happened; never UNKNOWN."""
Closure = Callable[[Facts, History, str | None], Any]
"""(facts, history, own action) -> float, bool or str, as the type check determined; None is UNKNOWN."""

Build = Callable[[Node], Closure]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": math.fmod,
}


def compile_closure(node: Node, schema: Mapping[str, Feature]) -> Closure:
    """Return the closure that evaluates `node`, which has passed the type check against `schema`."""

    def build(of: Node) -> Closure:
        return reader(schema[of.name]) if isinstance(of, Read) else _BUILD[type(of)](of, build)

    return build(node)


def reader(feature: Feature) -> Closure:
    """Return the closure that reads one fact: a finite float for numbers and timestamps, else bool or str.

    A fact of another type is UNKNOWN, and so is a text that an enum does not declare. A number outside the declared
    range is a fact like any other.
    """
    if feature.dtype == "bool":
        return _read_bool(feature.name)
    if feature.dtype == "string":
        return _read_text(feature.name)
    if feature.dtype == "enum":
        return _read_enum(feature.name, frozenset(feature.values))
    return _read_number(feature.name, limit_of(feature))


def limit_of(feature: Feature) -> float:
    """Return the magnitude at and beyond which a number of this feature is UNKNOWN."""
    return EXACT if feature.dtype in ("int", "timestamp") else math.inf


def as_float(value: object) -> float | None:
    """Return an int or float as float64; None for any other type (also bool), NaN, infinity and overflow."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _read_number(name: str, limit: float) -> Closure:
    def read(facts: Facts, _history: History, _action: str | None) -> float | None:
        value = facts.get(name)
        if type(value) is float:
            return value if -limit < value < limit else None
        if type(value) is int and -EXACT < value < EXACT:
            return float(value)
        number = as_float(value)
        return number if number is not None and -limit < number < limit else None

    return read


def _read_bool(name: str) -> Closure:
    def read(facts: Facts, _history: History, _action: str | None) -> bool | None:
        value = facts.get(name)
        return value if value is True or value is False else None

    return read


def _read_text(name: str) -> Closure:
    def read(facts: Facts, _history: History, _action: str | None) -> str | None:
        value = facts.get(name)
        return value if isinstance(value, str) else None

    return read


def _read_enum(name: str, values: frozenset[str]) -> Closure:
    def read(facts: Facts, _history: History, _action: str | None) -> str | None:
        value = facts.get(name)
        return value if isinstance(value, str) and value in values else None

    return read


def _constant(value: float | bool | str) -> Closure:
    return lambda _facts, _history, _action: value


def _logic(node: Logic, build: Build) -> Closure:
    """Return the closure of Kleene's OR, in which TRUE decides, or AND, in which FALSE decides."""
    parts, absorbing = tuple(build(p) for p in node.parts), node.op == "||"
    neutral = not absorbing

    def evaluate(facts: Facts, history: History, action: str | None) -> bool | None:
        result: bool | None = neutral
        for part in parts:
            truth: bool | None = part(facts, history, action)
            if truth is absorbing:
                return truth
            if truth is None:
                result = None
        return result

    return evaluate


def _compare(node: Compare, build: Build) -> Closure:
    test = _COMPARE[node.op]
    if isinstance(node.right, Literal):
        constant = node.right.value
        return _test(build(node.left), lambda value: test(value, constant))
    return _both(test, build(node.left), build(node.right))


def _member(node: Membership, build: Build) -> Closure:
    return _test(build(node.of), frozenset(v.value for v in node.values).__contains__)


def _starts_with(node: StartsWith, build: Build) -> Closure:
    prefix = node.prefix
    return _test(build(node.of), lambda text: bool(text.startswith(prefix)))


def _test(of: Closure, test: Callable[[Any], Any]) -> Closure:
    """Return the closure that applies `test`, which never fails, to one known value."""

    def evaluate(facts: Facts, history: History, action: str | None) -> Any:
        value = of(facts, history, action)
        return None if value is None else test(value)

    return evaluate


def _both(join: Callable[[Any, Any], Any], left: Closure, right: Closure) -> Closure:
    """Return the closure that applies `join`, which never fails, to two known values."""

    def evaluate(facts: Facts, history: History, action: str | None) -> Any:
        first = left(facts, history, action)
        if first is None:
            return None
        second = right(facts, history, action)
        return None if second is None else join(first, second)

    return evaluate


def _arithmetic(node: Arithmetic, build: Build) -> Closure:
    apply = _ARITHMETIC[node.op]

    def join(first: float, second: float) -> float | None:
        try:
            result = apply(first, second)
        except (ZeroDivisionError, ValueError):  # x / 0; fmod(x, 0)
            return None
        return result if math.isfinite(result) else None

    return _both(join, build(node.left), build(node.right))


def _min_max(node: MinMax, build: Build) -> Closure:
    precedes = operator.le if node.op == "min" else operator.ge
    return _both(
        lambda first, second: first if precedes(first, second) else second, build(node.left), build(node.right)
    )


def _choose(node: Conditional, build: Build) -> Closure:
    condition, then, other = build(node.condition), build(node.then), build(node.other)

    def evaluate(facts: Facts, history: History, action: str | None) -> Any:
        truth = condition(facts, history, action)
        if truth is None:
            return None
        return then(facts, history, action) if truth else other(facts, history, action)

    return evaluate


def _known(node: IsKnown, build: Build) -> Closure:
    of = build(node.of)
    return lambda facts, history, action: of(facts, history, action) is not None


def _default(node: Default, build: Build) -> Closure:
    of, other = build(node.of), build(node.other)

    def evaluate(facts: Facts, history: History, action: str | None) -> Any:
        value = of(facts, history, action)
        return other(facts, history, action) if value is None else value

    return evaluate


def _history_count(node: HistoryCount, _build: Build) -> Closure:
    named_action, outcome, window_us = node.action, node.outcome, node.window_us
    if named_action is not None:
        return lambda _facts, history, _action: float(history(named_action, outcome, window_us))

    def own(_facts: Facts, history: History, action: str | None) -> float:
        assert action is not None  # the caller has checked `per_action`
        return float(history(action, outcome, window_us))

    return own


_BUILD: dict[type[Node], Callable[[Any, Build], Closure]] = {
    Literal: lambda node, _build: _constant(node.value),
    Logic: _logic,
    Not: lambda node, build: _test(build(node.of), operator.not_),
    Compare: _compare,
    Membership: _member,
    StartsWith: _starts_with,
    Arithmetic: _arithmetic,
    Negate: lambda node, build: _test(build(node.of), operator.neg),
    MinMax: _min_max,
    Conditional: _choose,
    IsKnown: _known,
    Default: _default,
    HistoryCount: _history_count,
}
