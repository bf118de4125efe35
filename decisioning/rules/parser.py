"""Parser of rule texts: a subset of CEL, by precedence climbing. Names and types are checked afterwards."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar, cast

from decisioning.rules.errors import RuleError, did_you_mean
from decisioning.rules.literals import duration_us, number_of, timestamp_us
from decisioning.rules.nodes import (
    Arithmetic,
    ArithmeticOp,
    Compare,
    CompareOp,
    Conditional,
    Default,
    HistoryCount,
    IsKnown,
    KindName,
    Literal,
    Logic,
    LogicOp,
    Membership,
    MinMax,
    MinMaxOp,
    Negate,
    Node,
    Not,
    Read,
    StartsWith,
    children,
)
from decisioning.rules.tokens import Token, tokenize

MAX_LENGTH = 2_000
MAX_DEPTH = 40

_RELATION = 3
_LEVEL = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), _RELATION),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}
_OTHER_LANGUAGES = {
    "and": "and is &&",
    "or": "or is ||",
    "not": "not is !",
    "True": "write true",
    "False": "write false",
    "null": "a missing fact is !known(x)",
    "None": "a missing fact is !known(x)",
}
N = TypeVar("N", bound=Node)


def parse(text: str) -> Node:
    """Return the syntax tree of `text`; raises RuleError if it is not a rule, too long or nested too deeply."""
    if len(text) > MAX_LENGTH:
        raise RuleError(f"a rule has at most {MAX_LENGTH} characters, this has {len(text)}", MAX_LENGTH)
    return _RuleParser(tokenize(text)).rule()


class _RuleParser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._level = 0

    def rule(self) -> Node:
        node = self._expression()
        if self._peek.kind != "end":
            raise self._unexpected("an operator")
        return node

    @property
    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _advance(self) -> Token:
        token = self._peek
        self._at += token.kind != "end"
        return token

    def _accept(self, op: str) -> Token | None:
        return self._advance() if self._peek.kind == "op" and self._peek.text == op else None

    def _expect(self, op: str) -> Token:
        token = self._accept(op)
        if token is None:
            raise self._unexpected(f"{op!r}")
        return token

    def _unexpected(self, expected: str) -> RuleError:
        token = self._peek
        if token.kind == "end":
            return RuleError(f"the rule ends where {expected} should follow", token.start)
        return RuleError(
            f"{expected} should stand here, not {token.text!r}", token.start, _OTHER_LANGUAGES.get(token.text)
        )

    def _descend(self, token: Token) -> None:
        """Count and limit the levels of the parser's own recursion, which parentheses deepen without making a node."""
        self._level += 1
        if self._level > MAX_DEPTH:
            raise _too_deep(token.start)

    def _expression(self) -> Node:
        self._descend(self._peek)
        node = self._binary(1)
        if self._accept("?"):
            then = self._expression()
            self._expect(":")
            other = self._expression()
            node = _with_depth(Conditional(node, then, other, start=node.start, end=other.end, depth=0))
        self._level -= 1
        return node

    def _binary(self, lowest: int) -> Node:
        left = self._unary()
        compared = False
        while (level := self._operator_level()) >= lowest:
            if level == _RELATION and compared:
                raise RuleError("comparisons do not chain", self._peek.start, "write a < b && b < c")
            compared = level == _RELATION
            op = self._advance().text
            left = self._member(left) if op == "in" else _join(op, left, self._binary(level + 1))
        return left

    def _operator_level(self) -> int:
        token = self._peek
        is_operator = token.kind == "op" or (token.kind == "word" and token.text == "in")
        return _LEVEL.get(token.text, 0) if is_operator else 0

    def _unary(self) -> Node:
        token = self._accept("!") or self._accept("-")
        if token is None:
            return self._postfix()
        self._descend(token)
        of = self._unary()
        self._level -= 1
        if token.text == "!":
            return _with_depth(Not(of, start=token.start, end=of.end, depth=0))
        return _with_depth(Negate(of, start=token.start, end=of.end, depth=0))

    def _postfix(self) -> Node:
        node = self._primary()
        while self._accept("."):
            name = self._advance()
            if name.text != "startsWith" or name.kind != "word":
                raise RuleError(f"there is no method {name.text!r}", name.start, "the only method is startsWith")
            self._expect("(")
            node = _starts_with([node, *self._arguments()], node.start, self._tokens[self._at - 1].end)
        return node

    def _primary(self) -> Node:
        token = self._advance()
        match token.kind:
            case "number":
                return _literal(token, number_of(token.text, token.start))
            case "text":
                return _literal(token, token.text)
            case "word":
                return self._word(token)
            case "op" if token.text == "(":
                node = self._expression()
                return dataclasses.replace(node, start=token.start, end=self._expect(")").end)
        self._at -= token.kind != "end"
        raise self._unexpected("a value")

    def _word(self, token: Token) -> Node:
        if token.text in ("true", "false"):
            return _literal(token, token.text == "true")
        if token.text in _OTHER_LANGUAGES or token.text == "in":
            raise RuleError(f"{token.text!r} is not of the language", token.start, _OTHER_LANGUAGES.get(token.text))
        if not self._accept("("):
            return Read(token.text, start=token.start, end=token.end, depth=1)
        if token.text not in _FUNCTIONS:
            raise RuleError(f"unknown function {token.text!r}", token.start, did_you_mean(token.text, _FUNCTIONS))
        build, takes = _FUNCTIONS[token.text]
        arguments = self._arguments()
        if len(arguments) != takes:
            raise RuleError(f"{token.text} takes {takes} value(s), not {len(arguments)}", token.start)
        return build(arguments, token.start, self._tokens[self._at - 1].end)

    def _arguments(self) -> list[Node]:
        """Return the arguments between parentheses; the opening one has been consumed."""
        if self._accept(")"):
            return []
        arguments = [self._expression()]
        while self._accept(","):
            arguments.append(self._expression())
        self._expect(")")
        return arguments

    def _member(self, of: Node) -> Node:
        self._expect("[")
        values = [self._list_item()]
        while self._accept(","):
            values.append(self._list_item())
        end = self._expect("]").end
        return _with_depth(Membership(of, tuple(values), start=of.start, end=end, depth=0))

    def _list_item(self) -> Literal:
        minus = self._accept("-")
        token = self._advance()
        if token.kind == "number":
            value = number_of(token.text, token.start)
            return _literal(token, -value if minus else value)
        if token.kind != "text" or minus:
            self._at -= token.kind != "end"
            raise self._unexpected("a number or a text in quotes")
        return _literal(token, token.text)


def _literal(token: Token, value: float | bool | str) -> Literal:
    kind: KindName = "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return Literal(value, kind, start=token.start, end=token.end, depth=1)


def _too_deep(position: int) -> RuleError:
    return RuleError(f"nested more than {MAX_DEPTH} levels deep", position, "split it into several rules")


def _with_depth(node: N) -> N:
    """Return the node with its depth set. The limit on the depth keeps later walks from exhausting the stack."""
    depth = 1 + max(child.depth for child in children(node))
    if depth > MAX_DEPTH:
        raise _too_deep(node.start)
    return dataclasses.replace(node, depth=depth)


def _join(op: str, left: Node, right: Node) -> Node:
    start, end = left.start, right.end
    if op in ("&&", "||"):
        # Kleene's && and || are associative, so a long rule becomes one flat node instead of a deep one
        parts = (*_parts(left, op), *_parts(right, op))
        return _with_depth(Logic(cast("LogicOp", op), parts, start=start, end=end, depth=0))
    if _LEVEL[op] == _RELATION:
        return _with_depth(Compare(cast("CompareOp", op), left, right, start=start, end=end, depth=0))
    return _with_depth(Arithmetic(cast("ArithmeticOp", op), left, right, start=start, end=end, depth=0))


def _parts(node: Node, op: str) -> tuple[Node, ...]:
    return node.parts if isinstance(node, Logic) and node.op == op else (node,)


def _literal_text(node: Node, what: str) -> str:
    if not isinstance(node, Literal) or not isinstance(node.value, str):
        raise RuleError(f"{what} must be a text in quotes", node.start)
    return node.value


def _known(arguments: list[Node], start: int, end: int) -> Node:
    return _with_depth(IsKnown(arguments[0], start=start, end=end, depth=0))


def _default(arguments: list[Node], start: int, end: int) -> Node:
    return _with_depth(Default(arguments[0], arguments[1], start=start, end=end, depth=0))


def _min_max(op: MinMaxOp) -> Callable[[list[Node], int, int], Node]:
    return lambda arguments, start, end: _with_depth(
        MinMax(op, arguments[0], arguments[1], start=start, end=end, depth=0)
    )


def _starts_with(arguments: list[Node], start: int, end: int) -> Node:
    if len(arguments) != 2:
        raise RuleError(f"startsWith takes a text and its beginning, not {len(arguments)} value(s)", start)
    return _with_depth(
        StartsWith(arguments[0], _literal_text(arguments[1], "the beginning"), start=start, end=end, depth=0)
    )


def _duration(arguments: list[Node], start: int, end: int) -> Node:
    length_us = duration_us(_literal_text(arguments[0], "a duration"), arguments[0].start)
    return Literal(float(length_us), "duration", start=start, end=end, depth=1)


def _timestamp(arguments: list[Node], start: int, end: int) -> Node:
    at_us = timestamp_us(_literal_text(arguments[0], "a time"), arguments[0].start)
    return Literal(float(at_us), "timestamp", start=start, end=end, depth=1)


def _history(arguments: list[Node], start: int, end: int) -> Node:
    subject, outcome, window = arguments
    own = isinstance(subject, Read) and subject.name == "action"
    action = None if own else _literal_text(subject, "the action (or the bare word action, for the candidate's own)")
    window_us = duration_us(_literal_text(window, "the window"), window.start)
    if window_us == 0:
        raise RuleError("a window of no length counts nothing", window.start)
    return HistoryCount(action, _literal_text(outcome, "the outcome"), window_us, start=start, end=end, depth=1)


_FUNCTIONS: dict[str, tuple[Callable[[list[Node], int, int], Node], int]] = {
    "known": (_known, 1),
    "default": (_default, 2),
    "history": (_history, 3),
    "duration": (_duration, 1),
    "timestamp": (_timestamp, 1),
    "min": (_min_max("min"), 2),
    "max": (_min_max("max"), 2),
    "startsWith": (_starts_with, 2),
}
