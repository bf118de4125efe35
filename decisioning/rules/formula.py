"""Rules (true, false or UNKNOWN) and expressions (a number or UNKNOWN), compiled once from text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from decisioning.facts.schema import Facts, Feature, Value
from decisioning.rules.checker import kind_of
from decisioning.rules.column import ColumnEvaluation, ColumnHistory, Columns, KleeneColumn
from decisioning.rules.errors import RuleError
from decisioning.rules.nodes import HistoryCount, Node, Read, walk
from decisioning.rules.parser import parse
from decisioning.rules.single import Closure, Evaluation, History, compile_closure, compile_together

CountKey = tuple[str | None, str, int]
"""(action id, or None for the candidate's own; outcome; window in microseconds)."""


@dataclass(frozen=True)
class Formula:
    """What rules and expressions have in common. Two are equal when their texts are.

    `reads`: names of the features it reads. `histories`: the outcomes it counts. `per_action`: whether it counts
    outcomes of the candidate's own action, so that `action` must be passed.
    """

    text: str
    reads: frozenset[str] = field(compare=False)
    histories: frozenset[CountKey] = field(compare=False)
    per_action: bool = field(compare=False)
    node: Node = field(compare=False, repr=False)
    features: Mapping[str, Feature] = field(compare=False, repr=False)

    @cached_property
    def closure(self) -> Closure:
        """The function that evaluates it for one customer; compiled when first used, as most are evaluated together."""
        return compile_closure(self.node, self.features)

    @cached_property
    def _reader(self) -> Evaluation:
        return compile_together([Read(start=0, end=0, depth=1, name=name) for name in self.features], self.features)

    def facts_seen(self, facts: Facts) -> dict[str, Value | None]:
        """Return the facts that it reads, by name in sorted order; None for each fact that is UNKNOWN."""
        values = zip(self.features, self._reader(facts, _no_history), strict=True)
        return {name: None if value is None else facts[name] for name, value in values}

    def _require_action(self, action: str | None) -> None:
        if action is None and self.per_action:
            raise TypeError("the rule asks about its own action: give `action`")

    def _evaluation(
        self, columns: Columns, n: int, history: ColumnHistory | None, action: str | None
    ) -> ColumnEvaluation:
        self._require_action(action)
        if history is None and self.histories:
            raise TypeError("the rule counts outcomes: give `history`")
        return ColumnEvaluation(columns, n, self.features, history, action)


@dataclass(frozen=True)
class Rule(Formula):
    """A condition in Kleene's three-valued logic."""

    def truth(self, facts: Facts, history: History, action: str | None = None) -> bool | None:
        """Return True, False, or None for UNKNOWN; raises TypeError if `action` is needed and None."""
        if action is None and self.per_action:
            self._require_action(action)
        truth: bool | None = self.closure(facts, history, action)
        return truth

    def truth_column(
        self, columns: Columns, n: int, history: ColumnHistory | None = None, action: str | None = None
    ) -> KleeneColumn:
        """Return the truth of n rows; raises TypeError if `history` or `action` is needed and None."""
        evaluation = self._evaluation(columns, n, history, action)
        with np.errstate(all="ignore"):
            return evaluation.truth(self.node)


@dataclass(frozen=True)
class Expression(Formula):
    """A formula whose value is a number."""

    def value(self, facts: Facts, history: History, action: str | None = None) -> float | None:
        """Return a finite float64, or None for UNKNOWN; raises TypeError if `action` is needed and None."""
        self._require_action(action)
        value: float | None = self.closure(facts, history, action)
        return value

    def value_column(
        self, columns: Columns, n: int, history: ColumnHistory | None = None, action: str | None = None
    ) -> NDArray[np.float64]:
        """Return float64 of shape (n,), NaN for UNKNOWN; raises TypeError as `Rule.truth_column` does."""
        evaluation = self._evaluation(columns, n, history, action)
        with np.errstate(all="ignore"):
            return evaluation.values(self.node)


F = TypeVar("F", bound=Formula)


def compile_rule(text: str, schema: Mapping[str, Feature]) -> Rule:
    """Parse and type-check a condition. Raises RuleError, which says what is wrong, where, and how to correct it."""
    node = _checked_tree(text, schema, "bool", "a rule must be true or false")
    return _formula_of(Rule, text, node, schema)


def compile_expression(text: str, schema: Mapping[str, Feature]) -> Expression:
    """Parse and type-check a number. Raises RuleError as `compile_rule` does."""
    node = _checked_tree(text, schema, "number", "an expression must be a number")
    return _formula_of(Expression, text, node, schema)


def _checked_tree(text: str, schema: Mapping[str, Feature], required: str, message: str) -> Node:
    node = parse(text)
    kind = kind_of(node, schema)
    if kind.name != required:
        raise RuleError(f"{message}, this is {kind}", node.start)
    return node


def _formula_of(make: type[F], text: str, node: Node, schema: Mapping[str, Feature]) -> F:
    nodes = tuple(walk(node))
    features = {name: schema[name] for name in sorted({n.name for n in nodes if isinstance(n, Read)})}
    histories = frozenset((n.action, n.outcome, n.window_us) for n in nodes if isinstance(n, HistoryCount))
    return make(
        text=text,
        reads=frozenset(features),
        histories=histories,
        per_action=any(action is None for action, _, _ in histories),
        node=node,
        features=features,
    )


def evaluate_together(formulas: Sequence[Formula | None], schema: Mapping[str, Feature]) -> Evaluation:
    """Return a function: (facts, history) -> the truth or value of each formula, None where it is UNKNOWN.

    It has the results of evaluating them one by one, and reads each fact once. For None, and for a formula that asks
    about its own action, it gives None.
    """
    nodes = [None if formula is None or formula.per_action else formula.node for formula in formulas]
    return compile_together(nodes, schema)


def _no_history(_action: str, _outcome: str, _window_us: int) -> int:
    return 0
