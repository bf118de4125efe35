"""What a page of figures consists of: sections, each with sentences, plots and tables behind a click."""

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

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
