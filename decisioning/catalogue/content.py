"""The texts that customers read: a treatment's content in a locale and a tone, with facts filled in."""

import re
from collections.abc import Mapping

from decisioning.catalogue.actions import Content, Settings, Treatment
from decisioning.facts.schema import Facts, Feature
from decisioning.times import iso

DISCLOSURE = {
    "en": "You are talking with a computer, not with a person.",
    "nl": "Je praat met een computer, niet met een mens.",
}
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)\}")


def placeholders(treatment: Treatment) -> frozenset[str]:
    """Return every feature that a text of the treatment names, in any locale and tone."""
    texts = (
        text
        for content in (treatment.content, *treatment.tone.values())
        for fields in content.values()
        for text in fields.values()
    )
    return frozenset(m.group(1) for text in texts for m in PLACEHOLDER.finditer(text) if m.group(1))


def disclosure(settings: Settings, locale: str) -> str:
    """Return the text that discloses a machine (Art. 50(1), Regulation (EU) 2024/1689): the workspace's, else ours."""
    return settings.ai_disclosure.get(locale) or DISCLOSURE.get(locale.partition("-")[0], DISCLOSURE["en"])


def render(
    treatment: Treatment, tone: str | None, locale: str, facts: Facts, features: Mapping[str, Feature]
) -> tuple[dict[str, str], str]:
    """Return the fields in this locale and their tone; the tone is `neutral` if the requested one is not written."""
    variant: Content = treatment.tone.get(tone, {}) if tone else {}
    toned = tone is not None and locale in variant
    fields = variant[locale] if toned else treatment.content.get(locale) or next(iter(treatment.content.values()), {})
    filled = {name: _filled(text, locale, facts, features) for name, text in fields.items()}
    return filled, (tone if toned and tone else "neutral")


def _filled(text: str, locale: str, facts: Facts, features: Mapping[str, Feature]) -> str:
    def substitute(match: re.Match[str]) -> str:
        name = match.group(1)
        return match.group()[0] if name is None else _formatted(facts.get(name), features[name], locale)

    return PLACEHOLDER.sub(substitute, text)


def _formatted(value: object, feature: Feature, locale: str) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value)
    if feature.dtype == "timestamp" and isinstance(value, int):
        return iso(value)[:10]
    if isinstance(value, float | int) and feature.unit == "EUR":
        return f"{value:.2f}".replace(".", "," if locale.startswith("nl") else ".")
    return f"{value:g}" if isinstance(value, float) else str(value)
