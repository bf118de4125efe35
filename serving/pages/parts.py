"""What a page of figures consists of: sections, each with sentences, plots and tables behind a click."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from serving.pages.charts import Point, calibration_chart
from serving.pages.figures import between, count, percent
from serving.pages.tables import TextTable

NO_DRAWING: Final = Markup("")


@dataclass(frozen=True, slots=True)
class PagePart:
    """A plot with its table, or a table alone, behind a click of its title; `text` says how to read it."""

    title: str
    table: TextTable
    text: str = ""
    drawing: Markup = NO_DRAWING


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page; one without sentences and parts is left out."""

    id: str
    title: str
    sentences: tuple[str, ...] = ()
    parts: tuple[PagePart, ...] = ()

    @property
    def shown(self) -> bool:
        """Whether it holds anything."""
        return bool(self.sentences or self.parts)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the first screen: its figure stands out, and its note is small."""

    before: str
    figure: str
    after: str
    note: str = ""

    @property
    def text(self) -> str:
        """The sentence and its note as plain text."""
        return " ".join(part for part in (f"{self.before}{self.figure}{self.after}", self.note) if part)


def calibration_part(title: str, text: str, bins: Sequence[Mapping[str, Any]], of: str = "") -> PagePart:
    """Return the plot of what happened beside what was predicted, with two standard errors; of at least one bin.

    :param of: whose bins they are, for the table's caption
    """
    limits = [(max(b["observed"] - 2.0 * b["error"], 0.0), b["observed"] + 2.0 * b["error"]) for b in bins]
    pairs = list(zip(bins, limits, strict=True))
    points = [Point(b["predicted"], b["observed"], *limit) for b, limit in pairs]
    cells = [
        (percent(b["predicted"]), between(b["observed"], *limit, "share"), count(b["rows"]), count(b["customers"]))
        for b, limit in pairs
    ]
    caption = f"{title}: {of}" if of else title
    table = TextTable(caption, ("Predicted", "Happened", "Rows", "Customers"), cells, words=0)
    return PagePart(title, table, text, calibration_chart(title, points, percent))
