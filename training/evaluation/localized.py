"""Sentences of reports, in every language of pages. The texts are in `words.yaml` beside this."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, Final

from yaml import safe_load

LocalText = Mapping[str, str]
"""Language -> a text in it."""
LANGUAGES: Final = ("en", "nl")
_FILE: Final = Path(__file__).with_name("words.yaml")
_MARKS: Final = str.maketrans(",.", ".,")


class _Writer(Formatter):
    """Writes values into a text; a LocalText in the text's language, and numbers with a format with its marks."""

    def __init__(self, language: str) -> None:
        self._language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Mapping):
            return str(value[self._language])
        text = str(super().format_field(value, format_spec))
        return text.translate(_MARKS) if format_spec and self._language == "nl" else text


def localized(name: str, /, **values: Any) -> LocalText:
    """Return the text of this name with its values, in every language."""
    return {lang: _Writer(lang).format(_texts()[name][lang], **values) for lang in LANGUAGES}


def joined(parts: list[LocalText], between: str = " ") -> LocalText:
    """Return texts one after another."""
    return {lang: between.join(part[lang] for part in parts) for lang in LANGUAGES}


def fields(name: str, text: LocalText) -> dict[str, str]:
    """Return a text as fields of a report: `name` in English, and `name_nl` in Dutch."""
    return {_field(name, lang): text[lang] for lang in LANGUAGES}


def local_text(section: Mapping[str, Any], name: str) -> LocalText:
    """Return the text that `fields` made fields of."""
    return {lang: section[_field(name, lang)] for lang in LANGUAGES}


def _field(name: str, lang: str) -> str:
    return name if lang == "en" else f"{name}_{lang}"


@cache
def _texts() -> dict[str, LocalText]:
    texts: dict[str, LocalText] = safe_load(_FILE.read_text(encoding="utf-8"))
    return texts
