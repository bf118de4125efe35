"""What one request is decided with: a release, the models and stores over it, and what is paused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from decisioning.catalogue.release import Release
from features.messages.language import LANGUAGES, Language
from features.messages.scoring import Trained
from features.profile.online import Profiles
from features.signals.intake import Intake
from features.signals.store import Signals
from serving.brain.trials import Models
from training.registry import Registry, sentiment_name


@dataclass(frozen=True, slots=True)
class MessageScorers:
    """The trained models that score messages in place of the built-in scorers: the champions of `sentiment-<language>`.

    By language: their versions and the loaded models.
    """

    versions: Mapping[Language, int]
    trained: Trained

    @classmethod
    def load(cls, registry: Registry, versions: Mapping[Language, int]) -> Self:
        """Load the models from their sealed copies; raises NotFound or Refused if one is not what was registered."""
        models = {spoken: registry.load_sentiment(sentiment_name(spoken), v) for spoken, v in versions.items()}
        return cls(versions, models)

    @property
    def names(self) -> dict[Language, str]:
        """Language -> the model's name, as the field `scorer` of a message shows it."""
        return {spoken: f"{sentiment_name(spoken)}@{version}" for spoken, version in self.versions.items()}


def sentiment_champions(registry: Registry) -> dict[Language, int]:
    """Return the version that serves each language, without the languages that have none."""
    versions = {spoken: registry.alias_version(sentiment_name(spoken), "champion") for spoken in LANGUAGES}
    return {spoken: version for spoken, version in versions.items() if version is not None}


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
