"""What a request itself keeps out, as hints for whoever wrote it: never an offer, and nothing about the customer."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from decisioning.catalogue.release import Release
from decisioning.catalogue.view import View, bits_of
from decisioning.facts.forms import Ask

_TEXTS: Final = {
    "en": {
        "account_id": "Name an account_id: {0} of {1} possibilities are for an account.",
        "issues": "The request, or its key, names other issues than {0} of {1} possibilities have.",
    },
    "nl": {
        "account_id": "Noem een account_id: {0} van de {1} mogelijkheden zijn voor een account.",
        "issues": "De aanvraag, of de sleutel, noemt andere doelen dan {0} van de {1} mogelijkheden hebben.",
    },
}


def hints(release: Release, ask: Ask, locale: str | None = None) -> list[dict[str, Any]]:
    """Return what the request keeps out of its own answer: the field, how many candidates, and a sentence.

    It follows from the request and the release alone, so it is the same for every customer.
    """
    if ask.channel not in release.channels:
        return []
    view = release.view(ask.channel)
    requested = 0
    for placement in ask.placements:
        requested |= view.placements[placement.name].bits if placement.name in view.placements else 0
    texts = _TEXTS["nl" if (locale or ask.locale or _first(release)).startswith("nl") else "en"]
    return [
        {"field": name, "withheld": count, "text": texts[name].format(count, requested.bit_count())}
        for name, members in _kept_out(ask, view)
        if (count := (members & requested).bit_count())
    ]


def _first(release: Release) -> str:
    return release.catalogue.settings.locales[0]


def _kept_out(ask: Ask, view: View) -> Iterator[tuple[str, int]]:
    """Yield each field of the request that keeps candidates out, and these as bits."""
    if ask.account_id is None:
        yield "account_id", view.account_members.bits
    if ask.issues:
        yield "issues", bits_of(np.asarray([a.issue not in ask.issues for a in view.actions], dtype=np.bool_))
