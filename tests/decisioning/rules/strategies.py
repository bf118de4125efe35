"""Random well-typed rules over a small schema, and random facts: valid ones and broken ones."""

from functools import cache

from hypothesis import strategies as st

from decisioning.facts.schema import Feature, FeatureSchema

SCHEMA = FeatureSchema(
    (
        Feature(name="age", dtype="int", min=0, max=120),
        Feature(name="fee", dtype="float", min=-500, max=500),
        Feature(name="score", dtype="float"),
        Feature(name="vip", dtype="bool"),
        Feature(name="hot", dtype="bool"),
        Feature(name="segment", dtype="enum", values=("gold", "silver", "bronze")),
        Feature(name="plan", dtype="string"),
        Feature(name="start", dtype="timestamp"),
    )
).features
NAMES = ("age", "fee", "score", "vip", "hot", "segment", "plan", "start", "now")
SEGMENTS = ("gold", "silver", "bronze")
PLANS = ("fiber-1", "fiber-2", "tv", "")
YEAR_US = 365 * 86_400_000_000

_DIGITS = ("0", "1", "2", "17", "18", "120", "130", "0.5", "-1", "1e308", "5e-324", "9007199254740991")
_TIMES = ('timestamp("2026-01-01T00:00:00Z")', 'timestamp("2255-01-01T00:00:00+02:00")', "now", "start")
_DURATIONS = ('duration("365d")', 'duration("30m")', 'duration("90000d")', 'duration("0s")')
_COUNTS = tuple(f'history({a}, "{o}", "90d")' for a in ("action", '"tv-bundle"') for o in ("accepted", "declined"))
ORDERS = ("==", "!=", "<", "<=", ">", ">=")


def _quoted(texts):
    return st.sampled_from(texts).map(lambda t: f'"{t}"')


def _list(items):
    return st.lists(items, min_size=1, max_size=3).map(lambda x: f"[{', '.join(x)}]")


def _join(*parts):
    return st.tuples(*parts).map("".join)


@cache
def numbers(depth, guards=True):
    """Rule texts of type number."""
    return st.deferred(lambda: _numbers(depth, guards))


def _numbers(depth, guards):
    leaf = st.sampled_from((*_DIGITS, "age", "fee", "score", "age", "fee", *_COUNTS))
    if depth == 0:
        return leaf
    smaller = numbers(depth - 1, guards)
    choices = [
        leaf,
        _join(st.just("("), smaller, st.sampled_from([" + ", " - ", " * ", " / ", " % "]), smaller, st.just(")")),
        _join(st.just("-"), smaller),
        _join(st.sampled_from(["min(", "max("]), smaller, st.just(", "), smaller, st.just(")")),
        _join(st.just("("), rules(depth - 1, guards), st.just(" ? "), smaller, st.just(" : "), smaller, st.just(")")),
    ]
    if guards:
        choices.append(_join(st.just("default("), smaller, st.just(", "), smaller, st.just(")")))
    return st.one_of(choices)


def _comparisons(depth, guards):
    number = numbers(depth, guards)
    time = st.sampled_from(_TIMES)
    length = st.one_of(st.sampled_from(_DURATIONS), _join(time, st.just(" - "), time))
    moment = st.one_of(time, _join(time, st.sampled_from([" + ", " - "]), st.sampled_from(_DURATIONS)))
    order = st.sampled_from([f" {op} " for op in ORDERS])
    same = st.sampled_from([" == ", " != "])
    return [
        _join(number, order, number),
        _join(number, st.just(" in "), _list(st.sampled_from(_DIGITS))),
        _join(moment, order, moment),
        _join(length, order, length),
        _join(st.just("segment"), same, st.one_of(_quoted(SEGMENTS), st.just("plan"))),
        _join(st.just("segment in "), _list(_quoted(SEGMENTS))),
        _join(st.just("plan"), same, _quoted(PLANS)),
        _join(st.just("plan in "), _list(_quoted(PLANS))),
        _join(st.sampled_from(["plan", "segment"]), st.sampled_from(['.startsWith("fi")', '.startsWith("g")'])),
        _join(st.sampled_from(["vip", "hot"]), same, st.sampled_from(["vip", "hot", "true", "false"])),
    ]


@cache
def rules(depth, guards=True):
    """Rule texts of type bool; without `guards` they contain neither `known` nor `default`."""
    return st.deferred(lambda: _rules(depth, guards))


def _rules(depth, guards):
    leaf = st.sampled_from(["vip", "hot", "vip", "hot", "true", "false"])
    if depth == 0:
        return leaf
    smaller = rules(depth - 1, guards)
    logic = [
        _join(st.just("("), smaller, st.sampled_from([" && ", " || "]), smaller, st.just(")")),
        _join(st.just("("), smaller, st.just(" && "), smaller, st.just(" && "), smaller, st.just(")")),
        _join(st.just("!"), smaller),
        _join(st.just("("), smaller, st.just(" ? "), smaller, st.just(" : "), smaller, st.just(")")),
    ]
    if guards:
        logic.append(_join(st.just("known("), st.sampled_from(NAMES), st.just(")")))
        logic.append(_join(st.just("known("), st.one_of(smaller, numbers(depth - 1)), st.just(")")))
        logic.append(_join(st.just("default("), smaller, st.just(", "), smaller, st.just(")")))
        logic.append(_join(st.just('(default(segment, "gold") == '), _quoted(SEGMENTS), st.just(")")))
    compared = [_join(st.just("("), c, st.just(")")) for c in _comparisons(depth - 1, guards)]
    return st.one_of(leaf, *logic, *compared)


_TIMES_US = st.sampled_from([0, 1_767_225_600_000_000, 1_767_225_600_000_001, 1_767_225_600_000_000 + YEAR_US])

honest_values = {
    "age": st.sampled_from([0, 1, 2, 17, 18, 19, 119, 120, 0.5]),
    "fee": st.sampled_from([-500.0, -1.0, -0.0, 0, 0.5, 1.0, 17.5, 18, 120.0, 500.0]),
    "score": st.sampled_from([0.0, -0.0, 1.0, 0.5, -1.0, 17.0, 18.0, 1e308, -1e308, 5e-324, 1e16]),
    "vip": st.booleans(),
    "hot": st.booleans(),
    "segment": st.sampled_from(SEGMENTS),
    "plan": st.sampled_from([*PLANS, "gold"]),
    "start": _TIMES_US,
    "now": _TIMES_US,
}
"""Known values within the schema's ranges, near the constants that the rules compare with."""

_BROKEN = st.sampled_from(
    [
        *(None, float("nan"), float("inf"), float("-inf"), 10**400, -(10**400), 2**53, -(2**53), 2**53 - 1, 2**53 + 1),
        *(True, False, 0, 1, "gold", "platinum", "true", "18", "", [], {}, b"gold", 1.5, (1,), object()),
    ]
)


def facts(broken=True):
    """Facts of which any may be missing; with `broken`, also of a wrong type or size."""
    values = {k: st.one_of(st.none(), v, v, v) for k, v in honest_values.items()}
    if broken:
        values = {k: st.one_of(v, v, v, _BROKEN) for k, v in values.items()}
    return st.fixed_dictionaries({}, optional=values)


def history(action, outcome, _window_us):
    """Return counts that differ by action and outcome."""
    return {"accepted": 0, "declined": 2}[outcome] + (action == "tv-bundle")
