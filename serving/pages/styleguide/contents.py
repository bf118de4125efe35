"""What the page of all components shows: names, texts and figures that are hard to show well."""

from typing import Any, Final

from decisioning.times import WEEK_US
from serving.pages.charts import Bar, Line, Point, bar_chart, calibration_chart, line_chart
from serving.pages.figures import count, euros, percent, ratio, short_day
from serving.pages.tables import TextTable

TEMPLATE: Final = "styleguide/styleguide.html"
HOSTILE: Final = (
    "<script>alert(1)</script> \" ' & {{ 7 * 7 }} مرحبا بالعالم 👩🏽‍🚀 "
    "Hubertina-Wilhelmina van Schimmelpenninck-Oldenbarneveltstein"
)
_LONG: Final = "A note of 2,000 characters, " * 71 + "x" * 12
_BEGAN_US: Final = 1_788_739_200_000_000


def contents() -> dict[str, Any]:
    """Return what the template shows."""
    return {"hostile": HOSTILE, "long": _LONG, "findings": _FINDINGS, "drawings": _drawings(), "table": _table()}


_FINDINGS: Final = (
    {
        "kind": "Rise",
        "tone": "warn",
        "text": "Complaints about invoices came 9 times in the last hour, and 2 were usual.",
    },
    {"kind": "Unfair", "tone": "harm", "text": "Customers in Zuid are offered help half as often as others."},
    {"kind": "Drift", "tone": "", "text": HOSTILE},
)


def _drawings() -> list[Any]:
    weeks = [_BEGAN_US + n * WEEK_US for n in range(9)]
    brain = Line("the brain", [Point(at, 1.1 * n, 0.8 * n - 0.5, 1.3 * n + 0.7) for n, at in enumerate(weeks)])
    control = Line("control group", [Point(at, 0.7 * n) for n, at in enumerate(weeks)], main=False)
    rates = [Bar("tv-bundle", 0.12, 0.1, 0.15, 0.11), Bar(HOSTILE, 0.02, 0.0, 0.05), Bar("call-back", 0.3, 0.2, 0.4)]
    counts = [Bar("web", 1_240.0), Bar("email", 310.0), Bar("phone", 42.0)]
    bins = [Point(0.01 * n, 0.012 * n, max(0.01 * n - 0.005, 0.0), 0.014 * n + 0.01) for n in range(1, 11)]
    return [
        line_chart("Euros per customer", [brain, control], euros, short_day),
        bar_chart("Share accepted", rates, percent),
        bar_chart("Offers by channel", counts, count, filled=True),
        bar_chart("Groups beside everybody else", [Bar("noord", 0.9, 0.7, 1.2)], ratio, around=1.0),
        calibration_chart("Predicted and observed", bins, percent, ("predicted", "happened")),
    ]


def _table() -> TextTable:
    columns = ("Action", "Offered", "Accepted", "Interval", "Complaints", "Opt-outs", "Euros")
    rows = [
        (name, "1,240", "12.4%", "11.6% to 13.1%", "3", "1", "€1,240") for name in ("tv-bundle", HOSTILE, "call-back")
    ]
    return TextTable("Actions and what came of them", columns, rows)
