"""Wording 2: the clauses of features that the catalogue gives none, in English, made of their names. Frozen."""

import re
from collections.abc import Iterator
from typing import Final

from decisioning.facts.because import Band, Because
from decisioning.facts.schema import Feature

_WORD: Final = re.compile(r"[a-z]{2,}")
_WINDOW: Final = re.compile(r"([1-9][0-9]*)(min|h|d|m)")
_SPANS: Final = {"min": "minutes", "h": "hours", "d": "days", "m": "months"}
_FORMS: Final = {
    "months": "{month|months}",
    "month": "{month|months}",
    "years": "{year|years}",
    "year": "{year|years}",
    "days": "{day|days}",
    "day": "{day|days}",
    "hours": "{hour|hours}",
    "hour": "{hour|hours}",
    "gb": "GB",
    "mb": "MB",
    "km": "km",
    "mbps": "Mbit/s",
    "mbit/s": "Mbit/s",
    "%": "percent",
}
"""What comes last in a name, or its unit, in lower case -> what is written after the number."""
_UNITS_IN_NAMES: Final = frozenset({"eur", "usd", "pct", "n", "nr", "num", *_FORMS})
_NOT_TOLD: Final = frozenset({"unknown", "none", "other", "no", "false", "na", "nan", "missing"})
"""Values of an enum that say what a customer is not, or nothing."""
_MAX_WORDS: Final = 5


def clauses_of(feature: Feature) -> Because | None:
    """Return what the catalogue says about a feature's reasons, else a clause made of its name; None if none can be.

    What is made here is told only on request, until the catalogue says more.
    """
    if feature.because is not None:
        return feature.because
    subject, span = _subject(feature.name)
    if not subject or len(subject.split()) > _MAX_WORDS:
        return None
    if feature.dtype == "bool":
        return Because(text={"en": _of_bool(subject, span)})
    if feature.dtype == "enum":
        bands = tuple(_bands(feature, subject, span))
        return Because(bands=bands) if bands else None
    return Because(text={"en": _of_number(feature, subject, span)}) if feature.dtype in ("int", "float") else None


def _subject(name: str) -> tuple[str, str]:
    """Return a feature's name in words without its unit, and the time that it is about (" in 90 days") if any.

    Both are empty if a part of the name is no word.
    """
    *tokens, last = name.split("_")
    span = ""
    if match := _WINDOW.fullmatch(last):
        span = f" in {match[1]} {_SPANS[match[2]]}"
    elif last not in _UNITS_IN_NAMES or not tokens:
        tokens.append(last)
    return (" ".join(tokens), span) if tokens and all(map(_WORD.fullmatch, tokens)) else ("", "")


def _of_bool(subject: str, span: str) -> str:
    first, _, rest = subject.partition(" ")
    if rest and first in ("has", "is"):
        return f"you {'have' if first == 'has' else 'are'} {rest}{span}"
    return f"{subject} applies to you{span}"


def _bands(feature: Feature, subject: str, span: str) -> Iterator[Band]:
    for value in feature.values:
        words = re.sub(r"[^A-Za-z]+", " ", value).strip()
        if words and words.lower() not in _NOT_TOLD and not any(c.isdigit() for c in value):
            yield Band.model_validate({"is": value, "text": {"en": f"your {subject} is {words.lower()}{span}"}})


def _of_number(feature: Feature, subject: str, span: str) -> str:
    form = _FORMS.get((feature.unit or "").lower()) or _FORMS.get(feature.name.rpartition("_")[2])
    *before, noun = subject.split()
    if form is None and feature.unit != "EUR" and feature.dtype == "int" and _is_plural(noun):
        one = " ".join((*before, _singular(noun)))
        return f"you have {{value}} {{{one}|{subject}}}{span}"
    return f"your {subject} is {{value}}{f' {form}' if form else ''}{span}"


def _is_plural(noun: str) -> bool:
    return len(noun) > 3 and noun.endswith("s") and not noun.endswith(("ss", "us", "is"))


def _singular(noun: str) -> str:
    if noun.endswith("ies"):
        return f"{noun[:-3]}y"
    return noun[:-2] if noun.endswith(("ches", "shes", "sses", "xes")) else noun[:-1]
