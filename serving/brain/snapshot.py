"""What one request is decided with: a release, the models and stores over it, and what is paused."""

from dataclasses import dataclass

from decisioning.catalogue.release import Release
from features.profile.online import Profiles
from features.signals.intake import Intake
from features.signals.store import Signals
from serving.brain.messages import MessageScorers
from serving.brain.trials import Models


@dataclass(frozen=True)
class Snapshot:
    """What one request is decided with; a newer snapshot replaces it as a whole."""

    release: Release
    profiles: Profiles
    signals: Signals
    intake: Intake
    models: Models
    scorers: MessageScorers
    paused: frozenset[str]

    @property
    def model(self) -> str:
        """The champion's name."""
        return self.models.champion.name
