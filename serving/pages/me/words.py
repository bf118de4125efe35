"""The texts of the customer's own page, Dutch and English, at language level B1."""

from functools import cache
from pathlib import Path
from typing import Final

from decisioning.catalogue.release import Release
from serving.pages.languages import LANGUAGES, Language, texts_of

_FILE: Final = Path(__file__).with_name("words.yaml")


@cache
def words(language: Language) -> dict[str, str]:
    """Return name -> text in a language."""
    return texts_of(_FILE, language)


def language_of(asked: str | None, kept: str | None, accepted: str, release: Release) -> Language:
    """Return the language of a page: as asked for, else as before, as the browser prefers, or as the company writes.

    :param accepted: the header Accept-Language
    """
    preferred = (part.split(";")[0].strip()[:2].lower() for part in accepted.split(","))
    wanted = (asked, kept, *preferred, *release.catalogue.settings.locales)
    return next((language for one in wanted for language in LANGUAGES if one == language), "en")
