"""What one request is decided with: a release, the models and stores over it, and what is paused."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Self

from decisioning.catalogue.release import Release
from features.messages.hearing.model import KIND as HEARING
from features.messages.hearing.model import HearingModel
from features.messages.intents.model import IntentModel
from features.messages.language import LANGUAGES, Language
from features.messages.scoring import MessageModels, Trained
from features.profile.online import Profiles
from features.signals.intake import Intake
from features.signals.store import Signals
from serving.brain.trials import Models
from training.registry import Registry, sentiment_name


@dataclass(frozen=True, slots=True)
class MessageScorers:
    """The trained models that score messages in place of the built-in ones.

    `versions`: the champion's version by the name of its model, `sentiment-<language>` and `hearing`. `trained`: the
    models of sentiment by language. `hearing`: the model that hears, None for the one that comes with the product; it
    hears, too, in place of a model that was trained when other words were listed.
    """

    versions: Mapping[str, int]
    trained: Trained
    hearing: HearingModel | None

    @classmethod
    def load(cls, registry: Registry, versions: Mapping[str, int]) -> Self:
        """Load the models from their sealed copies; raises NotFound or Refused if one is not what was registered."""
        models = {
            spoken: registry.load_sentiment(name, versions[name])
            for spoken in LANGUAGES
            if (name := sentiment_name(spoken)) in versions
        }
        hearing = registry.load_hearing(versions[HEARING]) if HEARING in versions else None
        return cls(versions, models, hearing if hearing is not None and hearing.is_of_these_words else None)

    @property
    def names(self) -> dict[Language, str]:
        """Language -> the model's name, as the field `scorer` of a message shows it."""
        return {spoken: f"{name}@{self.versions[name]}" for spoken in self.trained if (name := sentiment_name(spoken))}


def message_champions(registry: Registry) -> dict[str, int]:
    """Return the version that serves of each model of messages, without those that have none."""
    names = (*map(sentiment_name, LANGUAGES), HEARING)
    versions = {name: registry.alias_version(name, "champion") for name in names}
    return {name: version for name, version in versions.items() if version is not None}


@dataclass(frozen=True)
class Snapshot:
    """What one request is decided with; a newer snapshot replaces it as a whole.

    `intents`: names the intents of messages; None if the release lists none.
    """

    release: Release
    profiles: Profiles
    signals: Signals
    intake: Intake
    models: Models
    scorers: MessageScorers
    paused: frozenset[str]
    intents: IntentModel | None

    def message_models(self, fields: Container[str]) -> MessageModels:
        """Return what scores a message whose type declares these fields."""
        intents = self.intents if "intent" in fields else None
        return MessageModels(self.scorers.trained, self.scorers.names, self.scorers.hearing, intents)

    @property
    def model(self) -> str:
        """The champion's name."""
        return self.models.champion.name
