"""The texts of a page in one language, and figures as that language writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.pages import figures
from serving.pages.languages import Language
from serving.pages.parts import Sentence


@dataclass(frozen=True)
class Wording:
    """Writes texts and figures in `lang`. In a text, `{0}` stands for the first value."""

    lang: Language
    texts: Mapping[str, str]

    def text(self, name: str, *values: Any) -> str:
        """Return a text with its values."""
        return self.texts[name].format(*values)

    def texts_of(self, *names: str) -> tuple[str, ...]:
        """Return several texts, such as the names of a table's columns."""
        return tuple(map(self.text, names))

    def named(self, kind: str, code: str) -> str:
        """Return what a code of a kind is called (`KIND-CODE`); the code as words, where it has no name."""
        return self.texts.get(f"{kind}-{code}", figures.spaced(code))

    def sentence(self, name: str, *values: Any, note: str = "") -> Sentence:
        """Return a text with its values as a sentence: the figure that stands out is between pairs of asterisks."""
        before, figure, after = self.text(name, *values).split("**")
        return Sentence(before, figure, after, note)

    def counted(self, name: str, n: float) -> str:
        """Return a count with its noun; the text of one has `-one` after its name."""
        return self.text(f"{name}-one" if round(n) == 1 else name, self.count(n))

    def number(self, value: float, places: int = 0) -> str:
        """Return a number, see `figures.number`."""
        return figures.number(value, places, self.lang)

    def count(self, value: float | None) -> str:
        """Return a count, see `figures.count`."""
        return figures.count(value, self.lang)

    def percent(self, share: float | None, places: int | None = None) -> str:
        """Return a share in percent, see `figures.percent`."""
        return figures.percent(share, places, self.lang)

    def ratio(self, value: float | None) -> str:
        """Return a number of about one, see `figures.ratio`."""
        return figures.ratio(value, self.lang)

    def euros(self, value: float | None, places: int | None = None) -> str:
        """Return euros, see `figures.euros`."""
        return figures.euros(value, places, self.lang)

    def day(self, at: str | float) -> str:
        """Return a day, see `figures.day`."""
        return figures.day(at, self.lang)

    def short_day(self, at_us: float) -> str:
        """Return a day as an axis names it, see `figures.short_day`."""
        return figures.short_day(at_us, self.lang)

    def estimate(self, value: float, low: float, high: float, unit: str = "") -> tuple[str, str, str]:
        """Return an estimate and the ends of its interval, see `figures.estimate`."""
        return figures.estimate(value, low, high, unit, self.lang)

    def between(self, value: float, low: float, high: float, unit: str = "") -> str:
        """Return an estimate and its interval: `12.4%, between 11.6% and 13.1%`."""
        return self.text("between", *self.estimate(value, low, high, unit))

    def bracketed(self, value: float, low: float, high: float, unit: str = "") -> str:
        """Return an estimate and its interval where a sentence goes on: `12.4% (between 11.6% and 13.1%)`."""
        return self.text("bracketed", *self.estimate(value, low, high, unit))
