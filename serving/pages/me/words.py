"""The texts of the customer's own page, Dutch and English, at language level B1."""

from functools import cache
from pathlib import Path
from typing import Final, Literal, get_args

from yaml import safe_load

from decisioning.catalogue.release import Release

Language = Literal["nl", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
_FILE: Final = Path(__file__).with_name("words.yaml")


@cache
def words(language: Language) -> dict[str, str]:
    """Return name -> text in a language."""
    return {name: texts[language] for name, texts in safe_load(_FILE.read_text(encoding="utf-8")).items()}


def language_of(asked: str | None, kept: str | None, accepted: str, release: Release) -> Language:
    """Return the language of a page: as asked for, else as before, as the browser prefers, or as the company writes.

    :param accepted: the header Accept-Language
    """
    preferred = (part.split(";")[0].strip()[:2].lower() for part in accepted.split(","))
    wanted = (asked, kept, *preferred, *release.catalogue.settings.locales)
    return next((language for one in wanted for language in LANGUAGES if one == language), "en")
