"""What the package says in words, in Dutch and English, where the catalogue has none of its own."""

from collections.abc import Mapping
from typing import Final, Literal

from decisioning.catalogue.actions import Settings
from decisioning.catalogue.people.package import HelpWords

Spoken = Literal["nl", "en"]
TEXTS: Final[Mapping[Spoken, Mapping[str, str]]] = {
    "en": {
        "known": "What we know",
        "yes": "yes",
        "no": "no",
        "care": "needs a person who is trained for this",
        "asked so": "Not shown: the customer asked so.",
        "nothing heard": "Nothing was written yet from which a course could be told.",
        "single": "There is one message so far.",
        "worse": "The messages became more negative.",
        "better": "The messages became less negative.",
        "same": "The messages stayed about the same.",
        "shouting": "written in capitals",
        "punctuation": "several exclamation or question marks",
        "negative": "negative words",
        "wants_person": "asks for a person",
        "complaint": "complains",
        "repetition": "says that it happened before",
    },
    "nl": {
        "known": "Wat wij weten",
        "yes": "ja",
        "no": "nee",
        "care": "heeft iemand nodig die hiervoor is opgeleid",
        "asked so": "Niet getoond: de klant heeft daarom gevraagd.",
        "nothing heard": "Er is nog niets geschreven waaruit een verloop blijkt.",
        "single": "Er is tot nu toe één bericht.",
        "worse": "De berichten werden negatiever.",
        "better": "De berichten werden minder negatief.",
        "same": "De berichten bleven ongeveer gelijk.",
        "shouting": "in hoofdletters geschreven",
        "punctuation": "meerdere uitroep- of vraagtekens",
        "negative": "negatieve woorden",
        "wants_person": "vraagt om een mens",
        "complaint": "klaagt",
        "repetition": "zegt dat het eerder is gebeurd",
    },
}
HELP: Final[Mapping[str, HelpWords]] = {
    "en": HelpWords(
        acknowledge=(
            "I have read what you wrote, so you need not repeat it.",
            "I see that this took several attempts. Thank you for telling us.",
        ),
        way_out=(
            "I can sort this out with you now, or call you back when it suits you better.",
            "You may stop at any moment. What we agree on, I put in writing.",
        ),
    ),
    "nl.je": HelpWords(
        acknowledge=(
            "Ik heb gelezen wat je schreef, dus je hoeft het niet te herhalen.",
            "Ik zie dat dit meerdere keren is geprobeerd. Goed dat je het vertelt.",
        ),
        way_out=(
            "Ik kan dit nu met je regelen, of je terugbellen wanneer het je beter uitkomt.",
            "Je kunt op elk moment stoppen. Wat wij afspreken, zet ik op schrift.",
        ),
    ),
    "nl.u": HelpWords(
        acknowledge=(
            "Ik heb gelezen wat u schreef, dus u hoeft het niet te herhalen.",
            "Ik zie dat dit meerdere keren is geprobeerd. Goed dat u het vertelt.",
        ),
        way_out=(
            "Ik kan dit nu met u regelen, of u terugbellen wanneer het u beter uitkomt.",
            "U kunt op elk moment stoppen. Wat wij afspreken, zet ik op schrift.",
        ),
    ),
}


def spoken_in(locale: str) -> Spoken:
    """Return the language of the package for a locale."""
    return "nl" if locale.partition("-")[0] == "nl" else "en"


def words_that_help(settings: Settings, locale: str) -> HelpWords:
    """Return the catalogue's words that help in a locale, or ours in its language."""
    language = spoken_in(locale)
    own = settings.handover.words.get(locale)
    return own or HELP[language if language == "en" else f"nl.{settings.address}"]
