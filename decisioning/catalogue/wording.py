"""Patterns for texts that press, pretend or tactlessly remind, in Dutch and English.

They find claims that little is left, claims to feel what the customer feels, and what is no reason of an offer: risk,
lateness, leaving and trouble. Every text is read for both languages,
whatever its locale; case, kinds of quotes and line breaks do not matter.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Literal

Claim = Literal["scarcity", "deadline"]

_QUANTITY = r"(?:\d+|\{\w+\}|one|two|three|four|five|six|a few|een|één|twee|drie|vier|vijf|zes|een paar|enkele)"
_TIME = r"(?:hours?|days?|minutes?|weeks?|uur|uren|dagen|dag|minuten|weken|week)"
_SMALL_QUANTITY = rf"{_QUANTITY}(?!\w)(?! (?:more )?{_TIME})"
_SCARCITY = (
    rf"only (?:have )?{_SMALL_QUANTITY}(?: \w+){{0,3}} (?:left|remaining|available|to go)",
    rf"(?:just|last|final) {_SMALL_QUANTITY}(?: \w+){{0,3}} (?:left|remaining|available|in stock)",
    r"(?:almost|nearly) (?:gone|sold out)|selling (?:out )?fast|going fast|while (?:stocks?|supplies) lasts?",
    r"limited (?:stock|supply|number|edition|availability|places|quantity)|last (?:ones?|items?|pieces?|places?) left",
    r"while they last|running out|few(?:er)? (?:\w+ )?left",
    rf"(?:nog|slechts) (?:maar )?{_SMALL_QUANTITY}(?: \w+){{0,3}} (?:over|beschikbaar|op voorraad|te krijgen|vrij)",
    rf"nog (?:maar|slechts) {_SMALL_QUANTITY}",
    r"(?:bijna|haast) (?:uitverkocht|weg|vol)\b|op\s?=\s?op|zolang de voorraad strekt",
    r"beperkte? (?:voorraad|oplage|aantal)",
    r"(?:de )?laatste (?:exemplaren|stuks|plaatsen|plekken)|wees er snel bij|gaat hard",
)
_DEADLINE = (
    r"last chance|final (?:hours?|days?|call)|(?:last|final) (?:few )?(?:hours?|days?) (?:to|of|only)",
    r"(?:ends?|ending|expires?|closes?|closing) (?:very )?(?:soon|today|tonight|tomorrow|at midnight|this \w+)",
    r"(?:today|tonight|this week(?:end)?) only|only (?:today|tonight|this week(?:end)?|until|till)",
    r"(?:limited|short) time(?: only| offer)?|hurry|act (?:now|fast|today)|don'?t (?:wait|miss (?:out|it|this))",
    r"before (?:it'?s too late|it is too late|midnight|time runs out)|time is running out|now or never",
    rf"(?:only|just) {_QUANTITY} (?:more )?{_TIME}",
    r"laatste kans|laatste (?:dag|dagen|uren|uur)\b|nu of nooit|mis (?:het|dit|deze \w+) niet|haast je|haast u",
    r"alleen (?:vandaag|vanavond|nu|deze week|dit weekend)",
    r"(?:eindigt|stopt|verloopt|sluit) (?:al )?"
    r"(?:vandaag|vanavond|morgen|snel|binnenkort|om middernacht|(?:dit|deze) \w+)",
    rf"nog (?:maar|slechts) {_QUANTITY} {_TIME}|tijdelijk(?:e)? (?:aanbod|actie|aanbieding)",
    r"voordat het te laat is|tijd dringt|wacht niet (?:te lang|langer)|slechts tijdelijk",
)
_INTENSIFIERS_EN = r"(?:(?:really|truly|fully|completely|can|do|so|very well|exactly|just|totally|deeply|absolutely) )*"
_INTENSIFIERS_NL = r"(?:(?:heel goed|heel|erg|goed|helemaal|volledig|precies|echt|maar al te goed|zo|best) )*"
_FEELINGS_EN = (
    r"(?:frustrations?|anger|pain|disappointment|sadness|grief|worry|worries|fears?|anxiety|stress|annoyance|upset|"
    r"irritation|sorrow|feelings?|emotions?|distress|hurt|loss|joy|excitement)"
)
_FEELINGS_NL = (
    r"(?:frustratie|boosheid|woede|pijn|teleurstelling|verdriet|zorgen|angst|onrust|stress|ergernis|irritatie|rouw|"
    r"gevoel(?:ens)?|emoties?|verlies|blijdschap|ongeduld|spanning)"
)
_HARD_EN = r"(?:frustrating|upsetting|hard|difficult|painful|annoying|stressful|worrying|disappointing|sad|scary|tough)"
_HARD_NL = (
    r"(?:frustrerend|vervelend|moeilijk|zwaar|pijnlijk|ergerlijk|stressvol|verdrietig|teleurstellend|naar|eng|lastig)"
)
_WE_EN, _WE_NL = r"\b(?:i|we)", r"\b(?:ik|wij|we)"
_UNDERSTAND_EN = r"(?:understand|know|feel|sense|get|see|realise|realize|imagine)"
_UNDERSTAND_NL = r"(?:begrijp|snap|weet|voel|merk|zie|besef|begrijpen|snappen|weten|voelen|merken|zien|beseffen)"
_SHARE_NL = r"(?:begrijp|snap|voel|deel|herken|begrijpen|snappen|voelen|delen|herkennen)"
_SYMPATHISE_NL = r"(?:voel|voelen|leef|leven)"
_PRETENDED_FEELING = (
    rf"{_WE_EN} {_INTENSIFIERS_EN}{_UNDERSTAND_EN} {_INTENSIFIERS_EN}(?:how|what) (?:it is )?"
    r"(?:you(?:'re| are| must)?(?: be)?|(?:this|that|it) makes you)(?: \w+)? (?:feeling|feel|going through)",
    rf"{_WE_EN} {_INTENSIFIERS_EN}{_UNDERSTAND_EN} how {_HARD_EN}",
    rf"{_WE_EN} {_INTENSIFIERS_EN}(?:{_UNDERSTAND_EN}|share|recognise|recognize) (?:all )?your {_FEELINGS_EN}",
    rf"{_WE_EN} {_INTENSIFIERS_EN}feel (?:for|with) you\b|\bi feel you\b|\bwe feel the same\b",
    r"\b(?:i'?m|i am|we'?re|we are) (?:just )?as (?:upset|sad|frustrated|angry|disappointed|sorry|happy) as you",
    rf"\b(?:this|that|it) must (?:be|feel|have been) (?:\w+ )?{_HARD_EN}",
    rf"{_WE_NL} {_UNDERSTAND_NL} {_INTENSIFIERS_NL}(?:hoe|wat) (?:u|je|jij|jullie|dit|dat|het)"
    r"(?: zich| je| jou| u| met je| met u| voor je| voor u)* (?:nu |zich )?(?:voelt|voelen|doormaakt|meemaakt|doet)",
    rf"{_WE_NL} {_UNDERSTAND_NL} {_INTENSIFIERS_NL}hoe {_INTENSIFIERS_NL}{_HARD_NL}",
    rf"{_WE_NL} {_SHARE_NL} {_INTENSIFIERS_NL}(?:al )?(?:uw|je|jouw|jullie) {_FEELINGS_NL}",
    rf"{_WE_NL} {_SYMPATHISE_NL} {_INTENSIFIERS_NL}(?:met )?(?:u|je|jou|jullie) {_INTENSIFIERS_NL}mee\b",
    rf"{_WE_NL} {_SYMPATHISE_NL} {_INTENSIFIERS_NL}(?:mee )?met (?:u|je|jou|jullie)\b",
    r"\b(?:ik ben|wij zijn|we zijn) (?:net |even )?zo "
    r"(?:boos|verdrietig|gefrustreerd|teleurgesteld|blij) als (?:u|je|jij)",
    rf"\b(?:dit|dat|het) moet (?:{_INTENSIFIERS_NL}){_HARD_NL}(?: voor (?:u|je|jou))? (?:zijn|voelen)",
)
_CLAIMS: Mapping[Claim, re.Pattern[str]] = {
    "scarcity": re.compile("|".join(rf"(?<!\w)(?:{p})" for p in _SCARCITY)),
    "deadline": re.compile("|".join(rf"(?<!\w)(?:{p})" for p in _DEADLINE)),
}
_PRETENDED_FEELING_PATTERN = re.compile("|".join(f"(?:{p})" for p in _PRETENDED_FEELING))
_NO_REASON = re.compile(
    r"\b(?:late(?:ly paid|ness)?|overdue|arrears|debts?|owed?|unpaid|reminders?|dunning|"
    r"leav(?:e|es|ing)|left us|cancel\w*|churn\w*|terminat\w*|competitors?|switch(?:ed|ing)? (?:to|provider)|"
    r"risks?|hardship|vulnerab\w*|bereave\w*|death|died|deceased|complain\w*|fraud\w*|default(?:ed)?|"
    r"te laat|achterstand\w*|schuld\w*|aanmaning\w*|openstaand\w*|wanbetal\w*|"
    r"opzeg\w*|opgezegd|vertrek\w*|weggaan|weggaat|overstap\w*|concurrent\w*|"
    r"\w*risico\w*|geldzorg\w*|kwetsba\w*|overlijd\w*|overleden|klacht\w*|klaagt|fraude\w*)\b"
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff*~`]")


def claims(text: str) -> Iterator[tuple[Claim, str]]:
    """Yield every kind of pressure in a text, with the words that make it."""
    plain = _normalized(text)
    for kind, pattern in _CLAIMS.items():
        if match := pattern.search(plain):
            yield kind, match.group().strip()


def pretended_feeling(text: str) -> str | None:
    """Return the words by which a text claims to feel what the customer feels; None if there are none."""
    match = _PRETENDED_FEELING_PATTERN.search(_normalized(text))
    return match.group().strip() if match else None


def no_reason(text: str) -> str | None:
    """Return the words by which a text is no reason of an offer: risk, lateness, leaving or trouble; None without."""
    match = _NO_REASON.search(_normalized(text))
    return match.group() if match else None


def _normalized(text: str) -> str:
    """Return the text as one line in lower case with plain quotes, without invisible characters and emphasis."""
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate({0x2019: "'", 0x2018: "'"})
    return " ".join(visible.casefold().split())
