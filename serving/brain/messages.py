"""The trained models that score messages in place of the built-in scorers: the champions of `sentiment-<language>`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from features.messages.language import LANGUAGES, Language
from features.messages.scoring import Trained
from training.registry import Registry, sentiment_name


@dataclass(frozen=True, slots=True)
class MessageScorers:
    """The champions by language: their versions and the loaded models."""

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
