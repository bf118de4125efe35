"""Evaluating one customer and a column of customers agrees, row for row and bit for bit."""

import math
import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.rules import columns_of, compile_expression, compile_rule
from tests.decisioning.rules.strategies import SCHEMA, facts, history, numbers, rules
from tests.examples import examples

ROWS = st.lists(facts(), max_size=6)


def _column_history(n):
    return lambda action, outcome, window_us: np.full(n, float(history(action, outcome, window_us)))


def _bits(number):
    return None if number is None or math.isnan(number) else struct.pack("<d", number)


@settings(max_examples=examples(250), deadline=None)
@given(rules(3), ROWS)
def test_truth_of_a_column_is_the_truth_of_each_row(text, rows):
    rule = compile_rule(text, SCHEMA)
    columns = columns_of(rows, SCHEMA.values())
    column = rule.truth_column(columns, len(rows), _column_history(len(rows)), "tv-bundle")
    assert column.true.dtype == column.false.dtype == bool
    assert column.true.shape == column.false.shape == (len(rows),)
    single = [rule.truth(row, history, "tv-bundle") for row in rows]
    assert column.true.tolist() == [t is True for t in single]
    assert column.false.tolist() == [t is False for t in single]


@settings(max_examples=examples(250), deadline=None)
@given(numbers(3), ROWS)
def test_values_of_a_column_are_the_value_of_each_row_to_the_bit(text, rows):
    expression = compile_expression(text, SCHEMA)
    columns = columns_of(rows, SCHEMA.values())
    column = expression.value_column(columns, len(rows), _column_history(len(rows)), "other")
    assert column.dtype == np.float64
    assert column.shape == (len(rows),)
    single = [expression.value(row, history, "other") for row in rows]
    assert all(value is None or math.isfinite(value) for value in single)
    assert [_bits(v) for v in column] == [_bits(v) for v in single]


@settings(max_examples=examples(100), deadline=None)
@given(rules(2, guards=False), facts(broken=False), facts(broken=False))
def test_learning_a_fact_never_turns_true_into_false(text, some, more):
    """Kleene's logic is monotone: only UNKNOWN changes when an unknown becomes known."""
    rule = compile_rule(text, SCHEMA)
    known = {k: v for k, v in some.items() if v is not None}
    before = rule.truth(known, history, "a")
    after = rule.truth({**more, **known}, history, "a")
    assert before is None or before is after


@settings(max_examples=examples(100), deadline=None)
@given(rules(2), rules(2), facts())
def test_the_order_of_and_and_or_never_matters(one, other, row):
    for op in ("&&", "||"):
        a = compile_rule(f"({one}) {op} ({other})", SCHEMA).truth(row, history, "a")
        b = compile_rule(f"({other}) {op} ({one})", SCHEMA).truth(row, history, "a")
        assert a is b
    left = compile_rule(f"!(({one}) && ({other}))", SCHEMA).truth(row, history, "a")
    assert left is compile_rule(f"!({one}) || !({other})", SCHEMA).truth(row, history, "a")


def test_a_column_may_be_absent_or_hold_other_objects():
    columns = {"plan": np.array(["fiber-1", None, 3, "tv"], dtype=object), "vip": np.array([1.0, 0.0, np.nan, 0.5])}
    rule = compile_rule('(startsWith(plan, "fiber") || vip) && !known(age)', SCHEMA)
    column = rule.truth_column(columns, 4)
    assert column.true.tolist() == [True, False, False, False]
    assert column.false.tolist() == [False, False, False, False]
