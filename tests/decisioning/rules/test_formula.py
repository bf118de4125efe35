"""The attributes and methods of a compiled rule."""

import numpy as np
import pytest

from decisioning.rules import columns_of, compile_expression, compile_rule
from tests.decisioning.rules.strategies import SCHEMA, history

DAY_US = 86_400_000_000


def test_it_names_what_it_reads_and_counts():
    rule = compile_rule(
        'age > 3 && (vip || history(action, "declined", "90d") == 0) && history("tv", "seen", "2h") < fee', SCHEMA
    )
    assert rule.reads == {"age", "vip", "fee"}
    assert rule.histories == {(None, "declined", 90 * DAY_US), ("tv", "seen", 2 * 3_600_000_000)}
    assert rule.per_action
    plain = compile_rule('history("tv", "seen", "2h") == 0', SCHEMA)
    assert plain.reads == frozenset()
    assert not plain.per_action


def test_facts_seen_are_sorted_and_unknown_is_none():
    rule = compile_rule("vip || fee > age", SCHEMA)
    seen = rule.facts_seen({"vip": True, "age": 34, "fee": float("nan"), "score": 2.0})
    assert seen == {"age": 34, "fee": None, "vip": True}
    assert list(seen) == ["age", "fee", "vip"]
    assert type(seen["age"]) is int


def test_rules_are_equal_by_text():
    assert compile_rule("vip", SCHEMA) == compile_rule("vip", SCHEMA)
    assert len({compile_rule("vip", SCHEMA), compile_rule("vip", SCHEMA), compile_rule("hot", SCHEMA)}) == 2
    assert compile_rule("vip", SCHEMA) != compile_rule(" vip", SCHEMA)
    assert compile_expression("age", SCHEMA) != compile_rule("vip", SCHEMA)


def test_history_is_asked_for_the_right_action_outcome_and_window():
    calls = []

    def counted(action, outcome, window_us):
        calls.append((action, outcome, window_us))
        return 3

    own = compile_rule('history(action, "declined", "90d") == 3', SCHEMA)
    assert own.truth({}, counted, "mobile") is True
    assert compile_expression('history("tv", "seen", "30m") * 2', SCHEMA).value({}, counted) == 6.0
    assert calls == [("mobile", "declined", 90 * DAY_US), ("tv", "seen", 1_800_000_000)]


def test_nothing_is_assumed_of_a_missing_history_or_action():
    own = compile_rule('vip || history(action, "declined", "90d") == 0', SCHEMA)
    named = compile_rule('vip || history("tv", "declined", "90d") == 0', SCHEMA)
    amount = compile_expression('history(action, "declined", "90d")', SCHEMA)
    columns = columns_of([{"vip": True}], SCHEMA.values())
    zeros = lambda _action, _outcome, _window_us: np.zeros(1)  # noqa: E731
    with pytest.raises(TypeError, match="own action"):
        own.truth({"vip": True}, history)
    with pytest.raises(TypeError, match="own action"):
        amount.value({}, history)
    with pytest.raises(TypeError, match="own action"):
        own.truth_column(columns, 1, zeros)
    with pytest.raises(TypeError, match="history"):
        named.truth_column(columns, 1)
    with pytest.raises(TypeError, match="history"):
        amount.value_column(columns, 1, action="tv")
    assert named.truth_column(columns, 1, zeros).true.tolist() == [True]


def test_columns_must_have_n_rows():
    with pytest.raises(ValueError, match="column 'vip' has shape"):
        compile_rule("vip", SCHEMA).truth_column({"vip": np.ones(3)}, 2)
    counted = compile_rule('history("tv", "seen", "1d") == 0', SCHEMA)
    with pytest.raises(ValueError, match="history has shape"):
        counted.truth_column({}, 2, lambda _action, _outcome, _window_us: np.zeros(3))


def test_a_column_of_nobody():
    rule = compile_rule('vip && age > 3 && segment == "gold" && plan.startsWith("x") || known(fee)', SCHEMA)
    column = rule.truth_column(columns_of([], SCHEMA.values()), 0)
    assert column.true.shape == column.false.shape == (0,)


def test_evaluating_changes_neither_facts_nor_columns():
    rule = compile_rule('default(fee, 0) % 7 > 3 ? segment in ["gold"] : !vip', SCHEMA)
    rows = [{"fee": 12.0, "vip": True, "segment": "gold"}, {"fee": float("inf"), "segment": "unheard-of"}]
    columns = columns_of(rows, SCHEMA.values())
    before = {name: column.copy() for name, column in columns.items()}
    rule.truth_column(columns, 2)
    rule.truth(rows[0], history)
    assert rows[0] == {"fee": 12.0, "vip": True, "segment": "gold"}
    for name, column in columns.items():
        np.testing.assert_array_equal(column, before[name])
