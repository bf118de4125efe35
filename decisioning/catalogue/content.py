"""What the customer reads: a treatment's text in a locale and a tone, with the facts it names filled in."""

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
    """Every feature that some text of the treatment, in whatever locale or tone, names."""
    texts = (
        text
        for content in (treatment.content, *treatment.tone.values())
        for fields in content.values()
        for text in fields.values()
    )
    return frozenset(m.group(1) for text in texts for m in PLACEHOLDER.finditer(text) if m.group(1))


def disclosure(settings: Settings, locale: str) -> str:
    """That a machine is speaking (Art. 50(1) of Regulation (EU) 2024/1689): in the workspace's words, or in ours."""
    return settings.ai_disclosure.get(locale) or DISCLOSURE.get(locale.partition("-")[0], DISCLOSURE["en"])


def render(
    treatment: Treatment, tone: str | None, locale: str, facts: Facts, features: Mapping[str, Feature]
) -> tuple[dict[str, str], str]:
    """The fields in this locale, and the tone they are in: `neutral` where the one asked for is not written in it."""
    spoken: Content = treatment.tone.get(tone, {}) if tone else {}
    toned = tone is not None and locale in spoken
    fields = spoken[locale] if toned else treatment.content.get(locale) or next(iter(treatment.content.values()), {})
    filled = {name: _fill(text, locale, facts, features) for name, text in fields.items()}
    return filled, (tone if toned and tone else "neutral")


def _fill(text: str, locale: str, facts: Facts, features: Mapping[str, Feature]) -> str:
    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        return match.group()[0] if name is None else _say(facts.get(name), features[name], locale)

    return PLACEHOLDER.sub(one, text)


def _say(value: object, feature: Feature, locale: str) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value)
    if feature.dtype == "timestamp" and isinstance(value, int):
        return iso(value)[:10]
    if isinstance(value, float | int) and feature.unit == "EUR":
        return f"{value:.2f}".replace(".", "," if locale.startswith("nl") else ".")
    return f"{value:g}" if isinstance(value, float) else str(value)
