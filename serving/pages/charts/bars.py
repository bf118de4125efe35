"""Named values: a dot with its interval each, or a bar."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from serving.pages.charts.svg import (
    NARROW,
    Drawing,
    Scale,
    chart,
    dot,
    is_wide,
    joined,
    label,
    line,
    longest,
    marked,
    px,
    shortened,
    ticks,
)
from serving.pages.figures import Say

_ROW: Final = 30.0
_NARROW_ROW: Final = 46.0
_NAMES: Final = 240.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A named value with its interval if it is an estimate, and the `reference` it is compared with, a hollow dot."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    reference: float | None = None

    @property
    def known(self) -> list[float]:
        """All of its numbers."""
        return [v for v in (self.value, self.low, self.high, self.reference) if v is not None]


def bar_chart(title: str, bars: Sequence[Bar], say: Say, *, filled: bool = False, around: float = 0.0) -> Markup:
    """Return a row per value, on an axis that holds `around`; nothing without values.

    :param say: writes a value
    :param filled: draw bars from zero on, for counts and shares of a whole, and not dots with intervals
    :param around: what values are judged against, such as 1 for ratios
    """
    return chart(title, lambda width: _drawing(bars, say, width, filled, around)) if bars else Markup("")


def _drawing(bars: Sequence[Bar], say: Say, width: float, filled: bool, around: float) -> Drawing:
    known = [around, *(v for bar in bars for v in bar.known)]
    wide = is_wide(width)
    marks = ticks(min(known), max(known), 5 if wide else 3)
    texts, row = marked(marks, say), _ROW if wide else _NARROW_ROW
    left = min(longest(bar.name for bar in bars), _NAMES) + 16.0 if wide else longest(texts[:1]) / 2.0
    x = Scale(marks[0], marks[-1], left, width - longest(say(bar.value) for bar in bars) - 14.0)
    bottom = row * len(bars) + 6.0
    axis = [line("zero" if m == around else "axis", x(m), 2.0, x(m), bottom) for m in marks]
    axis += [label(x(m), bottom + 18.0, text, "middle") for m, text in zip(marks, texts, strict=True)]
    rows = [_row(bar, say, x, row * (n + 1) - _ROW / 2.0, filled) for n, bar in enumerate(bars)]
    names = [_name(bar.name, left, row * (n + 1) - _ROW / 2.0, wide=wide) for n, bar in enumerate(bars)]
    return bottom + 26.0, [*axis, *rows, *names]


def _name(name: str, left: float, y: float, *, wide: bool) -> Markup:
    if wide:
        return label(left - 16.0, y + 4.0, shortened(name, _NAMES), "end", "mark-name")
    return label(0.0, y - 13.0, shortened(name, NARROW), "start", "mark-name")


def _row(bar: Bar, say: Say, x: Scale, y: float, filled: bool) -> Markup:
    end = max(map(x, filter(None, (bar.value, bar.high))), default=x(bar.value)) + 9.0
    if bar.reference is not None and end - 14.0 <= x(bar.reference) <= end + longest([say(bar.value)]) + 6.0:
        end = x(bar.reference) + 9.0
    return joined([*_marks(bar, x, y, filled), label(end, y + 4.0, say(bar.value), name="mark-name")])


def _marks(bar: Bar, x: Scale, y: float, filled: bool) -> Iterable[Markup]:
    if filled:
        start, stop = sorted((x(0.0), x(bar.value)))
        shape = Markup('<rect class="bar" x="{}" y="{}" width="{}" height="12" rx="2"/>')
        yield shape.format(px(start), px(y - 6.0), px(stop - start))
    if bar.low is not None and bar.high is not None:
        yield line("span", x(bar.low), y, x(bar.high), y)
    if bar.reference is not None:
        yield dot(x(bar.reference), y, main=False)
    if not filled:
        yield dot(x(bar.value), y)
