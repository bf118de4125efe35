"""Wording 1: the words that formats 1 and 2 make from codes and figures. Frozen: decisions recorded with it repeat it.

To change a text, a way to write numbers, or how placeholders are filled, write the next wording beside this one and
name it in `decisioning.records.formats`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from decisioning.catalogue.actions import Content, Settings, Treatment
from decisioning.facts.schema import Facts, Feature
from decisioning.records.kept import Reason
from decisioning.times import iso

_REASONS: Final = {
    "en": {
        "tier.mandatory": "This has to be said, whatever else could be.",
        "tier.service": "Help comes before sales.",
        "value.expected": "Expected value {0} euro after costs.",
        "propensity.prior": "Usual response to this action; nothing personal was computed.",
        "propensity": "{0} counts for how likely this is to suit.",
        "uplift": "Being told of it makes it {0} percentage points likelier.",
        "context": "It fits what is happening now ({0}).",
        "lever": "The business weighs this action {0}.",
        "asserted": "{0} was stated by {1}, not measured.",
    },
    "nl": {
        "tier.mandatory": "Dit moet gezegd worden, wat er verder ook kan.",
        "tier.service": "Helpen gaat voor verkopen.",
        "value.expected": "Verwachte waarde {0} euro na kosten.",
        "propensity.prior": "Gebruikelijke respons op deze actie; er is niets persoonlijks berekend.",
        "propensity": "{0} telt mee voor hoe goed dit past.",
        "uplift": "Erop gewezen worden maakt het {0} procentpunt waarschijnlijker.",
        "context": "Het past bij wat er nu gebeurt ({0}).",
        "lever": "Het bedrijf weegt deze actie met {0}.",
        "asserted": "{0} is opgegeven door {1}, niet gemeten.",
    },
}
_DISCLOSURES: Final = {
    "en": "You are talking with a computer, not with a person.",
    "nl": "Je praat met een computer, niet met een mens.",
}
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)\}")
_PER_FEATURE: Final = frozenset({"propensity", "asserted"})
"""Kinds of reasons about one of the model's inputs, whose name is part of their code."""
Part = str | Feature
"""A piece of a text: as it is written, or the fact that fills a placeholder."""
Template = tuple[str, list[tuple[str, tuple[Part, ...]]]]
"""The tone that a content is written in, and its fields in pieces."""


class Words:
    """The words of one release. Whatever does not depend on the customer is made once.

    `features` and `treatments` are those of the release, by name and by full id.
    """

    def __init__(
        self, features: Mapping[str, Feature], treatments: Mapping[str, Treatment], settings: Settings
    ) -> None:
        self._features, self._treatments, self._settings = features, treatments, settings
        self._templates: dict[tuple[str, str | None, str], Template] = {}
        self._of_inputs: dict[tuple[str, str, str], tuple[str, str]] = {}

    def reason(self, reason: Reason, locale: str, _facts: Facts) -> dict[str, Any]:
        """Return a reason's code and its sentence."""
        kind, about = reason
        if kind in _PER_FEATURE:
            code, text = self._of_input(kind, str(about), locale)
            return {"code": code, "text": text}
        text = _REASONS[_language(locale)][kind]
        if isinstance(about, tuple):
            text = text.format(", ".join(self._named(name, locale) for name in about))
        elif about is not None:
            text = text.format(about if isinstance(about, str) else _two_decimals(about, locale))
        return {"code": kind, "text": text}

    def content(self, treatment: str, tone: str | None, locale: str, facts: Facts) -> tuple[dict[str, str], str]:
        """Return a treatment's fields in this locale, filled with facts, and the tone that they are written in.

        That tone is `neutral` if the treatment is not written in the one asked for.
        """
        key = treatment, tone, locale
        if (template := self._templates.get(key)) is None:
            template = self._templates[key] = self._template(self._treatments[treatment], tone, locale)
        written_in, fields = template
        filled = {}
        for name, parts in fields:
            filled[name] = "".join(
                [p if isinstance(p, str) else _formatted(facts.get(p.name), p, locale) for p in parts]
            )
        return filled, written_in

    def disclosure(self, locale: str) -> str:
        """Return the text that discloses a machine (Art. 50(1), Regulation (EU) 2024/1689): the workspace's or ours."""
        ours = _DISCLOSURES.get(locale.partition("-")[0], _DISCLOSURES["en"])
        return self._settings.ai_disclosure.get(locale) or ours

    def _template(self, treatment: Treatment, tone: str | None, locale: str) -> Template:
        variant: Content = treatment.tone.get(tone, {}) if tone else {}
        if tone is not None and locale in variant:
            written_in, fields = tone, variant[locale]
        else:
            written_in = "neutral"
            fields = treatment.content.get(locale) or next(iter(treatment.content.values()), {})
        return written_in, [(name, tuple(self._parts(text))) for name, text in fields.items()]

    def _parts(self, text: str) -> list[Part]:
        """Split a text at its placeholders; doubled braces are literal ones."""
        parts: list[Part] = []
        at = 0
        for match in _PLACEHOLDER.finditer(text):
            parts.append(text[at : match.start()])
            parts.append(match.group()[0] if match.group(1) is None else self._features[match.group(1)])
            at = match.end()
        return [part for part in (*parts, text[at:]) if part != ""]

    def _of_input(self, kind: str, name: str, locale: str) -> tuple[str, str]:
        """Return the code and the sentence of a reason about one of the model's inputs."""
        key = kind, name, locale
        if (made := self._of_inputs.get(key)) is None:
            template = _REASONS[_language(locale)][kind]
            if kind == "propensity":
                text = template.format(self._named(name, locale))
            else:
                feature = self._features.get(name.partition("=")[0])
                text = template.format(name.replace("_", " "), feature.asserted_by if feature else None)
            made = self._of_inputs[key] = (f"{kind}.{name}", text)
        return made

    def _named(self, name: str, locale: str) -> str:
        """Return a feature's description, else its name; for a model's input on one value, the value as well."""
        bare, _, value = name.partition("=")
        feature = self._features.get(bare)
        meaning = (_described(feature, locale) if feature else "") or bare.replace("_", " ")
        return f"{meaning}: {value}" if value else meaning


def _language(locale: str) -> str:
    return "nl" if locale.startswith("nl") else "en"


def _described(feature: Feature, locale: str) -> str:
    """Return the feature's description in the locale, else in its language, else the first one written."""
    described = feature.description
    if isinstance(described, str):
        return described
    wanted = (locale, locale.partition("-")[0])
    return next((described[w] for w in wanted if w in described), next(iter(described.values()), ""))


def _two_decimals(number: float, locale: str) -> str:
    text = f"{number:.2f}"
    return text.replace(".", ",") if locale.startswith("nl") else text


def _formatted(value: object, feature: Feature, locale: str) -> str:
    """Return a fact as customers read it: a time as its date, euros with two decimals."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value)
    if feature.dtype == "timestamp" and isinstance(value, int):
        return iso(value)[:10]
    if isinstance(value, float | int) and feature.unit == "EUR":
        return _two_decimals(value, locale)
    return f"{value:g}" if isinstance(value, float) else str(value)
