"""Why an offer was made: at most four codes, each for a factor that was used, with a sentence in Dutch or English."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from decisioning.catalogue.view import Weight
from decisioning.deciding.case import Case
from decisioning.deciding.screening import Screened
from decisioning.facts.forms import Scores
from decisioning.facts.schema import Facts, Feature, worded

MAX_REASONS = 4

_TEXTS = {
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


@dataclass(frozen=True)
class Explained:
    """The offer that reasons are given for: candidate `i` of the view, which is row `row` of the scores."""

    i: int
    row: int
    screened: Screened
    scores: Scores
    facts: Facts
    case: Case

    @property
    def features(self) -> Mapping[str, Feature]:
        return self.case.release.schema.features


def reasons(explained: Explained, locale: str) -> list[dict[str, str]]:
    """Return at most MAX_REASONS reasons, most telling first, by the facts that were served."""
    texts = _TEXTS["nl" if locale.startswith("nl") else "en"]
    codes = islice(_codes(explained), MAX_REASONS)
    return [{"code": c, "text": texts[key].format(*(_in_words(w, locale) for w in words))} for c, key, words in codes]


Word = float | str | tuple[tuple[Feature | None, str], ...]
"""A number, a text, or features with the names that a model or a rule has for them."""


def _in_words(word: Word, locale: str) -> str:
    if isinstance(word, float):
        return f"{word:.2f}".replace(".", "," if locale.startswith("nl") else ".")
    return (
        word if isinstance(word, str) else ", ".join(_feature_in_words(feature, name, locale) for feature, name in word)
    )


def _codes(explained: Explained) -> Iterator[tuple[str, str, tuple[Word, ...]]]:
    """Yield (code, text key, words) of what decided; a factor that was multiplied by zero is left out."""
    i, row, scores = explained.i, explained.row, explained.scores
    view, worth = explained.screened.view, explained.screened.worth
    tier = view.actions[i].tier
    weight, lever = float(worth.weight[i]), float(worth.lever[i])
    euros = float(np.multiply(scores.ranking[row], worth.value_eur[i]) - worth.cost_eur[i])
    if tier != "commercial":
        yield f"tier.{tier}", f"tier.{tier}", ()
    if scores.uplift is not None and not np.isnan(scores.uplift[row]):
        yield "uplift", "uplift", (100.0 * float(scores.uplift[row]),)
    if worth.value_eur[i] * weight * lever != 0.0:
        yield from _of_propensity(scores.factors[row] if explained.screened.profiled else None, explained.features)
    if weight != 1.0 and euros * lever != 0.0:
        names = sorted(set().union(*(_decisive(w, explained) for w in worth.applied if w.members[i])))
        yield "context", "context", (tuple((explained.features.get(n), n) for n in names),)
    if lever != 1.0 and euros * weight != 0.0:
        yield "lever", "lever", (lever,)
    if tier == "commercial":
        yield "value.expected", "value.expected", (euros,)


def _of_propensity(
    factors: tuple[str, ...] | None, features: Mapping[str, Feature]
) -> Iterator[tuple[str, str, tuple[Word, ...]]]:
    """Yield the reasons of a propensity; `factors`: what moved the score most, or None if no model was asked."""
    known = [(features.get(name.partition("=")[0]), name) for name in factors or ()]
    for feature, name in known:
        yield f"propensity.{name}", "propensity", (((feature, name),),)
    for feature, name in known:
        if feature and feature.asserted_by:
            yield f"asserted.{name}", "asserted", (name.replace("_", " "), feature.asserted_by)
    if factors is None:
        yield "propensity.prior", "propensity.prior", ()


def _decisive(weight: Weight, explained: Explained) -> frozenset[str]:
    """Return the facts without any one of which the weight would not apply; if there are none, all that it reads."""
    if weight.factor == 1.0:
        return frozenset()
    facts, history = explained.facts, explained.case.history
    needed = frozenset(
        name for name in weight.rule.reads if weight.rule.truth(_without(facts, name), history) is not True
    )
    return needed or weight.rule.reads


def _without(facts: Facts, name: str) -> Facts:
    rest = dict(facts)
    rest.pop(name, None)
    return rest


def _feature_in_words(feature: Feature | None, name: str, locale: str) -> str:
    """Return a feature's description, else its name; for a model's input on one value, the value as well."""
    bare, _, value = name.partition("=")
    meaning = (worded(feature.description, locale) if feature else "") or bare.replace("_", " ")
    return f"{meaning}: {value}" if value else meaning
