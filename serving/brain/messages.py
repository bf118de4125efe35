"""What scores messages in place of the built-in scorers: the champions of `sentiment-<language>`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from features.messages.language import LANGUAGES, Language
from features.messages.scoring import Trained
from training.registry import Registry, sentiment_name


@dataclass(frozen=True, slots=True)
class Scorers:
    """By language; `versions` are those of the champions."""

    versions: Mapping[Language, int]
    trained: Trained

    @classmethod
    def load(cls, registry: Registry, versions: Mapping[Language, int]) -> Self:
        """From their sealed copies; raises NotFound or Refused where one is not what was registered."""
        return cls(
            versions, {spoken: registry.load_sentiment(sentiment_name(spoken), v) for spoken, v in versions.items()}
        )

    @property
    def names(self) -> dict[Language, str]:
        """As the field `scorer` of a message tells them."""
        return {spoken: f"{sentiment_name(spoken)}@{version}" for spoken, version in self.versions.items()}


def champions(registry: Registry) -> dict[Language, int]:
    """The version that serves each language which has one."""
    found = {spoken: registry.aliased(sentiment_name(spoken), "champion") for spoken in LANGUAGES}
    return {spoken: version for spoken, version in found.items() if version is not None}
