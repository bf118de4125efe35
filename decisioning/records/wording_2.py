"""Wording 2: reasons as one short sentence each, from codes, figures, facts and the catalogue. Frozen, as wording 1 is.

A reason about a feature is the catalogue's clause for the customer's value, after "because" if it speaks for the offer
and "although" if it speaks against it. All else is as in wording 1.
"""

import re
from collections.abc import Mapping
from math import exp
from typing import Any, Final, NamedTuple

from decisioning.catalogue.actions import Settings, Treatment
from decisioning.facts.because import Use, clause_in
from decisioning.facts.clauses_2 import clauses_of
from decisioning.facts.schema import Facts, Feature, Value
from decisioning.records.kept import Reason
from decisioning.records.wording_1 import Words

_SENTENCES: Final = {
    "en": {
        "for": "Because {0}.",
        "against": "Although {0}.",
        "tier.mandatory": "This message is required.",
        "tier.service": "Help comes before offers.",
        "value.expected": "Expected value {0} euro after costs.",
        "propensity.prior": "By the usual response; nothing personal was computed.",
        "propensity.untried": "This is new: nobody's response is known yet.",
        "propensity": "One more fact moved the estimate.",
        "uplift": "Showing it changes the likelihood by {0} percentage points.",
        "context": "It fits what is happening now.",
        "context.against": "It fits less well with what is happening now.",
        "lever": "The business multiplies its priority by {0}.",
        "asserted": "One of the facts was stated by {0}, not measured.",
    },
    "nl": {
        "for": "Omdat {0}.",
        "against": "Hoewel {0}.",
        "tier.mandatory": "Dit bericht is verplicht.",
        "tier.service": "Hulp gaat voor aanbiedingen.",
        "value.expected": "Verwachte waarde {0} euro na kosten.",
        "propensity.prior": "Op basis van de gebruikelijke respons; er is niets persoonlijks berekend.",
        "propensity.untried": "Dit is nieuw: er is nog geen respons bekend.",
        "propensity": "Nog een gegeven telt mee in de schatting.",
        "uplift": "Het tonen verandert de kans met {0} procentpunt.",
        "context": "Het past bij wat er nu gebeurt.",
        "context.against": "Het past minder goed bij wat er nu gebeurt.",
        "lever": "Het bedrijf vermenigvuldigt de prioriteit met {0}.",
        "asserted": "Een van de gegevens is opgegeven door {0}, niet gemeten.",
    },
}
_SMALL_NUMBERS: Final = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    "nl": ("nul", "één", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen", "tien", "elf", "twaalf"),
}
_STRENGTHS: Final = ((0.8, "strong"), (0.3, "moderate"), (0.0, "weak"))
"""Least part of the log-odds, or of the logarithm of a factor -> its name."""
_SLOT: Final = re.compile(r"\{value\}|\{([^{}|]*)\|([^{}|]*)\}")
_WHOLE_FROM: Final = 10.0


class Spoken(NamedTuple):
    """The sentence about a feature's value, empty if there is none; and who may be told, None: the company alone."""

    use: Use | None
    sentence: str


_BUILT_IN: Final = frozenset({"channel", "locale", "now", "gpc", "has_account"})
_NOT_TOLD: Final = Spoken(None, "")


class DirectedWords(Words):
    """The words of one release; see wording 1."""

    def __init__(
        self, features: Mapping[str, Feature], treatments: Mapping[str, Treatment], settings: Settings
    ) -> None:
        super().__init__(features, treatments, settings)
        declared = (f for f in features.values() if f.name not in _BUILT_IN)
        self._because = {f.name: because for f in declared if (because := clauses_of(f)) is not None}

    def reason(self, reason: Reason, locale: str, facts: Facts) -> dict[str, Any]:
        """Return a reason's code and sentence.

        One about a feature also has `use`, `direction`, `strength` and `figure`: what the feature adds to the log-odds,
        or the factor that it multiplies the priority by.
        """
        kind, about = reason
        sentences = _SENTENCES[_language(locale)]
        if kind in ("propensity", "context") and isinstance(about, tuple | str) and about:
            return self._of_feature(kind, about if isinstance(about, str) else about[0], locale, facts)
        if kind == "asserted":
            name = str(about).partition("=")[0]
            feature = self._features.get(name)
            return {"code": f"{kind}.{name}", "text": sentences[kind].format(feature.asserted_by if feature else "")}
        figure = about if isinstance(about, float | int) else None
        return {"code": kind, "text": sentences[kind].format(None if figure is None else number(figure, locale, 2))}

    def _of_feature(self, kind: str, signed: str, locale: str, facts: Facts) -> dict[str, Any]:
        """Return the reason about one feature; a context that names none if there is no sentence about it."""
        name, figure = signed_name(signed)
        direction, sentences = "for" if figure > 0.0 else "against", _SENTENCES[_language(locale)]
        use, sentence = self.spoken(name, direction, locale, facts)
        code = f"{kind}.{name}"
        if not sentence and kind == "context":
            code, use, sentence = kind, "shown", sentences["context" if direction == "for" else "context.against"]
        return {
            "code": code,
            "text": sentence or sentences["propensity"],
            "use": use,
            "direction": direction,
            "strength": next(word for least, word in _STRENGTHS if abs(figure) >= least),
            "figure": figure if kind == "propensity" else round(exp(figure), 1),
        }

    def has_clause(self, name: str, locale: str) -> bool:
        """Tell whether some value of a feature has a clause in a locale."""
        because = self._because.get(name)
        return because is not None and any(clause_in(clause, locale) for _, clause in because.clauses)

    def spoken(self, name: str, direction: str, locale: str, facts: Facts) -> Spoken:
        """Return what is told of a feature's value among these facts."""
        because, value = self._because.get(name), facts.get(name)
        if because is None or value is None or not (clause := because.clause(value)):
            return _NOT_TOLD
        text = clause if isinstance(clause, str) else clause.get(locale) or clause_in(clause, locale)
        if not text:
            return _NOT_TOLD
        clause = filled(text, value, self._features[name], locale) if "{" in text else text
        return Spoken(because.use, _SENTENCES[_language(locale)][direction].format(clause))


def signed_name(signed: str) -> tuple[str, float]:
    """Return the feature and the figure of a name such as `age+0.4`; no name for `+0.4`, 0 if there is no figure."""
    at = max(signed.rfind("+"), signed.rfind("-"))
    return (signed, 0.0) if at < 0 else (signed[:at], float(signed[at:]))


def filled(text: str, value: Value, feature: Feature, locale: str) -> str:
    """Return a clause with the value written into it, in the form of the words that belongs to it."""
    written, is_one = _written(value, feature, locale)
    return _SLOT.sub(lambda slot: written if slot[1] is None else slot[1] if is_one else slot[2], text)


def _written(value: Value, feature: Feature, locale: str) -> tuple[str, bool]:
    """Return a value as it is read aloud, and whether it reads as exactly one."""
    if isinstance(value, bool | str):
        return str(value), False
    if feature.unit == "EUR":
        amount = number(value, locale, 0 if float(value).is_integer() else 2)
        return (f"€ {amount}" if _language(locale) == "nl" else f"€{amount}"), False
    shown = round(float(value), 0 if abs(value) >= _WHOLE_FROM else 1)
    small = _SMALL_NUMBERS[_language(locale)]
    if shown.is_integer() and 0 <= shown < len(small):
        return small[int(shown)], shown == 1.0
    return number(shown, locale, 0 if shown.is_integer() else 1), False


def number(figure: float, locale: str, decimals: int) -> str:
    """Return a number with so many decimals, and groups of three digits from ten thousand on."""
    text = f"{figure:,.{decimals}f}" if abs(figure) >= 10_000 else f"{figure:.{decimals}f}"
    return text.translate(str.maketrans(",.", ".,")) if _language(locale) == "nl" else text


def _language(locale: str) -> str:
    return "nl" if locale.startswith("nl") else "en"
