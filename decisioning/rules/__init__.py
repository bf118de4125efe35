"""The rule language: a CEL subset, parsed once, checked against the feature schema, in Kleene's three-valued logic.

    age >= 18 && segment in ["a", "b"]        comparison, membership; && || ! ?: + - * / % and parentheses as in CEL
    now - contract_start > duration("365d")   times and durations; timestamp("2026-01-01T00:00:00Z")
    default(arrears_eur, 0) > 0               a value for UNKNOWN; known(x) asks
    history(action, "declined", "90d") == 0   outcomes of the candidate's own action, or of "another-one"
    min(a, b), max(a, b), plan.startsWith("fiber-")

UNKNOWN is a fact that is missing, None, NaN, infinite or of the wrong type, an enum's undeclared value, an int or time
beyond 2**53, a division by zero and an overflow. Comparison and arithmetic with UNKNOWN are UNKNOWN; `false && UNKNOWN`
is false, `true || UNKNOWN` true, in either order; a ternary is UNKNOWN when its condition is. `%` has the sign of its
left side, as in CEL. One customer (`truth`, `value`) and a column of customers (`truth_column`, `value_column`) agree.
"""

from decisioning.rules.analysis import never_true
from decisioning.rules.column import ColumnHistory, Columns, KleeneColumn, columns_of
from decisioning.rules.direction import Direction, Directions, FactKey, directions
from decisioning.rules.errors import RuleError, did_you_mean
from decisioning.rules.formula import Expression, Rule, compile_expression, compile_rule
from decisioning.rules.single import History

__all__ = [
    "ColumnHistory",
    "Columns",
    "Direction",
    "Directions",
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
    "never_true",
]
