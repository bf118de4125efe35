"""How well a model hears phrasings: shares by kind and language, and a table of them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from features.messages.hearing.model import KINDS, HearingModel, built_in
from features.messages.text import clean
from tests.features.messages.hearing import Phrasing

LANGUAGES = ("nl", "en")


class Judged(NamedTuple):
    """A phrasing with the kinds that are heard in it."""

    phrasing: Phrasing
    heard: frozenset[str]


def judgement(said: Iterable[Phrasing], model: HearingModel | None = None) -> list[Judged]:
    """Return phrasings with what a model hears in each, by default the one that comes with the product."""
    hears = model or built_in()
    return [Judged(phrasing, frozenset(hears.heard(clean(phrasing.text)))) for phrasing in said]


def is_of(phrasing: Phrasing, kind: str) -> bool:
    """Return whether a kind of `features.messages.hearing.model.KINDS` should be heard in a phrasing."""
    return phrasing.label == kind if phrasing.kind == "request" else phrasing.kind == kind


def shares(judged: Sequence[Judged], kind: str, language: str) -> tuple[float, float]:
    """Return the share of the kind that is heard, and the share of ordinary messages in which it is heard."""
    spoken = [one for one in judged if one.phrasing.language == language]
    hits = [kind in one.heard for one in spoken if is_of(one.phrasing, kind)]
    alarms = [kind in one.heard for one in spoken if one.phrasing.kind == "ordinary"]
    return float(np.mean(hits)), float(np.mean(alarms))


def rows(judged: Sequence[Judged]) -> list[tuple[str, str, int, float, float]]:
    """Return kind, language, number of phrasings of the kind, its recall and its false alarms, both as shares."""
    return [
        (kind, language, count, *shares(judged, kind, language))
        for kind in KINDS
        for language in LANGUAGES
        if (count := sum(is_of(one.phrasing, kind) and one.phrasing.language == language for one in judged))
    ]


def table(judged: Sequence[Judged]) -> str:
    """Return `rows` as lines of text."""
    lines = [f"{kind:12} {lang}  {n:4}  {heard:.3f}  {alarms:.4f}" for kind, lang, n, heard, alarms in rows(judged)]
    return "\n".join(("kind         lang   n  recall  false alarms", *lines))
