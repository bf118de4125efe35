"""Calibration: how often something happened, beside how often it was predicted."""

from collections.abc import Sequence

from markupsafe import Markup

from serving.pages.charts.lines import Point
from serving.pages.charts.svg import Drawing, Scale, chart, dot, grid, is_wide, label, line, longest, marked, ticks
from serving.pages.figures import Say


def calibration_chart(title: str, points: Sequence[Point], say: Say, names: tuple[str, str]) -> Markup:
    """Return what was observed (`value`, with its interval) above what was predicted (`x`); nothing without points.

    A model without error has its points on the diagonal.

    :param names: of the axes: predicted, happened
    """
    return chart(title, lambda width: _drawing(points, say, names, width)) if points else Markup("")


def _drawing(points: Sequence[Point], say: Say, names: tuple[str, str], width: float) -> Drawing:
    marks = ticks(0.0, max(v for p in points for v in (p.x, p.value, p.high or 0.0)) or 1.0, 4)
    texts, size = marked(marks, say), 400.0 if is_wide(width) else width
    left, right, bottom = longest(texts) + 14.0, size - 24.0, size - 52.0
    x, y = Scale(0.0, marks[-1], left, right), Scale(0.0, marks[-1], bottom, 30.0)
    parts = [grid(marks, texts, y, left, right), line("zero", x(0.0), y(0.0), right, y(marks[-1]))]
    parts += [label(x(m), bottom + 20.0, text, "middle") for m, text in zip(marks[1:], texts[1:], strict=True)]
    parts += [label(0.0, 12.0, names[1]), label(right, bottom + 42.0, names[0], "end")]
    spans = [
        line("span", x(p.x), y(p.low), x(p.x), y(p.high)) for p in points if p.low is not None and p.high is not None
    ]
    return size, [*parts, *spans, *(dot(x(p.x), y(p.value)) for p in points)]
