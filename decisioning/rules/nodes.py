"""The syntax tree of a rule. Numbers, timestamps (us since 1970 UTC) and durations (us) are floats."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal as OneOf

KindName = OneOf["number", "bool", "text", "timestamp", "duration"]
LogicOp = OneOf["&&", "||"]
CompareOp = OneOf["==", "!=", "<", "<=", ">", ">="]
ArithmeticOp = OneOf["+", "-", "*", "/", "%"]
MinMaxOp = OneOf["min", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Base of all nodes. `start` and `end` are the offsets of its text in the rule; a leaf has `depth` 1."""

    start: int
    end: int
    depth: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    value: float | bool | str
    kind: KindName


@dataclass(frozen=True, slots=True)
class Read(Node):
    """The value of a feature of the customer or the request."""

    name: str


@dataclass(frozen=True, slots=True)
class Logic(Node):
    op: LogicOp
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not(Node):
    of: Node


@dataclass(frozen=True, slots=True)
class Compare(Node):
    op: CompareOp
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Membership(Node):
    """`of in [values]`."""

    of: Node
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    op: ArithmeticOp
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Negate(Node):
    of: Node


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`condition ? then : other`."""

    condition: Node
    then: Node
    other: Node


@dataclass(frozen=True, slots=True)
class IsKnown(Node):
    of: Node


@dataclass(frozen=True, slots=True)
class Default(Node):
    of: Node
    other: Node


@dataclass(frozen=True, slots=True)
class HistoryCount(Node):
    """`history(action, outcome, window)`; `action` None means the candidate's own."""

    action: str | None
    outcome: str
    window_us: int


@dataclass(frozen=True, slots=True)
class MinMax(Node):
    op: MinMaxOp
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class StartsWith(Node):
    of: Node
    prefix: str


def children(node: Node) -> Iterator[Node]:
    """Yield the nodes directly below `node`, from left to right."""
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from value


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and every node below it."""
    yield node
    for child in children(node):
        yield from walk(child)
