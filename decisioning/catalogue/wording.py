"""Words that press or pretend, in Dutch and English: claims that little is left, and claims to feel what others feel.

Every text is read for both languages, whatever its locale; case, kinds of quotes and line breaks do not matter.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Literal

Claim = Literal["scarcity", "deadline"]

_QUANTITY = r"(?:\d+|\{\w+\}|one|two|three|four|five|six|a few|een|één|twee|drie|vier|vijf|zes|een paar|enkele)"
_TIME = r"(?:hours?|days?|minutes?|weeks?|uur|uren|dagen|dag|minuten|weken|week)"
_LITTLE = rf"{_QUANTITY}(?!\w)(?! (?:more )?{_TIME})"
_SCARCITY = (
    rf"only (?:have )?{_LITTLE}(?: \w+){{0,3}} (?:left|remaining|available|to go)",
    rf"(?:just|last|final) {_LITTLE}(?: \w+){{0,3}} (?:left|remaining|available|in stock)",
    r"(?:almost|nearly) (?:gone|sold out)|selling (?:out )?fast|going fast|while (?:stocks?|supplies) lasts?",
    r"limited (?:stock|supply|number|edition|availability|places|quantity)|last (?:ones?|items?|pieces?|places?) left",
    r"while they last|running out|few(?:er)? (?:\w+ )?left",
    rf"(?:nog|slechts) (?:maar )?{_LITTLE}(?: \w+){{0,3}} (?:over|beschikbaar|op voorraad|te krijgen|vrij)",
    rf"nog (?:maar|slechts) {_LITTLE}",
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
_VERY = r"(?:(?:really|truly|fully|completely|can|do|so|very well|exactly|just|totally|deeply|absolutely) )*"
_HEEL = r"(?:(?:heel goed|heel|erg|goed|helemaal|volledig|precies|echt|maar al te goed|zo|best) )*"
_FEELINGS = (
    r"(?:frustrations?|anger|pain|disappointment|sadness|grief|worry|worries|fears?|anxiety|stress|annoyance|upset|"
    r"irritation|sorrow|feelings?|emotions?|distress|hurt|loss|joy|excitement)"
)
_GEVOEL = (
    r"(?:frustratie|boosheid|woede|pijn|teleurstelling|verdriet|zorgen|angst|onrust|stress|ergernis|irritatie|rouw|"
    r"gevoel(?:ens)?|emoties?|verlies|blijdschap|ongeduld|spanning)"
)
_HARD = r"(?:frustrating|upsetting|hard|difficult|painful|annoying|stressful|worrying|disappointing|sad|scary|tough)"
_MOEILIJK = (
    r"(?:frustrerend|vervelend|moeilijk|zwaar|pijnlijk|ergerlijk|stressvol|verdrietig|teleurstellend|naar|eng|lastig)"
)
_WE, _WIJ = r"\b(?:i|we)", r"\b(?:ik|wij|we)"
_GRASP = r"(?:understand|know|feel|sense|get|see|realise|realize|imagine)"
_SNAP = r"(?:begrijp|snap|weet|voel|merk|zie|besef|begrijpen|snappen|weten|voelen|merken|zien|beseffen)"
_DEEL = r"(?:begrijp|snap|voel|deel|herken|begrijpen|snappen|voelen|delen|herkennen)"
_LEEF = r"(?:voel|voelen|leef|leven)"
_FELT = (
    rf"{_WE} {_VERY}{_GRASP} {_VERY}(?:how|what) (?:it is )?"
    r"(?:you(?:'re| are| must)?(?: be)?|(?:this|that|it) makes you)(?: \w+)? (?:feeling|feel|going through)",
    rf"{_WE} {_VERY}{_GRASP} how {_HARD}",
    rf"{_WE} {_VERY}(?:{_GRASP}|share|recognise|recognize) (?:all )?your {_FEELINGS}",
    rf"{_WE} {_VERY}feel (?:for|with) you\b|\bi feel you\b|\bwe feel the same\b",
    r"\b(?:i'?m|i am|we'?re|we are) (?:just )?as (?:upset|sad|frustrated|angry|disappointed|sorry|happy) as you",
    rf"\b(?:this|that|it) must (?:be|feel|have been) (?:\w+ )?{_HARD}",
    rf"{_WIJ} {_SNAP} {_HEEL}(?:hoe|wat) (?:u|je|jij|jullie|dit|dat|het)"
    r"(?: zich| je| jou| u| met je| met u| voor je| voor u)* (?:nu |zich )?(?:voelt|voelen|doormaakt|meemaakt|doet)",
    rf"{_WIJ} {_SNAP} {_HEEL}hoe {_HEEL}{_MOEILIJK}",
    rf"{_WIJ} {_DEEL} {_HEEL}(?:al )?(?:uw|je|jouw|jullie) {_GEVOEL}",
    rf"{_WIJ} {_LEEF} {_HEEL}(?:met )?(?:u|je|jou|jullie) {_HEEL}mee\b",
    rf"{_WIJ} {_LEEF} {_HEEL}(?:mee )?met (?:u|je|jou|jullie)\b",
    r"\b(?:ik ben|wij zijn|we zijn) (?:net |even )?zo "
    r"(?:boos|verdrietig|gefrustreerd|teleurgesteld|blij) als (?:u|je|jij)",
    rf"\b(?:dit|dat|het) moet (?:{_HEEL}){_MOEILIJK}(?: voor (?:u|je|jou))? (?:zijn|voelen)",
)
_CLAIMS: Mapping[Claim, re.Pattern[str]] = {
    "scarcity": re.compile("|".join(rf"(?<!\w)(?:{p})" for p in _SCARCITY)),
    "deadline": re.compile("|".join(rf"(?<!\w)(?:{p})" for p in _DEADLINE)),
}
_PRETENDS = re.compile("|".join(f"(?:{p})" for p in _FELT))
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff*~`]")


def claims(text: str) -> Iterator[tuple[Claim, str]]:
    """Every kind of pressure in a text, with the words that make it."""
    plain = _plain(text)
    for kind, pattern in _CLAIMS.items():
        if found := pattern.search(plain):
            yield kind, found.group().strip()


def pretended(text: str) -> str | None:
    """The words by which a text claims to feel what the customer feels; None where there are none."""
    found = _PRETENDS.search(_plain(text))
    return found.group().strip() if found else None


def _plain(text: str) -> str:
    """One line of lower case with plain quotes, without what is not seen and without marks of emphasis."""
    seen = _UNSEEN.sub("", unicodedata.normalize("NFKC", text)).translate({0x2019: "'", 0x2018: "'"})
    return " ".join(seen.casefold().split())
