"""How a fact moves a rule: whether more of it can only make the rule true, only make it false, or either.

Sound, not complete: `MIXED` if it cannot tell. A text is considered value by value: `plan == "plus"` moves with
(plan, plus). UNKNOWN is no direction: only known values of a fact are compared with each other.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from decisioning.rules.nodes import (
    Arithmetic,
    Compare,
    Default,
    Literal,
    Logic,
    Membership,
    MinMax,
    Negate,
    Node,
    Not,
    Read,
    children,
)

FactKey = tuple[str, str | None]
"""A feature's name and, for a text, the value that is considered."""


class Direction(IntEnum):
    """How a rule or a number moves with a fact. The negative of UP is DOWN."""

    DOWN = -1
    NONE = 0
    UP = 1
    MIXED = 2

    def flipped(self) -> "Direction":
        """Return the opposite direction; MIXED and NONE are their own opposites."""
        return self if self is Direction.MIXED else Direction(-self)


Directions = Mapping[FactKey, Direction]


def directions(node: Node) -> Directions:
    """Return how the value of `node` moves with each fact that is read in it."""
    return _BY_NODE.get(type(node), _mixed)(node)


def _member(node: Membership) -> Directions:
    if isinstance(node.of, Read) and all(isinstance(v.value, str) for v in node.values):
        return {(node.of.name, str(v.value)): Direction.UP for v in node.values}
    return _mixed(node)


def _compare(node: Compare) -> Directions:
    if node.op in ("==", "!="):
        return _flip(_equal(node)) if node.op == "!=" else _equal(node)
    left, right = directions(node.left), directions(node.right)
    return _join(left, _flip(right)) if node.op in (">", ">=") else _join(_flip(left), right)


def _equal(node: Compare) -> Directions:
    read, other = (node.left, node.right) if isinstance(node.right, Literal) else (node.right, node.left)
    if isinstance(other, Literal) and isinstance(other.value, bool):
        return directions(read) if other.value else _flip(directions(read))
    while isinstance(read, Default) and isinstance(read.other, Literal):
        read = read.of
    if isinstance(read, Read) and isinstance(other, Literal) and isinstance(other.value, str):
        return {(read.name, other.value): Direction.UP}
    return _mixed(node)


def _arithmetic(node: Arithmetic) -> Directions:
    left, right = directions(node.left), directions(node.right)
    if node.op in ("+", "-"):
        return _join(left, right if node.op == "+" else _flip(right))
    by = node.right if isinstance(node.right, Literal) else node.left
    if isinstance(by, Literal) and (node.op == "*" or (node.op == "/" and by is node.right)):
        product = left if by is node.right else right
        return product if float(by.value) >= 0 else _flip(product)
    return _mixed(node)


def _flip(ways: Directions) -> Directions:
    return {fact: way.flipped() for fact, way in ways.items()}


def _join(*parts: Directions) -> Directions:
    joined: dict[FactKey, Direction] = {}
    for part in parts:
        for fact, way in part.items():
            before = joined.get(fact, Direction.NONE)
            joined[fact] = (
                way if before in (Direction.NONE, way) else before if way is Direction.NONE else Direction.MIXED
            )
    return joined


def _mixed(node: Node) -> Directions:
    if isinstance(node, Read):
        return {(node.name, None): Direction.MIXED}
    return {fact: Direction.MIXED for child in children(node) for fact in _mixed(child)}


_BY_NODE: Mapping[type[Node], Callable[[Any], Directions]] = {
    Read: lambda node: {(node.name, None): Direction.UP},
    Not: lambda node: _flip(directions(node.of)),
    Negate: lambda node: _flip(directions(node.of)),
    Logic: lambda node: _join(*map(directions, node.parts)),
    MinMax: lambda node: _join(directions(node.left), directions(node.right)),
    Default: lambda node: _join(directions(node.of), directions(node.other)),
    Compare: _compare,
    Membership: _member,
    Arithmetic: _arithmetic,
}
