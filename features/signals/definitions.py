"""The signal features of a release, compiled: which trackers an event feeds, and which tracker a feature reads."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from decisioning.catalogue.release import Release
from decisioning.facts.schema import Feature, Value
from decisioning.facts.signals import PARTS, Compute, SignalFeature, SignalSettings, SignalType
from features.signals.trackers import (
    NEVER_US,
    Count,
    Data,
    Distinct,
    Intensity,
    Last,
    SessionEvents,
    SessionSeconds,
    Since,
    Sum,
    Tracker,
)
from features.signals.trackers.repeated import Repeated

_HALVINGS = 64
_DIGITS = 12

_MAKE: Mapping[Compute, Callable[[SignalFeature, Feature, SignalSettings], Tracker]] = {
    "count": lambda spec, _, __: Count(spec.window_us, PARTS, PARTS),
    "sum": lambda spec, _, __: Sum(spec.window_us, PARTS, PARTS),
    "intensity": lambda spec, _, __: Intensity(spec.half_life_us, 1, _HALVINGS),
    "distinct": lambda spec, _, __: Distinct(spec.window_us, spec.keys),
    "last": lambda _, feature, __: Last(None if feature.max_age_s is None else feature.max_age_s * 1_000_000),
    "seconds_since": lambda _, __, ___: Since(),
    "session_events": lambda spec, _, settings: SessionEvents(spec.gap_us, settings.max_lateness_us),
    "session_seconds": lambda spec, _, settings: SessionSeconds(spec.gap_us, settings.max_lateness_us),
    "repeated": lambda spec, _, __: Repeated(spec.window_us),
}


class Feed(NamedTuple):
    """A tracker that is fed by the events of one type whose fields all have one of the values in `where`.

    `copy`, `add`: the tracker's methods, bound once because they are called per event. `begins_us`: the time before
    which an event need not be added, as readings do not reach back so far.
    """

    key: str
    where: tuple[tuple[str, frozenset[Value]], ...]
    field: str | None
    copy: Callable[[Data], Data]
    add: Callable[[Data, int, Value, str], Data]
    begins_us: int


Feeds = Mapping[str, list[Feed]]


class Reading(NamedTuple):
    """A feature, the key of the tracker that it reads, and the reading function."""

    name: str
    key: str
    read: Callable[[Data, int], Value | None]


class Definitions:
    """Compiled signal features.

    `trackers`: content key -> tracker; equal definitions share one, whatever their names. `types`: content key -> the
    types of signals that feed it. `prunes`: key and `prune` of
    those that prune anything. `readings`: ordered by name of feature.
    """

    def __init__(self, features: Iterable[Feature], types: Iterable[SignalType], settings: SignalSettings) -> None:
        types_by_id = {t.id: t for t in types}
        self.trackers: dict[str, Tracker] = {}
        self.types: dict[str, frozenset[str]] = {}
        self.prunes: list[tuple[str, Callable[[Data, int], Data]]] = []
        self.readings: list[Reading] = []
        self._feeds: Feeds = {id_: [] for id_ in types_by_id}
        self._newest: tuple[int, Feeds] = (NEVER_US, self._feeds)
        for feature in sorted(features, key=lambda f: f.name):
            if feature.signal is not None:  # old releases have signal features without a definition
                self._add(feature, feature.signal, types_by_id, settings)

    @classmethod
    def from_release(cls, release: Release) -> "Definitions":
        """Compile the signal features of a release."""
        catalogue = release.catalogue
        return cls(release.schema.of_source("signal"), catalogue.signals, catalogue.settings.signals)

    def _add(
        self, feature: Feature, spec: SignalFeature, types: Mapping[str, SignalType], settings: SignalSettings
    ) -> None:
        key = _content_key(spec, types, settings)
        tracker = _MAKE[spec.compute](spec, feature, settings)
        self.readings.append(Reading(feature.name, key, tracker.read))
        if key in self.trackers:
            return
        self.trackers[key] = tracker
        if type(tracker).prune is not Tracker.prune:
            self.prunes.append((key, tracker.prune))
        where = tuple((name, frozenset(values)) for name, values in sorted(spec.where.items()))
        counted, ending = frozenset(spec.of) & types.keys(), frozenset(spec.since) & types.keys()
        self.types[key] = counted | ending
        for name in counted:
            self._feeds[name].append(Feed(key, where, spec.field, tracker.copy, tracker.add, NEVER_US))
        if isinstance(tracker, Repeated):
            for name in ending:
                self._feeds[name].append(Feed(key, (), None, tracker.copy, tracker.begin_anew, NEVER_US))

    def feeds(self, at_us: int) -> "Feeds":
        """Return what the events of each type feed, if they are read at a time or later; by `begins_us`, ascending."""
        newest_us, feeds = self._newest
        if newest_us != at_us:  # events that are recorded together have the same
            begins = {key: tracker.begins_us(at_us) for key, tracker in self.trackers.items()}
            feeds = {
                id_: sorted((f._replace(begins_us=begins[f.key]) for f in of_type), key=attrgetter("begins_us"))
                for id_, of_type in self._feeds.items()
            }
            self._newest = at_us, feeds
        return feeds


def _content_key(spec: SignalFeature, types: Mapping[str, SignalType], settings: SignalSettings) -> str:
    """Return a hash that is equal for definitions whose trackers hold the same data, whatever reads them."""
    session = spec.compute.startswith("session_")
    content: dict[str, Any] = {
        "of": sorted(spec.of),
        "where": {name: sorted({json.dumps(value) for value in values}) for name, values in spec.where.items()},
        "compute": "session" if session else spec.compute,
        "field": spec.field,
        "dtypes": sorted(
            {f.dtype for name in spec.of if name in types for f in types[name].fields if f.name == spec.field}
        ),
        "window_us": spec.window_us,
        "half_life_us": spec.half_life_us,
        "keys": spec.keys if spec.compute == "distinct" else None,
        "session": [spec.gap_us, settings.max_lateness_us] if session else None,
        **({"since": sorted(spec.since)} if spec.since else {}),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
