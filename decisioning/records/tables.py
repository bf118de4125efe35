"""What a release says about records, prepared once: numbers for its names, and the static parts of its offers.

The order of the numbers is part of the formats: it may follow from the bytes of the release alone.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from decisioning.catalogue.actions import Action, Channel, Treatment, full_id
from decisioning.catalogue.release import Release
from decisioning.catalogue.view import FOREVER_US, View
from decisioning.facts.schema import Feature
from decisioning.records.facts import FactTable
from decisioning.records.pieces import Numbering, SignedNumbering
from decisioning.records.wording_1 import Words

_BUILT_IN: Final = (
    ("channel", "string", "the request's channel", "het kanaal van de vraag"),
    ("locale", "string", "the request's locale", "de taal van de vraag"),
    ("now", "timestamp", "the time of the decision", "het moment van de beslissing"),
    ("gpc", "bool", "Global Privacy Control of the browser", "Global Privacy Control van de browser"),
    ("has_account", "bool", "whether the request named an account", "of de vraag een account noemde"),
)
"""The facts that every decision of formats 1 and 2 has, whatever its release declares. Frozen, as their wording is."""


class Offered(NamedTuple):
    """What a release says about one candidate of a channel."""

    action: str
    treatment: str
    group: str
    issue: str
    tier: str
    price_eur: float | None
    automation: str
    content_ref: str | None
    ends_us: int
    routes: Mapping[str, str | None]


class ChannelTable:
    """One channel: its candidates by row, and the numbers of its placements."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.channel: Channel = view.channel
        self.placements = Numbering(view.channel.placements)
        self.offered = [_offered(a, t) for a, t in zip(view.actions, view.treatments, strict=True)]
        self.rows = {name: row for row, name in enumerate(view.ids)}

    def expires_us(self, row: int, decided_us: int) -> int:
        """Return until when an offer holds: as long as the channel reserves, but not longer than the action runs."""
        return min(decided_us + self.channel.reservation_s * 1_000_000, self.offered[row].ends_us)


class Tables:
    """The tables of one release, for the formats with one wording."""

    def __init__(self, release: Release, words: type[Words]) -> None:
        catalogue = release.catalogue
        self.release = release
        self.features = _features(catalogue.features)
        self.facts = FactTable(self.features.values())
        inputs = Numbering if release.wording == 1 else SignedNumbering
        self.inputs = inputs(sorted(self.features))
        self.channels = Numbering([c.id for c in catalogue.channels])
        self.locales = Numbering(catalogue.settings.locales)
        self.actions = Numbering([a.id for a in catalogue.actions])
        self.purposes = Numbering([p.id for p in catalogue.purposes])
        self.bases = Numbering([b.id for b in catalogue.bases])
        treatments = {full_id(action, treatment): treatment for action, treatment in release.candidates}
        self.words = words(self.features, treatments, catalogue.settings)
        self._channels: dict[str, ChannelTable] = {}

    def prepare(self) -> None:
        """Make the tables of all channels, so that no decision waits for them."""
        for name in self.release.channels:
            self.channel(name)

    def channel(self, name: str) -> ChannelTable:
        """Return the table of a channel; raises RequestError for a channel that is not declared."""
        if name not in self._channels:
            self._channels[name] = ChannelTable(self.release.view(name))
        return self._channels[name]


@lru_cache(maxsize=32)
def tables_of(release: Release, words: type[Words]) -> Tables:
    """Return the tables of a release, made once."""
    return Tables(release, words)


def _features(declared: Sequence[Feature]) -> dict[str, Feature]:
    built_in = (
        Feature.model_validate({"name": n, "dtype": d, "source": "context", "description": {"en": en, "nl": nl}})
        for n, d, en, nl in _BUILT_IN
    )
    return {feature.name: feature for feature in (*built_in, *declared)}


def _offered(action: Action, treatment: Treatment) -> Offered:
    routes = {"review": action.review, "contest": action.contest} if action.significant else {}
    return Offered(
        action=action.id,
        treatment=full_id(action, treatment),
        group=action.group,
        issue=action.issue,
        tier=action.tier,
        price_eur=action.price_eur,
        automation=_automation(action),
        content_ref=treatment.content_ref,
        ends_us=FOREVER_US if action.ends_us is None else action.ends_us,
        routes=routes,
    )


def _automation(action: Action) -> str:
    """Return `automation`, or `human_only` for a significant action without a basis or one of its routes."""
    contestable = action.basis and action.review and action.contest
    return "human_only" if action.significant and not contestable else action.automation
