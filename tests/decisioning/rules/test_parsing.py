"""Precedence of operators, and the messages about mistakes."""

import dataclasses

import pytest

from decisioning.errors import BrainError
from decisioning.rules import RuleError, compile_expression, compile_rule
from decisioning.rules.nodes import Literal, Node
from decisioning.rules.parser import parse
from tests.decisioning.rules.strategies import SCHEMA, history


def shape(node):
    """Return the tree without its offsets."""
    if isinstance(node, tuple):
        return tuple(shape(part) for part in node)
    if not isinstance(node, Node):
        return node
    own = [f.name for f in dataclasses.fields(node) if f.name not in ("start", "end", "depth")]
    return (type(node).__name__, *(shape(getattr(node, name)) for name in own))


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("a || b && c", "a || (b && c)"),
        ("a && b || c", "(a && b) || c"),
        ("a && b && c", "(a && b) && c"),
        ("a || b || c", "a || (b || c)"),
        ("!a && b", "(!a) && b"),
        ("!a == b", "(!a) == b"),
        ("a == b && c != d", "(a == b) && (c != d)"),
        ("a < b || c >= d", "(a < b) || (c >= d)"),
        ("a + b < c - d", "(a + b) < (c - d)"),
        ("a + b * c", "a + (b * c)"),
        ("a - b - c", "(a - b) - c"),
        ("a / b / c", "(a / b) / c"),
        ("a % b * c", "(a % b) * c"),
        ("-a * b", "(-a) * b"),
        ("a - -b", "a - (-b)"),
        ("a ? b : c ? d : e", "a ? b : (c ? d : e)"),
        ("a ? b ? c : d : e", "a ? (b ? c : d) : e"),
        ("a || b ? c : d", "(a || b) ? c : d"),
        ("a + 1 in [1, -2] && b", "((a + 1) in [1, -2]) && b"),
        ('!a.startsWith("x")', '!(startsWith(a, "x"))'),
        ('(a).startsWith("x") == b', '(startsWith(a, "x")) == b'),
        ("a\n  &&\tb", "(a) && (b)"),
        ("'x' == a", '"x" == a'),
    ],
)
def test_precedence_is_that_of_cel(text, grouped):
    assert shape(parse(text)) == shape(parse(grouped))


def test_grouping_matters():
    assert shape(parse("(a || b) && c")) != shape(parse("a || b && c"))
    assert shape(parse("a - (b - c)")) != shape(parse("a - b - c"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\"b"', 'a"b'),
        (r"'a\'b'", "a'b"),
        (r'"a\\b\n\t\r"', "a\\b\n\t\r"),
        ('"ünïcode 🎉"', "ünïcode 🎉"),
        ("12", 12.0),
        ("0.25e2", 25.0),
        ("true", True),
    ],
)
def test_literals(text, value):
    node = parse(text)
    assert isinstance(node, Literal)
    assert node.value == value


@pytest.mark.parametrize(
    ("text", "position", "message", "suggestion"),
    [
        ("agee > 3", 0, "unknown feature 'agee'", "did you mean 'age'?"),
        ("vip && zzzzz", 7, "unknown feature 'zzzzz'", None),
        ("vip and hot", 4, "an operator should stand here, not 'and'", "and is &&"),
        ("vip & hot", 4, "unexpected '&'", "and is &&"),
        ("age = 3", 4, "unexpected '='", "compare with =="),
        ("not vip", 0, "'not' is not of the language", "not is !"),
        ("age != null", 7, "'null' is not of the language", "a missing fact is !known(x)"),
        ("vip == True", 7, "'True' is not of the language", "write true"),
        ("age < 3 < 4", 8, "comparisons do not chain", "write a < b && b < c"),
        ("vip == hot == vip", 11, "comparisons do not chain", "write a < b && b < c"),
        ('segment == "glod"', 11, "'glod' is not a value of this feature", "did you mean 'gold'?"),
        ('"glod" != segment', 0, "'glod' is not a value of this feature", "did you mean 'gold'?"),
        ('segment in ["gold", "x"]', 20, "'x' is not a value", "the values are bronze, gold, silver"),
        ('default(segment, "brnze") == "gold"', 17, "'brnze' is not a value", "did you mean 'bronze'?"),
        ('(vip ? segment : "gold") == "glod"', 28, "'glod' is not a value", "did you mean 'gold'?"),
        ('segment == (vip ? "gold" : "slver")', 11, "'slver' is not a value", "did you mean 'silver'?"),
        ('age == "x"', 7, "a number and a text never compare", None),
        ("plan == 3", 8, "a text and a number never compare", None),
        ('age in ["x"]', 8, "a number and a text never compare", None),
        ("plan in [3]", 9, "a text and a number never compare", None),
        ("vip in [1]", 8, "true or false and a number never compare", None),
        (
            'start < "2026-01-01"',
            8,
            "a time and a text never compare",
            'write a time as timestamp("2026-01-01T00:00:00Z")',
        ),
        ("now - start > 365", 14, "a duration and a number never compare", 'write a duration as duration("90d")'),
        ('now > duration("1d")', 6, "a time and a duration never compare", "subtract two times to get a duration"),
        ("now + now > now", 6, "a time + a time has no meaning", None),
        ("age + vip > 1", 6, "a number + true or false has no meaning", None),
        ('plan + "x" == plan', 0, "a text + a text has no meaning", None),
        ('plan < "x"', 0, "a text has no order", "use == or !="),
        ("vip < hot", 0, "true or false has no order", "use == or !="),
        ("age && vip", 0, "true or false should stand here, this is a number", None),
        ("vip && age", 7, "true or false should stand here, this is a number", None),
        ("!age", 1, "true or false should stand here, this is a number", None),
        ("-vip == 1", 1, "a number should stand here, this is true or false", None),
        ("vip ? 1 : hot", 10, "both values must be of one type", None),
        ("default(age, true)", 13, "both values must be of one type", None),
        ("age ? vip : hot", 0, "true or false should stand here", None),
        ("age", 0, "a rule must be true or false, this is a number", None),
        ("", 0, "the rule ends where a value should follow", None),
        ("vip &&", 6, "the rule ends where a value should follow", None),
        ("(vip", 4, "the rule ends where ')' should follow", None),
        ("vip)", 3, "an operator should stand here, not ')'", None),
        ("vip ? hot", 9, "the rule ends where ':' should follow", None),
        ("age in []", 8, "a number or a text in quotes should stand here, not ']'", None),
        ("age in [fee]", 8, "a number or a text in quotes should stand here, not 'fee'", None),
        ('plan in [-"x"]', 10, "a number or a text in quotes should stand here", None),
        ("age in 3", 7, "'[' should stand here, not '3'", None),
        ('plan == "x', 8, "unexpected '\"'", "close the quotes on the same line"),
        (r'plan == "\q"', 9, r"unknown escape '\\q'", r"write a backslash as \\"),
        ("age == 12abc", 7, "12abc is not a number", None),
        ("age == 1.2.3", 7, "1.2.3 is not a number", None),
        ("age == 1e999", 7, "this number is too large", "stay below 9007199254740992"),
        ("age == 9007199254740992", 7, "this number is too large", "stay below 9007199254740992"),
        ("knwon(age)", 0, "unknown function 'knwon'", "did you mean 'known'?"),
        ("known()", 0, "known takes 1 value(s), not 0", None),
        ("max(1, 2, 3) > 1", 0, "max takes 2 value(s), not 3", None),
        ("plan.endsWith(1)", 5, "there is no method 'endsWith'", "the only method is startsWith"),
        ("plan.startsWith()", 0, "startsWith takes a text and its beginning, not 1 value(s)", None),
        ("plan.startsWith(segment)", 16, "the beginning must be a text in quotes", None),
        ('age.startsWith("x")', 0, "a text should stand here, this is a number", None),
        (
            "action == 3",
            0,
            "unknown feature 'action'",
            'the bare word action stands only in history(action, "outcome", "90d")',
        ),
        ('history(age, "accepted", "1d") > 0', 8, "the action (or the bare word action", None),
        ('history(action, accepted, "1d") > 0', 16, "the outcome must be a text in quotes", None),
        ('history(action, "accepted", "1y") > 0', 28, "'1y' is not a duration", 'write "90d", "12h", "30m" or "10s"'),
        ('history(action, "accepted", "0d") > 0', 28, "a window of no length counts nothing", None),
        ('duration("-1d") > now - now', 9, "'-1d' is not a duration", 'write "90d", "12h", "30m" or "10s"'),
        ('duration("999999999999d") > now - now', 9, "'999999999999d' is too long", "stay below 100,000 days"),
        ('timestamp("2026-01-01") > now', 10, "'2026-01-01' is not a time", 'write it like "2026-01-01T00:00:00Z"'),
        ('timestamp("2026-13-01T00:00:00Z") > now', 10, "'2026-13-01T00:00:00Z' is not a time", None),
        ('timestamp("9999-01-01T00:00:00Z") > now', 10, "'9999-01-01T00:00:00Z' is out of range", None),
        ('timestamp("0001-01-01T00:00:00+23:59") > now', 10, "is out of range", None),
        ("x" * 2001, 2000, "a rule has at most 2000 characters, this has 2001", None),
    ],
)
def test_a_mistake_is_told_where_it_is_and_how_to_mend_it(text, position, message, suggestion):
    with pytest.raises(RuleError) as caught:
        compile_rule(text, SCHEMA)
    error = caught.value
    assert isinstance(error, BrainError)
    assert message in error.message
    assert error.position == position
    assert suggestion is None or error.suggestion == suggestion
    assert str(error).startswith(f"{error.message} (at character {position + 1})")
    assert "\n" not in str(error)


def test_an_expression_must_be_a_number():
    with pytest.raises(RuleError, match="an expression must be a number, this is true or false"):
        compile_expression("vip", SCHEMA)
    with pytest.raises(RuleError, match="this is a duration"):
        compile_expression("now - start", SCHEMA)


def test_both_values_of_two_enums_compare():
    rule = compile_rule('(vip ? segment : "gold") == segment && segment == plan', SCHEMA)
    assert rule.truth({"vip": True, "segment": "gold", "plan": "gold"}, history) is True
