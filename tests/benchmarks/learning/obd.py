"""The Open Bandit Data: the value of the production policy by a random log of few clicks, and the claims."""

from collections.abc import Mapping

from tests.benchmarks.learning.parts import Figures, Line, Part, Run
from tests.training.conftest import absent, data_path
from tests.training.open_bandit import FOLDER, OpenBandit
from training.evaluation.estimators import METHODS
from training.evaluation.policies import PolicyValue
from training.fitting.intervals import MIN_EFFECTIVE

PUBLISHED = {"ips": 0.311, "snips": 0.312, "dr": 0.292, "dros": 0.160}
"""Relative errors over 30 resampled logs, published with the data."""


def judge() -> Figures:
    """Return effective rows, claims and relative errors, or the reason why the data set is absent."""
    if missing := absent(FOLDER):
        return {"absent": missing}
    data = OpenBandit.read(data_path(FOLDER))
    report = data.report()
    policies = {p.name: _figures_of_policy(p) for p in report.policies if p.refused is None}
    refused = [p.effective for p in report.policies if p.refused is not None]
    return {
        "rows": report.rows,
        "true_gain": data.clicks - float(data.random["click"].mean()),
        "policies": policies,
        "refused": len(refused),
        "most_refused": max(refused),
        "winner": report.winner,
        "errors": data.errors(),
    }


def _figures_of_policy(policy: PolicyValue) -> Figures:
    more = policy.more
    gain = None if more is None else {"low": more.low, "value": more.value, "high": more.high}
    return {"effective": policy.effective, "claim": policy.claim, "gain": gain}


def _lines(results: Mapping[str, Figures]) -> list[Line]:
    return [line for figures in results.values() for line in _of(figures)]


def _of(run: Figures) -> list[Line]:
    if "absent" in run:
        return [Line("Open Bandit Data", f"skipped: {run['absent']}")]
    lines = [_rests_on(name, policy, run["rows"]) for name, policy in run["policies"].items()]
    lines.append(_gain(run["policies"]["production"]["gain"], run["true_gain"]))
    claims = [p["claim"] for p in run["policies"].values() if p["claim"] != "cannot tell"]
    none = not claims and run["winner"] is None
    lines.append(Line("claims, and a winner", ", ".join(claims) or "none", "none on 38 clicks", none))
    below = run["most_refused"] < MIN_EFFECTIVE
    what = f"policies refused, of at most {run['most_refused']:.0f} effective rows"
    lines.append(Line(what, str(run["refused"]), f"below {MIN_EFFECTIVE:.0f} rows", below))
    return lines + [_error(method, run["errors"][method]) for method in METHODS]


def _rests_on(name: str, policy: Figures, rows: int) -> Line:
    figure = f"{policy['effective']:,.0f} of {rows:,}: {policy['claim']}"
    return Line(f"{name}: effective rows, and claim against the log", figure)


def _gain(gain: Mapping[str, float], true: float) -> Line:
    figure = f"{gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    held = gain["low"] < true < gain["high"]
    return Line("production: clicks per row more than the log's", figure, f"holds {true:+.4f}", held)


def _error(method: str, error: float) -> Line:
    published = f" (published {PUBLISHED[method]:.2f})" if method in PUBLISHED else ""
    return Line(f"production policy's clicks by {method}: relative error", f"{error:.2f}{published}")


OBD = Part([Run("all", judge)], _lines)
