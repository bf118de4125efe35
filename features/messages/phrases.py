"""The phrases that `cues` looks for, as regular expressions over lower-case text in English and Dutch.

Gaps are counted in words and end with a clause, so that the time of every search is linear in the length of the text.
"""

_GAP = r"[^\s.,;:!?]+"

_ORDINAL = (
    r"(?:second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|umpteenth|nth|hundredth|thousandth"
    r"|\d{1,3}(?:nd|rd|th))"
)
_TIMES = r"(?:twice|(?:two|three|four|five|six|seven|eight|nine|ten|many|several|multiple|countless|\d{1,3}) times)"
_CONTACTED = r"(?:already|called|phoned|emailed|asked|told|contacted|tried|written|complained)"
_RANK = (
    r"(?:tweede|derde|vierde|vijfde|zesde|zevende|achtste|negende|tiende|zoveelste|honderdste|duizendste"
    r"|\d{1,3}(?:e|de|ste))"
)
_KEREN = (
    r"(?:twee|drie|vier|vijf|zes|zeven|acht|negen|tien|vaak|meerdere|zo ?veel|tig|honderd|\d{1,3}) "
    r"(?:keer|maal|keren)"
)
REPETITION = (
    rf"\bthe {_ORDINAL} (?:time|day|week|month|call|e-?mail|message|complaint)\b",
    rf"\b{_CONTACTED}(?: {_GAP}){{0,3}} {_TIMES}\b",
    r"\b(?:again and again|over and over|time and again|time after time|yet again|once again)\b",
    r"\b(?:how many times|how often|keep (?:having to|asking|calling|telling|repeating|explaining))\b",
    r"\bstill (?:not|no|waiting|nothing|haven't|hasn't|isn't|doesn't|don't|can't|won't|didn't)\b",
    rf"\bde {_RANK} (?:keer|maal|dag|week|maand|mail|klacht)\b",
    rf"\bal (?:minstens |zeker |meer dan )?{_KEREN}\b",
    r"\bnog (?:steeds|altijd) (?:niet|niets|niks|geen|aan het wachten|wachten)\b",
    r"\b(?:keer op keer|steeds weer|telkens weer|steeds opnieuw|elke keer weer|hoe vaak|hoeveel keer)\b",
    r"\b(?:weer|alweer|wederom) (?:niet|geen|niks|niets|kapot|mis|storing|een storing)\b",
)

COMPLAINT = (
    r"\bcomplain(?:t|ts|ed|ing)?\b",
    r"\b(?:unacceptable|ridiculous|outrageous|disgrace|disgraceful|disgusting|appalling|pathetic|incompetent|useless)\b",
    r"\b(?:worst|terrible|horrible|awful|poor|bad) (?:\S+ )?(?:service|experience|company|support|airline|provider)\b",
    r"\b(?:scam|scammers|fraud|rip ?-?off|lawyer|legal action|ombudsman|trading standards)\b",
    r"\b(?:fed up|sick of|sick and tired|had enough|waste of (?:my )?(?:time|money)|let down)\b",
    r"\bdisappoint(?:ed|ing|ment)\b|\b(?:still|been|keep) waiting\b|\bon hold\b",
    r"\b(?:not|isn't|doesn't|don't|won't|stopped|never|hasn't been) work(?:ing|s)?\b|\bbroken\b|\boutage\b",
    r"\b(?:no (?:response|reply|answer|one answers|explanation)|nobody (?:answers|replies|responds|helps))\b",
    r"\bklacht(?:en)?\b|\bklagen\b",
    r"\b(?:onacceptabele?|belachelijke?|schandalige?|schande|schandelijke?|waardelo(?:os|ze)|onbeschofte?)\b",
    r"\b(?:wanprestatie|oplichting|oplichters|opgelicht|advocaat|ombudsman|geschillencommissie|rechtszaak)\b",
    r"\b(?:slechte|beroerde|waardeloze|vreselijke) (?:\S+ )?(?:service|ervaring|bedrijf|klantenservice)\b",
    r"\b(?:spuug)?zat\b|\bbeu\b|\bklaar mee\b|\bteleurgesteld\b|\bteleurstelling\b|\bschadevergoeding\b|\bgeld terug\b",
    rf"\b(?:werkt|werken|lukt|klopt|doet het|doen het)(?: {_GAP}){{0,3}} niet\b|\bkapot\b|\bstoring(?:en)?\b",
    r"\bgeen (?:reactie|antwoord|gehoor|oplossing)\b|\bniemand (?:reageert|antwoordt|neemt op|helpt)\b",
)

DENIED = (
    r"\b(?:no|not|never|without|don't|doesn't|didn't|isn't|wasn't|nothing to|geen|niet|nooit|zonder|niets te|hoef|hoeft"
    rf"|hoeven)\b(?: {_GAP}){{0,3}} ?$"
)
"""Matches the end of the text before a complaint if that text denies the complaint."""
DENIED_AFTER = r"^ (?:maar )?(?:niet|hoeft niet|is niet nodig)\b"
