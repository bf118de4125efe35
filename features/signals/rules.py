"""What a release says of signals: the features that are computed from them, and how long each type is kept."""

from decisioning.catalogue.release import Release
from decisioning.times import days_us
from features.signals.definitions import Definitions


class SignalRules:
    """A release's rules for signals: its compiled features, and how long each type is kept.

    `held`: keys of the trackers of which the log holds every event that still counts.
    """

    def __init__(self, release: Release) -> None:
        self.definitions = Definitions.from_release(release)
        self.retention_us = {id_: days_us(type_.retention_days) for id_, type_ in release.signals.items()}
        self.held = frozenset(key for key in self.definitions.trackers if self._is_held(key))

    def _is_held(self, key: str) -> bool:
        reach_us = self.definitions.trackers[key].reach_us()
        return reach_us is not None and all(self.retention_us[t] >= reach_us for t in self.definitions.types[key])
