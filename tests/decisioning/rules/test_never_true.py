"""`never_true` finds contradictions and never reports a rule that can be true."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.rules import compile_rule, never_true
from tests.decisioning.rules.strategies import SCHEMA, facts, history, rules
from tests.examples import examples


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("age < 18 && age >= 18", "`age < 18` and `age >= 18` are never true together"),
        ("age > 200", "`age > 200` is never true (age is at least 0 and at most 120)"),
        ("vip && age > 200", "`age > 200` is never true (age is at least 0 and at most 120)"),
        ("200 < age", "`200 < age` is never true (age is at least 0 and at most 120)"),
        ("age in [130, 140]", "`age in [130, 140]` is never true (age is at least 0 and at most 120)"),
        ('plan == "a" && plan == "b"', '`plan == "a"` and `plan == "b"` are never true together'),
        ('segment == "gold" && segment == "silver"', None),
        ('segment in ["gold"] && segment in ["silver", "bronze"]', None),
        ('segment != "gold" && segment != "silver" && segment != "bronze"', None),
        ('!(segment in ["gold", "silver", "bronze"])', None),
        ('segment == "gold" && segment.startsWith("s")', None),
        ('plan == "tv" && !plan.startsWith("t")', None),
        ('plan.startsWith("f") && plan == "tv"', None),
        ('plan != "tv" && plan == "tv"', None),
        ('segment == plan && plan == "tv"', None),
        ("vip && !vip", "`vip` and `!vip` are never true together"),
        ("vip == hot && vip && !hot", None),
        ("vip == true && vip == false", None),
        ("vip != vip && vip", None),
        ("(vip || age > 200) && !vip", "`(vip || age > 200)` and `!vip` are never true together"),
        ("age > 50 && (vip || age < 40) && !vip", "the conditions of `age > 50 && (vip || age < 40) && !vip`"),
        ("age > 200 || fee < -501", "`age > 200` is never true (age is at least 0 and at most 120); `fee < -501` is"),
        ("!(age <= 120 || vip)", None),
        ("age > 18 && !known(age)", None),
        ("known(age) && !known(age)", None),
        ("!known(age) && !known(fee) && age == fee", None),
        ("!known(3)", None),
        ("default(age, 3) > 130", None),
        ("default(age, 3) < 0", None),
        ("!known(age) && default(age, 3) > 5", None),
        ("default(vip, false) && !known(vip)", None),
        ("age != 5 && age == 5", None),
        ("age > 5 && age < 5.000000000000001 && age == 5", None),
        ("age + 10 > 200", None),
        ("age * -1 > 0", None),
        ("-age > 0", None),
        ("age - 300 > 0", None),
        ("200 / (age + 1) > 200", None),
        ("fee % 7 > 500", None),
        ("min(age, 3) > 3", None),
        ("max(age, 3) < 3", None),
        ("age / 0 > 3", None),
        ("(vip ? 130 : 140) <= age", None),
        ("vip ? age > 50 && age < 20 : age == 150", None),
        ("(vip ? age : fee) > 130 && vip", None),
        ('history(action, "a", "1d") < 0', None),
        ('history(action, "a", "1d") == 0 && history(action, "a", "1d") > 0', None),
        ('start > timestamp("2026-01-01T00:00:00Z") && start < timestamp("2025-01-01T00:00:00Z")', None),
        ('duration("1d") > duration("2d")', None),
        ("false", "`false` is never true"),
        ("3 > 4", None),
        ('"a" == "b"', None),
        ('"a" in ["b"]', None),
        ('startsWith("a", "b")', None),
        ("1e308 * 10 > 0", None),
    ],
)
def test_it_says_why(text, reason):
    explanation = never_true(compile_rule(text, SCHEMA), SCHEMA)
    assert explanation is not None
    assert reason is None or reason in explanation


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "age >= 120",
        "age <= 0",
        "age in [120]",
        "age >= 18 && age <= 18",
        "age > 17 && age < 18",  # 17.5 is a number like any other
        "fee > 499.9999999999999",
        "score > 1e308",
        "!known(age)",
        "!known(age) && default(age, 130) > 125",
        'segment != "gold" && segment != "silver"',
        'plan != "a" && plan != "b"',
        'history(action, "a", "1d") == 0 && history("b", "a", "1d") > 0',
        "vip == hot && !hot",
        "age > 200 || vip",
        "(age > 200 ? vip : hot)",
        "fee / age < -1",
        "!(age > 200)",
        "known(age > 200)",
        "!known(vip && hot)",
        "fee * fee >= 250000",
        "-fee == 500",
        "fee % 7 < 0",
        "0 - fee * 2 > 999",
        "age - fee > 600",
        "default(vip, true) && !known(vip)",
        "(age + 10) % 7 < 3",
        "(vip ? 130 : 1) + age > 200",
        "default(age, 130) + 0 > 125",
        'plan in ["gold", "silver"] && segment in ["gold", "silver"] && segment != plan',
    ],
)
def test_it_leaves_a_rule_alone_that_can_be_true(text):
    assert never_true(compile_rule(text, SCHEMA), SCHEMA) is None


@settings(max_examples=examples(250), deadline=None)
@given(st.one_of(rules(2), rules(3)), st.lists(facts(broken=False), min_size=5, max_size=5))
def test_it_never_accuses_a_rule_that_is_true_for_somebody(text, people):
    rule = compile_rule(text, SCHEMA)
    if any(rule.truth(person, history, action) is True for person in people for action in ("tv-bundle", "other")):
        assert never_true(rule, SCHEMA) is None
