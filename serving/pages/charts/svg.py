"""The parts of drawings. Their looks are classes of the stylesheet, so that they follow light, dark and paper."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from serving.pages.figures import Say

WIDE: Final = 720.0
NARROW: Final = 304.0
LETTER: Final = 6.9
"""About the width of a letter of 13 px, to keep texts apart."""
_PLACES: Final = re.compile(r"[.,](\d{1,2})(?!\d)")
"""The decimals of a number, as English and Dutch write them: a group of thousands has three digits."""
Drawing = tuple[float, Iterable[Markup]]
"""A drawing's height and its parts."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from `low` to `high` to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return self.start + (self.end - self.start) * (value - self.low) / span


def chart(title: str, draw: Callable[[float], Drawing]) -> Markup:
    """Return a drawing twice, for wide and for narrow screens, of which the stylesheet shows one.

    Text in a drawing that is scaled down cannot be read.

    :param draw: draws within a width in pixels
    """
    parts = []
    for name, width in (("wide", WIDE), ("narrow", NARROW)):
        height, drawn = draw(width)
        head = Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">')
        parts.append(head.format(name, px(width), px(height), title) + joined(drawn) + Markup("</svg>"))
    return Markup('<div class="chart">{}</div>').format(joined(parts))


def is_wide(width: float) -> bool:
    """Tell whether a drawing has room for texts beside it."""
    return width > NARROW


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round values from at most `low` to at least `high`: about `most` of them."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / max(most - 1, 1)))
    step = next(power * f for f in (1, 2, 2.5, 5, 10) if power * f * (most - 1) >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * n, 12) for n in range(first, max(last, first + 1) + 1)]


def marked(marks: Sequence[float], say: Say) -> list[str]:
    """Return the texts of the marks of an axis, without places that are zero in all of them."""
    texts = [say(mark) for mark in marks]
    places = [match.group(1) for text in texts if (match := _PLACES.search(text))]
    if any(set(digits) - {"0"} for digits in places):
        return texts
    return [_PLACES.sub("", text) for text in texts]


def grid(marks: Sequence[float], texts: Sequence[str], y: Scale, left: float, right: float) -> Markup:
    """Return a level line per mark of the y axis, with its text at the left."""
    return joined(
        line("zero" if mark == 0.0 else "axis", left, y(mark), right, y(mark))
        + label(left - 8.0, y(mark) + 4.0, text, "end")
        for mark, text in zip(marks, texts, strict=True)
    )


def dot(x: float, y: float, *, main: bool = True) -> Markup:
    """Return a dot: filled in the accent, or the hollow grey one of a comparison."""
    return Markup('<circle class="{}" cx="{}" cy="{}" r="4.5"/>').format("dot" if main else "other dot", px(x), px(y))


def line(name: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """Return a straight line of a class of the stylesheet."""
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(name, *map(px, (x1, y1, x2, y2)))


def label(x: float, y: float, text: str, anchor: str = "start", name: str = "") -> Markup:
    """Return a text whose `anchor` (start, middle, end) is at a place."""
    kind = Markup(' class="{}"').format(name) if name else Markup("")
    return Markup('<text{} x="{}" y="{}" text-anchor="{}">{}</text>').format(kind, px(x), px(y), anchor, text)


def path(name: str, points: Iterable[tuple[float, float]], *, closed: bool = False) -> Markup:
    """Return a line through points, or an area."""
    way = "L".join(f"{px(x)} {px(y)}" for x, y in points)
    return Markup('<path class="{}" d="M{}{}"/>').format(name, way, "Z" if closed else "")


def joined(parts: Iterable[Markup]) -> Markup:
    """Return parts one after another."""
    return Markup("").join(parts)


def px(value: float) -> str:
    """Return a length in pixels."""
    return f"{value:.1f}".removesuffix(".0")


def longest(texts: Iterable[str]) -> float:
    """Return about how wide the longest text is."""
    return max((len(text) for text in texts), default=0) * LETTER


def shortened(text: str, room: float) -> str:
    """Return a text, cut where it has no room; the whole is in the plot's table."""
    letters = int(room / LETTER)
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
