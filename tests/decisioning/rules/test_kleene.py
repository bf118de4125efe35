"""Truth tables of the three-valued logic, and arithmetic with UNKNOWN."""

import math
from itertools import permutations, product

import numpy as np
import pytest

from decisioning.rules import columns_of, compile_expression, compile_rule
from tests.decisioning.rules.strategies import SCHEMA, history

T, F, U = True, False, None
AND = {(T, T): T, (T, F): F, (T, U): U, (F, T): F, (F, F): F, (F, U): F, (U, T): U, (U, F): F, (U, U): U}
OR = {(T, T): T, (T, F): T, (T, U): T, (F, T): T, (F, F): F, (F, U): U, (U, T): T, (U, F): U, (U, U): U}


def truth(text, **facts):
    """Return the truth of one customer, after checking that a column of one row gives the same."""
    rule = compile_rule(text, SCHEMA)
    single = rule.truth(facts, history)
    column = rule.truth_column(columns_of([facts], SCHEMA.values()), 1, lambda a, o, w: np.array([history(a, o, w)]))
    assert (column.true[0], column.false[0]) == (single is True, single is False)
    return single


@pytest.mark.parametrize(("op", "table"), [("&&", AND), ("||", OR)])
def test_and_or_tables(op, table):
    for (a, b), expected in table.items():
        assert truth(f"vip {op} hot", vip=a, hot=b) is expected
        assert truth(f"!(vip {op} hot)", vip=a, hot=b) is (None if expected is None else not expected)


def test_three_parts_in_any_order():
    for a, b, c in product((T, F, U), repeat=3):
        facts = {"vip": a, "hot": b, "age": None if c is None else int(c)}
        for order in permutations(("vip", "hot", "age == 1")):
            assert truth(" && ".join(order), **facts) is AND[AND[a, b], c]
            assert truth(" || ".join(order), **facts) is OR[OR[a, b], c]


def test_a_ternary_is_unknown_when_its_condition_is():
    for a, b in product((T, F, U), repeat=2):
        assert truth("vip ? hot : true", vip=a, hot=b) is {T: b, F: T, U: U}[a]
        assert truth("vip ? true : hot", vip=a, hot=b) is {T: T, F: b, U: U}[a]
    assert truth("vip ? true : true") is None


@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">="])
def test_comparing_with_unknown_is_unknown(op):
    assert truth(f"age {op} 3") is None
    assert truth(f"3 {op} age") is None
    assert truth(f"age {op} age") is None
    assert truth(f"start {op} now", now=1) is None
    assert truth(f"age / 0 {op} 3", age=3) is None


def test_equality_and_membership_of_unknown_are_unknown():
    unknown = ('segment == "gold"', 'segment != "gold"', 'segment in ["gold"]', "age in [1, 2]", "vip == hot", "!vip")
    for text in (*unknown, "plan == segment", 'plan.startsWith("")'):
        assert truth(text) is None


def test_known_is_never_unknown_and_default_replaces_any_unknown():
    assert truth("known(age)") is False
    assert truth("known(age)", age=3) is True
    assert truth("known(1 / 0)") is False
    assert truth('known(history("a", "declined", "1d"))') is True
    assert truth("default(fee, 0) > 0") is False
    assert truth("default(fee / age, 7) == 7", fee=1.0, age=0) is True
    assert truth("default(vip && hot, true)", vip=True) is True
    assert truth("default(vip && hot, true)", vip=False) is False
    assert truth('default(segment, "gold") == "gold"', segment="unheard-of") is True
    assert truth("default(vip, hot)") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("age", v) for v in (None, float("nan"), float("inf"), "18", True, [18], 2**53, -(2**53), 10**400, 1e300)),
        *(("fee", v) for v in (None, float("nan"), float("-inf"), "18", False, 10**400, np.int64(3))),
        *(("vip", v) for v in (None, 0, 1, "true", 1.0, np.True_)),
        *(("segment", v) for v in (None, "platinum", 3, "", b"gold", ["gold"], float("nan"))),
        *(("plan", v) for v in (None, 3, True, b"fiber", float("nan"))),
        *(("now", v) for v in (None, "2026-01-01", 2**53, True)),
    ],
)
def test_a_fact_of_the_wrong_type_or_size_is_unknown(name, value):
    assert truth(f"known({name})", **{name: value}) is False
    assert compile_rule(f"known({name})", SCHEMA).facts_seen({name: value}) == {name: None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 % 3", 1.0),
        ("-7 % 3", -1.0),  # the sign of the left operand, as in CEL
        ("7 % -3", 1.0),
        ("5.5 % 2", 1.5),
        ("7 / 2", 3.5),  # int and float are one type
        ("1 / 0", None),
        ("1 % 0", None),
        ("0 / 0", None),
        ("1e308 * 10", None),
        ("-1e308 - 1e308", None),
        ("default(1e308 * 10, 4)", 4.0),
        ("min(1, 2) + max(1, 2)", 3.0),
        ("min(0, -0.0)", 0.0),  # the first of two equal operands, also for zeros
        ("max(-0.0, 0)", -0.0),
        ("min(age, 2)", None),
        ("1 / (1e308 * 10)", None),
        ("true ? 1 : age", 1.0),
        ("age > 1 ? 1 : 1", None),
        ("-(-3)", 3.0),
        ("--3", 3.0),
        (".5 + 1e0", 1.5),
    ],
)
def test_arithmetic(text, expected):
    expression = compile_expression(text, SCHEMA)
    assert expression.value({}, history) == expected
    column = expression.value_column({}, 2).tolist()
    assert repr(column) == repr([math.nan if expected is None else expected] * 2)


def test_integers_up_to_2_53_stay_exact():
    expression = compile_expression("score + 1", SCHEMA)
    assert expression.value({"score": 2**53 - 2}, history) == 2**53 - 1
    assert truth("age == 9007199254740991", age=2**53 - 1) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('now - start > duration("365d")', False),
        ('now - start >= duration("365d")', True),
        ('start + duration("365d") == now', True),
        ('duration("365d") + start == now', True),
        ('now - duration("8760h") == start', True),
        ('now - duration("525600m") == start', True),
        ('now - duration("31536000s") == start', True),
        ('now == timestamp("2026-01-01T00:00:00Z")', True),
        ('now == timestamp("2026-01-01T02:00:00.000000+02:00")', True),
        ('duration("1d") + duration("1d") == duration("2d")', True),
        ("start - now < now - start", True),
    ],
)
def test_time(text, expected):
    now_us = 1_767_225_600_000_000
    assert truth(text, now=now_us, start=now_us - 365 * 86_400_000_000) is expected
