"""The rule language: a subset of CEL in Kleene's three-valued logic, parsed once and checked against the features.

    age >= 18 && segment in ["a", "b"]        comparison, membership; && || ! ?: + - * / % and parentheses as in CEL
    now - contract_start > duration("365d")   times and durations; timestamp("2026-01-01T00:00:00Z")
    default(arrears_eur, 0) > 0               a value to use for UNKNOWN; known(x) tests for it
    history(action, "declined", "90d") == 0   outcomes of the candidate's own action, or of "another-one"
    min(a, b), max(a, b), plan.startsWith("fiber-")

UNKNOWN is: a fact that is missing, None, NaN, infinite or of the wrong type; a value that an enum does not declare; an
int or time at or beyond 2**53; a division by zero; an overflow. Comparison and arithmetic with UNKNOWN give UNKNOWN.
`false && UNKNOWN` is false and `true || UNKNOWN` is true, in either order. A ternary is UNKNOWN when its condition is.
`%` has the sign of its left operand, as in CEL. Evaluating one customer (`truth`, `value`) and a column of customers
(`truth_column`, `value_column`) gives the same results.
"""

from decisioning.rules.analysis import never_true
from decisioning.rules.column import ColumnHistory, Columns, KleeneColumn, columns_of
from decisioning.rules.direction import Direction, Directions, FactKey, directions
from decisioning.rules.errors import RuleError, did_you_mean
from decisioning.rules.formula import Expression, Rule, compile_expression, compile_rule, evaluate_together
from decisioning.rules.single import Evaluation, History

__all__ = [
    "ColumnHistory",
    "Columns",
    "Direction",
    "Directions",
    "Evaluation",
    "Expression",
    "FactKey",
    "History",
    "KleeneColumn",
    "Rule",
    "RuleError",
    "columns_of",
    "compile_expression",
    "compile_rule",
    "did_you_mean",
    "directions",
    "evaluate_together",
    "never_true",
]
