"""The texts of the report, in the languages of pages."""

from functools import cache
from pathlib import Path
from typing import Final

from serving.pages.languages import Language, texts_of
from serving.pages.wording import Wording

_FILE: Final = Path(__file__).with_name("words.yaml")


@cache
def report_wording(lang: Language) -> Wording:
    """Return the texts of the report in a language."""
    return Wording(lang, texts_of(_FILE, lang))
