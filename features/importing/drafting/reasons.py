"""How drafted features are told as reasons: clauses of words that are known, and of nothing else."""

from typing import Any, Final, Literal

from features.importing.drafting.columns import Column
from features.importing.drafting.names import tokens, unit

Language = Literal["en", "nl"]
NEVER: Final[dict[str, Any]] = {"use": "never"}
_ENGLISH: Final = """
age area backup balance bill billing brand car card category charge city claim colour contract cost
country coverage credit day days delivery dependent device discount district education email family
fee fibre fuel gender home hour house household housing income insurance interest internet item job
kilometre kind language line lines loan loyalty member membership method mileage mobile model month
monthly mortgage movie multiple newsletter occupation online order package paperless partner pay
payment pet phone plan point policy premium price product profession protection purchase region rent
room rooms score season security segment senior service size speed spending status store streaming
subscription support tariff tech tenure term total tv type usage vehicle visit visits year yearly
zone
"""
_DUTCH: Final = """
aantal abonnement auto bedrag beroep betaalwijze bouwjaar brandstof dekking eigen gezin inkomen
jaren kanaal kilometers klantjaren korting land leeftijd looptijd maanden merk opleiding pakket
plaats polis premie prijs product provincie regio rekening risico saldo schade schades segment soort
stad status tarief termijn type verzekering woning
"""
_WORDS: Final[dict[Language, frozenset[str]]] = {"en": frozenset(_ENGLISH.split()), "nl": frozenset(_DUTCH.split())}
_CALENDAR: Final = frozenset({"day", "week", "month", "year", "maand", "dag", "jaar"})
"""What tells when a row was written, and nothing of a customer."""
_UNTOLD_VALUES: Final = frozenset(
    {"no", "none", "unknown", "other", "nonexistent", "missing", "na", "false", "nee", "geen", "onbekend", "overig"}
    | {"anders", "yes", "ja", "true"}
)
_FORMS: Final[dict[Language, dict[str, str]]] = {
    "en": {"years": "{year|years}", "months": "{month|months}", "days": "{day|days}"},
    "nl": {"years": "jaar", "months": "{maand|maanden}", "days": "{dag|dagen}"},
}
_MAX_WORDS: Final = 4
_HAD: Final = frozenset(
    {"service", "protection", "support", "security", "backup", "billing", "insurance", "coverage", "tv", "internet"}
    | {"dekking", "korting", "internet", "insurance"}
)
"""Nouns that people have without an article before them."""


def language_of(columns: list[Column]) -> Language:
    """Return the language that the names of the columns, and answers in them, are written in."""
    parts = [part for column in columns for part in tokens(column.name)]
    dutch = sum(part in _WORDS["nl"] - _WORDS["en"] for part in parts)
    dutch += sum(3 for column in columns if column.kind == "bool" and {"ja", "nee", "j"} & _lower(column))
    return "nl" if dutch > sum(part in _WORDS["en"] - _WORDS["nl"] for part in parts) else "en"


def _lower(column: Column) -> set[str]:
    return {text.lower() for text in column.values}


def because(column: Column, language: Language) -> dict[str, Any]:
    """Return how a column's feature is told, on request alone; to nobody if its name holds what is no known word."""
    parts = tokens(column.name)
    if (
        not parts
        or len(parts) > _MAX_WORDS
        or _CALENDAR.issuperset(parts)
        or not all(_is_word(part, language) for part in parts)
    ):
        return NEVER
    subject, plural = " ".join(parts), _is_plural(parts[-1], language)
    if column.kind == "enum":
        bands = [{"is": text, "text": _of_text(subject, text, plural, language)} for text in _sayable(column)]
        return {"bands": bands} if bands else NEVER
    text = _of_bool(subject, plural, language) if column.kind == "bool" else _of_number(column, parts, plural, language)
    return {"text": text} if text else NEVER


def _is_word(part: str, language: Language) -> bool:
    words = _WORDS[language]
    return (
        part in words
        or (part.endswith("s") and part[:-1] in words)
        or (part.endswith("ies") and part[:-3] + "y" in words)
    )


def _is_plural(noun: str, language: Language) -> bool:
    return (
        noun.endswith("s")
        and not noun.endswith(("ss", "us"))
        and (noun[:-1] in _WORDS[language] or noun[:-3] + "y" in _WORDS[language])
    )


def _sayable(column: Column) -> list[str]:
    """Return the texts of a column that are words: no codes, no digits, nothing that a customer is not."""
    return sorted(text for text in column.values if _is_sayable(text))


def _is_sayable(text: str) -> bool:
    letters = text.replace(" ", "").replace("-", "")
    if not letters.isalpha() or len(text.split()) > _MAX_WORDS or letters.lower() in _UNTOLD_VALUES:
        return False
    negates = text.lower().startswith(("no ", "not ", "geen ", "non-"))
    return not negates and len(letters) > 2 and any(c.islower() for c in letters)


def _of_text(subject: str, text: str, plural: bool, language: Language) -> str:
    words = text.replace("-", " ").lower()
    if language == "nl":
        return f"je {subject} {words} {'zijn' if plural else 'is'}"
    return f"your {subject} {'are' if plural else 'is'} {words}"


def _of_bool(subject: str, plural: bool, language: Language) -> str:
    """Return the clause of a thing that a customer has; empty where it would need an article."""
    if not plural and subject.rpartition(" ")[2] not in _HAD:
        return ""
    return f"je {subject} hebt" if language == "nl" else f"you have {subject}"


def _of_number(column: Column, parts: tuple[str, ...], plural: bool, language: Language) -> str:
    """Return the clause of a number with a unit, or of a count of things; empty for other numbers."""
    measure, subject = unit(column.name), " ".join(parts)
    dutch = language == "nl"
    if parts[-1] in ("age", "leeftijd"):
        return "je {value} {jaar|jaar} bent" if dutch else "you are {value} {year|years} old"
    if measure == "EUR":
        verb = ("zijn" if plural else "is") if dutch else ("are" if plural else "is")
        return f"je {subject} {{value}} {verb}" if dutch else f"your {subject} {verb} {{value}}"
    if measure is not None or not plural or column.kind != "int":
        return ""
    one = " ".join((*parts[:-1], parts[-1][:-3] + "y" if parts[-1].endswith("ies") else parts[-1][:-1]))
    return f"je {{value}} {{{one}|{subject}}} hebt" if dutch else f"you have {{value}} {{{one}|{subject}}}"
