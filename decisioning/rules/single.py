"""Evaluation of rules for one customer: syntax trees are compiled to one Python function without branches.

UNKNOWN is None, and the function never raises. All arithmetic is IEEE float64, so that it agrees bit for bit with
`decisioning.rules.column`. Names in the generated source are our own (`v1`, `c2`); whatever comes from a rule or a
catalogue is a constant that the source refers to. A fact is read once, however many rules of a function read it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
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
Evaluation = Callable[[Facts, History], tuple[Any, ...]]
"""(facts, history) -> the value of each of several formulas, None where it is UNKNOWN."""


def compile_closure(node: Node, schema: Mapping[str, Feature]) -> Closure:
    """Return the function that evaluates `node`, which has passed the type check against `schema`."""
    code = _Code(schema)
    return code.function(code.of(node))


def compile_together(nodes: Sequence[Node | None], schema: Mapping[str, Feature]) -> Evaluation:
    """Return a function that evaluates all `nodes`, none of which asks about its own action; None gives None."""
    code = _Code(schema)
    values = ["None" if node is None else code.of(node) for node in nodes]
    evaluate = code.function(f"({''.join(f'{value}, ' for value in values)})")
    return lambda facts, history: evaluate(facts, history, None)


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


class _Code:
    """The statements of one function, each of which assigns a variable once."""

    def __init__(self, schema: Mapping[str, Feature]) -> None:
        self._schema = schema
        self._lines: list[str] = []
        self._constants: dict[str, Any] = dict(_HELPERS)
        self._facts: dict[str, str] = {}

    def of(self, node: Node) -> str:
        """Add the statements that evaluate a node, and return the name of its value."""
        if isinstance(node, Literal):
            return self.constant(node.value)
        if isinstance(node, Read):
            if node.name not in self._facts:
                self._facts[node.name] = self._read(self._schema[node.name])
            return self._facts[node.name]
        return _EMIT[type(node)](node, self)

    def constant(self, value: object) -> str:
        """Return a name for a value that the source refers to."""
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return name

    def assign(self, expression: str) -> str:
        """Add a statement, and return the name of the variable that it assigns."""
        name = f"v{len(self._lines)}"
        self._lines.append(f"{name} = {expression}")
        return name

    def where_known(self, nodes: Sequence[Node], expression: str) -> str:
        """Assign an expression over the values of `nodes`, which it names {0}, {1}; UNKNOWN where one of them is."""
        values = [self.of(node) for node in nodes]
        unknown = [f"{v} is None" for node, v in zip(nodes, values, strict=True) if not isinstance(node, Literal)]
        known = expression.format(*values)
        return self.assign(f"None if {' or '.join(unknown)} else {known}" if unknown else known)

    def function(self, result: str) -> Closure:
        """Return the function that evaluates all statements and returns `result`."""
        namespace = self._constants
        exec(compile(self.source(result), "<rules>", "exec"), namespace)  # noqa: S102 (see `source`)
        evaluate: Closure = namespace["evaluate"]
        return evaluate

    def source(self, result: str) -> str:
        """Return the source of the function: words of Python and names of ours, never a text of a rule or feature."""
        body = "".join(f"    {line}\n" for line in self._lines)
        return f"def evaluate(facts, history, action):\n    get = facts.get\n{body}    return {result}\n"

    def _read(self, feature: Feature) -> str:
        value = self.assign(f"get({self.constant(feature.name)})")
        if feature.dtype == "bool":
            return self.assign(f"{value} if {value} is True or {value} is False else None")
        if feature.dtype in ("string", "enum"):
            declared = f" and {value} in {self.constant(frozenset(feature.values))}" if feature.dtype == "enum" else ""
            return self.assign(f"{value} if isinstance({value}, str){declared} else None")
        limit = self.constant(limit_of(feature))
        plain = f"type({value}) is float and -{limit} < {value} < {limit}"
        return self.assign(f"{value} if {plain} else _number({value}, {limit})")


def _number(value: object, limit: float) -> float | None:
    """Return a number below the limit as float64, None for anything else."""
    number = as_float(value)
    return number if number is not None and -limit < number < limit else None


def _divided(first: float, second: float) -> float | None:
    return first / second if second != 0.0 else None


def _remainder(first: float, second: float) -> float | None:
    return math.fmod(first, second) if second != 0.0 else None


_HELPERS = {"_number": _number, "_divided": _divided, "_remainder": _remainder, "_inf": math.inf}


def _logic(node: Logic, code: _Code) -> str:
    """Kleene's OR, in which TRUE decides, or AND, in which FALSE decides."""
    values = [code.of(part) for part in node.parts]
    decides, neutral = ("False", "True") if node.op == "&&" else ("True", "False")
    decided = " or ".join(f"{v} is {decides}" for v in values)
    unknown = " or ".join(f"{v} is None" for v in values)
    return code.assign(f"{decides} if {decided} else None if {unknown} else {neutral}")


def _arithmetic(node: Arithmetic, code: _Code) -> str:
    known = {"/": "_divided({0}, {1})", "%": "_remainder({0}, {1})"}.get(node.op, "{0} " + node.op + " {1}")
    value = code.where_known((node.left, node.right), known)
    return code.assign(f"{value} if {value} is not None and -_inf < {value} < _inf else None")


def _choose(node: Conditional, code: _Code) -> str:
    condition, then, other = code.of(node.condition), code.of(node.then), code.of(node.other)
    return code.assign(f"None if {condition} is None else {then} if {condition} else {other}")


def _default(node: Default, code: _Code) -> str:
    value, other = code.of(node.of), code.of(node.other)
    return code.assign(f"{other} if {value} is None else {value}")


def _history_count(node: HistoryCount, code: _Code) -> str:
    action = "action" if node.action is None else code.constant(node.action)
    return code.assign(f"float(history({action}, {code.constant(node.outcome)}, {code.constant(node.window_us)}))")


_EMIT: Mapping[type[Node], Callable[[Any, _Code], str]] = {
    Logic: _logic,
    Not: lambda node, code: code.where_known((node.of,), "not {0}"),
    Compare: lambda node, code: code.where_known((node.left, node.right), "{0} " + node.op + " {1}"),
    Membership: lambda node, code: code.where_known(
        (node.of,), "{0} in " + code.constant(frozenset(v.value for v in node.values))
    ),
    StartsWith: lambda node, code: code.where_known((node.of,), "{0}.startswith(" + code.constant(node.prefix) + ")"),
    Arithmetic: _arithmetic,
    Negate: lambda node, code: code.where_known((node.of,), "-{0}"),
    MinMax: lambda node, code: code.where_known(
        (node.left, node.right), "{0} if {0} " + ("<=" if node.op == "min" else ">=") + " {1} else {1}"
    ),
    Conditional: _choose,
    IsKnown: lambda node, code: code.assign(f"{code.of(node.of)} is not None"),
    Default: _default,
    HistoryCount: _history_count,
}
