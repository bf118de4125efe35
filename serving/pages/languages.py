"""The languages of pages: how each writes numbers, months and texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

from yaml import safe_load

Language = Literal["nl", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
MONTHS: Final[Mapping[Language, tuple[str, ...]]] = {
    "en": (
        *("January", "February", "March", "April", "May", "June", "July", "August"),
        *("September", "October", "November", "December"),
    ),
    "nl": (
        *("januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus"),
        *("september", "oktober", "november", "december"),
    ),
}
_MARKS: Final = str.maketrans(",.", ".,")


def texts_of(file: Path, lang: Language) -> dict[str, str]:
    """Return name -> text in a language, from a file that holds each text in every language."""
    return {str(name): texts[lang] for name, texts in safe_load(file.read_text(encoding="utf-8")).items()}


def with_marks(number: str, language: Language) -> str:
    """Return a number written with the marks of a language for thousands and decimals; `number` is in English."""
    return number.translate(_MARKS) if language == "nl" else number


def in_language(section: Mapping[str, Any], name: str, language: Language) -> str:
    """Return a sentence of a report in a language; in English where the report states no other; empty without one."""
    return section.get(f"{name}_{language}") or section.get(name) or ""
