"""Why an offer: at most four codes, each naming a factor that was used, with a sentence in Dutch or English."""

from collections.abc import Iterator, Mapping

import numpy as np

from decisioning.decision import Scores
from decisioning.schema import Feature
from decisioning.screening import Screened

MAX_REASONS = 4

_SAID = {
    "en": {
        "tier.mandatory": "This has to be said, whatever else could be.",
        "tier.service": "Help comes before sales.",
        "value.expected": "Expected value {0} euro after costs.",
        "propensity.prior": "Usual response to this action; nothing personal was computed.",
        "propensity": "{0} counts for how likely this is to suit.",
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
        "context": "Het past bij wat er nu gebeurt ({0}).",
        "lever": "Het bedrijf weegt deze actie met {0}.",
        "asserted": "{0} is opgegeven door {1}, niet gemeten.",
    },
}


def reasons(
    i: int, row: int, screened: Screened, scores: Scores, features: Mapping[str, Feature], locale: str
) -> list[dict[str, str]]:
    """Reasons for candidate `i` of the view, which is row `row` of the scores."""
    said = _SAID["nl" if locale.startswith("nl") else "en"]
    found = _codes(i, row, screened, scores, features)
    spoken = [{"code": c, "text": said[key].format(*(_number(w, locale) for w in words))} for c, key, words in found]
    return spoken[:MAX_REASONS]


def _number(word: object, locale: str) -> str:
    if not isinstance(word, float):
        return str(word)
    return f"{word:.2f}".replace(".", "," if locale.startswith("nl") else ".")


def _codes(
    i: int, row: int, screened: Screened, scores: Scores, features: Mapping[str, Feature]
) -> Iterator[tuple[str, str, tuple[object, ...]]]:
    view, worth = screened.view, screened.worth
    tier = view.actions[i].tier
    if tier != "commercial":
        yield f"tier.{tier}", f"tier.{tier}", ()
    factors = scores.factors[row] if screened.profiled else ()
    for name in factors:
        yield f"propensity.{name}", "propensity", (_said(features.get(name.partition("=")[0]), name),)
    for name in factors:
        if (feature := features.get(name.partition("=")[0])) and feature.asserted_by:
            yield f"asserted.{name}", "asserted", (name.replace("_", " "), feature.asserted_by)
    if not screened.profiled:
        yield "propensity.prior", "propensity.prior", ()
    if worth.weight[i] != 1.0:
        names = sorted(set().union(*(w.rule.reads for w in worth.applied if w.members[i])))
        yield "context", "context", (", ".join(_said(features.get(n), n) for n in names),)
    if worth.lever[i] != 1.0:
        yield "lever", "lever", (float(worth.lever[i]),)
    if tier == "commercial":
        euros = float(np.multiply(scores.propensity[row], worth.value_eur[i]) - worth.cost_eur[i])
        yield "value.expected", "value.expected", (euros,)


def _said(feature: Feature | None, name: str) -> str:
    """A feature in words: what its description says, else its name; of a model's input on one value, that too."""
    bare, _, value = name.partition("=")
    meaning = feature.description if feature and feature.description else bare.replace("_", " ")
    return f"{meaning}: {value}" if value else meaning
