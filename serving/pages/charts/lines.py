"""Lines over time, with intervals as bands and their names at their ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from serving.pages.charts.svg import (
    Drawing,
    Scale,
    chart,
    dot,
    grid,
    is_wide,
    joined,
    label,
    line,
    longest,
    marked,
    path,
    ticks,
)
from serving.pages.figures import Say

_BOTTOM: Final = 232.0
_APART: Final = 17.0


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a place of the x axis, with its interval if it is an estimate."""

    x: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its name; the `main` one has the accent, the others are grey."""

    name: str
    points: Sequence[Point]
    main: bool = True

    def styled(self, name: str) -> str:
        """Return the classes of a part of it."""
        return name if self.main else f"other {name}"


def line_chart(title: str, lines: Sequence[Line], say: Say, say_x: Say) -> Markup:
    """Return a plot of lines, on a y axis that holds zero; nothing if no line has a point.

    :param say: writes values of the y axis
    :param say_x: writes values of the x axis
    """
    drawn = [one for one in lines if one.points]
    return chart(title, lambda width: _drawing(drawn, say, say_x, width)) if drawn else Markup("")


def _drawing(lines: Sequence[Line], say: Say, say_x: Say, width: float) -> Drawing:
    points = [p for one in lines for p in one.points]
    known = [v for p in points for v in (p.value, p.low, p.high) if v is not None]
    marks, places = ticks(min(0.0, *known), max(0.0, *known)), sorted({p.x for p in points})
    texts = marked(marks, say)
    left, right = longest(texts) + 14.0, width - 8.0
    if is_wide(width):
        right -= longest(one.name for one in lines)
    x = Scale(places[0], places[-1], left + 8.0, right - 8.0)
    y = Scale(marks[0], marks[-1], _BOTTOM, 12.0 if is_wide(width) else 30.0)
    names = _names_beside(lines, y, right + 4.0) if is_wide(width) else _names_above(lines)
    bands, curves = (joined(draw(one, x, y) for one in lines) for draw in (_band, _curve))
    return _BOTTOM + 26.0, (bands, grid(marks, texts, y, left, right), _places(places, say_x, x), curves, names)


def _places(values: Sequence[float], say: Say, x: Scale) -> Markup:
    """Return the texts of the x axis: the last, and every so many before it as leave room between them."""
    room = 1.5 * (longest(say(v) for v in values) + 16.0)  # the texts at both ends lie beside their places
    spread = (values[::-step] for step in range(1, len(values) + 1))
    shown = next(s for s in spread if all(x(a) - x(b) >= room for a, b in pairwise(s)))
    anchors = {values[0]: "start", values[-1]: "end"}
    return joined(label(x(v), _BOTTOM + 20.0, say(v), anchors.get(v, "middle")) for v in reversed(shown))


def _band(one: Line, x: Scale, y: Scale) -> Markup:
    """Return the area between the ends of intervals; of a single one a line."""
    known = [(x(p.x), y(p.low), y(p.high)) for p in one.points if p.low is not None and p.high is not None]
    if len(known) < 2:
        return joined(line(one.styled("span"), at, low, at, high) for at, low, high in known)
    edge = [(at, high) for at, _, high in known] + [(at, low) for at, low, _ in reversed(known)]
    return path("band", edge, closed=True)


def _curve(one: Line, x: Scale, y: Scale) -> Markup:
    at = [(x(p.x), y(p.value)) for p in one.points]
    return (path(one.styled("curve"), at) if len(at) > 1 else Markup("")) + dot(*at[-1], main=one.main)


def _names_beside(lines: Sequence[Line], y: Scale, at_x: float) -> Markup:
    """Return the names at the ends of lines, apart from each other."""
    ordered, at = sorted(lines, key=lambda one: y(one.points[-1].value)), list[float]()
    for one in ordered:
        wanted = y(one.points[-1].value) + 4.0
        at.append(max(wanted, at[-1] + _APART) if at else wanted)
    return joined(label(at_x, place, one.name, name=_style_of(one)) for one, place in zip(ordered, at, strict=True))


def _names_above(lines: Sequence[Line]) -> Markup:
    """Return the names in a row above the plot, each with its dot."""
    parts, at = list[Markup](), 0.0
    for one in lines:
        parts += [dot(at + 5.0, 8.0, main=one.main), label(at + 14.0, 12.0, one.name, name=_style_of(one))]
        at += longest([one.name]) + 34.0
    return joined(parts)


def _style_of(one: Line) -> str:
    return "accent-name" if one.main else "mark-name"
