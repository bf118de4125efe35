"""Analysis of why a rule can never be true, by intervals and sets of enum values.

It is sound: it never says so of a rule that can be true. A world is a set of customers. Narrowing a world to the
customers for whom a node is TRUE (or FALSE) gives worlds that together contain all of them, and possibly more. If
there are no worlds left, no customer can make the node TRUE.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import Any, ClassVar

from decisioning.facts.schema import Feature
from decisioning.rules.domains import Assumptions, Domain
from decisioning.rules.formula import Rule
from decisioning.rules.interval import EMPTY, Interval, combine
from decisioning.rules.nodes import (
    Arithmetic,
    Compare,
    CompareOp,
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
    walk,
)

_MAX_WORLDS = 64
_MAX_STEPS = 20_000
_MAX_PAIRED = 40
_MAX_QUOTED = 3
_INVERSE: dict[CompareOp, CompareOp] = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRROR: dict[CompareOp, CompareOp] = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_BOOLS = (Logic, Not, Compare, Membership, IsKnown, StartsWith)


def never_true(rule: Rule, schema: Mapping[str, Feature]) -> str | None:
    """Return why no facts within the schema's ranges and values make the rule TRUE.

    None if some facts may make it TRUE, or if the rule is too complex to tell.
    """
    everyone = Assumptions(schema, {})
    try:
        if _Analysis().narrow(rule.node, True, everyone):
            return None
    except _TooComplexError:
        return None
    try:
        return _Explanation(rule.text, everyone).of(rule.node)
    except _TooComplexError:
        return "its conditions contradict each other"


class _TooComplexError(Exception):
    """The rule has more cases than the analysis looks at."""


class _Analysis:
    def __init__(self) -> None:
        self._steps = 0

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise _TooComplexError

    def narrow(self, node: Node, want: bool, world: Assumptions) -> list[Assumptions]:
        """Return worlds that contain every customer of `world` for whom the bool `node` is `want`."""
        self._count_step()
        worlds = self._NARROW[type(node)](self, node, want, world)
        # too many worlds to follow: the world they came from contains them all
        return worlds if len(worlds) <= _MAX_WORLDS else [world]

    def narrow_all(self, parts: Iterable[Node], want: bool, world: Assumptions) -> list[Assumptions]:
        """Return worlds that contain every customer of `world` for whom all `parts` are `want`."""
        worlds = [world]
        # each part twice: `x != 5 && x == 5` fails only when the first part is assumed after the second
        for part in (*parts, *parts):
            outcomes = [(outer, self.narrow(part, want, outer)) for outer in worlds]
            worlds = [inner for _, narrowed in outcomes for inner in narrowed]
            if len(worlds) > _MAX_WORLDS:
                worlds = [outer for outer, narrowed in outcomes if narrowed]
        return worlds

    def _logic(self, node: Logic, want: bool, world: Assumptions) -> list[Assumptions]:
        if want == (node.op == "&&"):
            return self.narrow_all(node.parts, want, world)
        return [w for part in node.parts for w in self.narrow(part, want, world)]

    def _choose(self, node: Conditional, want: bool, world: Assumptions) -> list[Assumptions]:
        then = [
            w for narrowed in self.narrow(node.condition, True, world) for w in self.narrow(node.then, want, narrowed)
        ]
        other = [
            w for narrowed in self.narrow(node.condition, False, world) for w in self.narrow(node.other, want, narrowed)
        ]
        return then + other

    def _default(self, node: Default, want: bool, world: Assumptions) -> list[Assumptions]:
        unknown = [w for narrowed in _where_unknown(node.of, world) for w in self.narrow(node.other, want, narrowed)]
        return self.narrow(node.of, want, world) + unknown

    def _known(self, node: IsKnown, want: bool, world: Assumptions) -> list[Assumptions]:
        if not want:
            return _where_unknown(node.of, world)
        return world.assume(node.of, world[node.of].only_known()) if isinstance(node.of, Read) else [world]

    def _compare(self, node: Compare, want: bool, world: Assumptions) -> list[Assumptions]:
        op = node.op if want else _INVERSE[node.op]
        return [
            related
            for narrowed, left in self._cases(node.left, world)
            for both, right in self._cases(node.right, narrowed)
            for related in self._relate(op, left, right, both)
        ]

    def _member(self, node: Membership, want: bool, world: Assumptions) -> list[Assumptions]:
        worlds: list[Assumptions] = []
        for narrowed, of in self._cases(node.of, world):
            texts = frozenset(v.value for v in node.values if isinstance(v.value, str))
            if texts:
                domain = self._domain(of, narrowed)
                worlds += _assume(of, domain.within(texts) if want else domain.without(texts), narrowed)
            elif want:
                worlds += [w for value in node.values for w in self._relate("==", of, value, narrowed)]
            else:
                worlds += self._unequal_to_all(of, node.values, narrowed)
        return worlds

    def _unequal_to_all(self, of: Node, values: Iterable[Node], world: Assumptions) -> list[Assumptions]:
        worlds = [world]
        for value in values:
            worlds = [w for narrowed in worlds for w in self._relate("!=", of, value, narrowed)]
        return worlds

    def _starts_with(self, node: StartsWith, want: bool, world: Assumptions) -> list[Assumptions]:
        worlds: list[Assumptions] = []
        for narrowed, of in self._cases(node.of, world):
            domain = self._domain(of, narrowed)
            some = frozenset(t for t in domain.texts or () if t.startswith(node.prefix) == want)
            worlds += _assume(of, domain.only_known() if domain.texts is None else domain.within(some), narrowed)
        return worlds

    def _cases(self, node: Node, world: Assumptions) -> list[tuple[Assumptions, Node]]:
        """Return (world, node) for each node that `node` may stand for; none of them is a `? :` or a `default`."""
        self._count_step()
        match node:
            case Conditional():
                sides = ((True, node.then), (False, node.other))
                cases = [(w, of) for want, of in sides for w in self.narrow(node.condition, want, world)]
            case Default():
                cases = [(world, node.of), *((w, node.other) for w in _where_unknown(node.of, world))]
            case _:
                return [(world, node)]
        return [case for narrowed, of in cases for case in self._cases(of, narrowed)]

    def _relate(self, op: CompareOp, left: Node, right: Node, world: Assumptions) -> list[Assumptions]:
        """Return worlds in which `left op right` is TRUE; neither side is a `? :` or a `default`."""
        if isinstance(left, _BOOLS) or _is_bool_fact(left, world):
            pairs = ((truth, truth == (op == "==")) for truth in (True, False))
            return [
                w
                for left_truth, right_truth in pairs
                for narrowed in self.narrow(left, left_truth, world)
                for w in self.narrow(right, right_truth, narrowed)
            ]
        return [
            both
            for narrowed in _assume(left, self._domain(left, world).where_holds(op, self._domain(right, world)), world)
            for both in _assume(
                right, self._domain(right, narrowed).where_holds(_MIRROR[op], self._domain(left, narrowed)), narrowed
            )
        ]

    def _domain(self, node: Node, world: Assumptions) -> Domain:
        """Return the domain of a number, time, duration or text that is not a `? :` or a `default`."""
        match node:
            case Read() | HistoryCount():
                return world[node]
            case Literal(value=str(text)):
                return Domain(unknown=False, texts=frozenset((text,)))
        return Domain(numbers=self._interval(node, world)).settled

    def _interval(self, node: Node, world: Assumptions) -> Interval:
        """Return bounds for a number, time or duration, if it is known."""
        self._count_step()
        match node:
            case Literal():
                return Interval(float(node.value), float(node.value))
            case Read() | HistoryCount():
                return world[node].numbers if world[node].known else EMPTY
            case Arithmetic() | MinMax():
                return combine(node.op, self._interval(node.left, world), self._interval(node.right, world))
            case Negate():
                return combine("-", Interval(0.0, 0.0), self._interval(node.of, world))
            case Conditional():
                return self._interval(node.then, world).join(self._interval(node.other, world))
            case Default():
                return self._interval(node.of, world).join(self._interval(node.other, world))
        raise AssertionError(node)

    _NARROW: ClassVar[dict[type[Node], Callable[["_Analysis", Any, bool, Assumptions], list[Assumptions]]]] = {
        Literal: lambda _self, node, want, world: [world] if node.value is want else [],
        Read: lambda _self, node, want, world: world.assume(node, world[node].where_truth(want)),
        Logic: _logic,
        Not: lambda self, node, want, world: self.narrow(node.of, not want, world),
        Compare: _compare,
        Membership: _member,
        StartsWith: _starts_with,
        IsKnown: _known,
        Conditional: _choose,
        Default: _default,
    }


def _is_bool_fact(node: Node, world: Assumptions) -> bool:
    if isinstance(node, Literal):
        return node.kind == "bool"
    return isinstance(node, Read) and world.schema[node.name].dtype == "bool"


def _where_unknown(node: Node, world: Assumptions) -> list[Assumptions]:
    """Return worlds that contain every customer of `world` for whom `node` is UNKNOWN."""
    if isinstance(node, Read):
        return world.assume(node, world[node].only_unknown())
    return [] if isinstance(node, (Literal, HistoryCount, IsKnown)) else [world]


def _assume(node: Node, domain: Domain, world: Assumptions) -> list[Assumptions]:
    if isinstance(node, (Read, HistoryCount)):
        return world.assume(node, domain)
    return [] if domain.empty else [world]


class _Explanation:
    """Finds the part of a rule because of which it is never true."""

    def __init__(self, text: str, everyone: Assumptions) -> None:
        self._text = text
        self._everyone = everyone
        self._analysis = _Analysis()

    def of(self, node: Node) -> str:
        if not isinstance(node, Logic):
            return self._explain_condition(node)
        if node.op == "||":
            return "; ".join(self.of(part) for part in node.parts[:_MAX_QUOTED])
        for part in node.parts:
            if not self._analysis.narrow(part, True, self._everyone):
                return self.of(part)
        return self._explain_conjunction(node)

    def _explain_conjunction(self, node: Logic) -> str:
        for pair in combinations(node.parts[:_MAX_PAIRED], 2):
            if not self._analysis.narrow_all(pair, True, self._everyone):
                return f"{self._quote(pair[0])} and {self._quote(pair[1])} are never true together"
        return f"the conditions of {self._quote(node)} are never true together"

    def _explain_condition(self, node: Node) -> str:
        names = sorted({n.name for n in walk(node) if isinstance(n, Read)})
        limits = [text for name in names if (text := _limits(self._everyone.schema[name]))]
        why = f" ({'; '.join(limits)})" if limits else ""
        return f"{self._quote(node)} is never true{why}"

    def _quote(self, node: Node) -> str:
        return f"`{self._text[node.start : node.end]}`"


def _limits(feature: Feature) -> str | None:
    """Return the schema's range of a number in words; None if it has no range."""
    if feature.min is None and feature.max is None:
        return None
    low = "" if feature.min is None else f" at least {feature.min:g}"
    high = "" if feature.max is None else f" at most {feature.max:g}"
    return f"{feature.name} is{low}{' and' if low and high else ''}{high}"
