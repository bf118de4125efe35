"""The phrases that `cues` looks for, as regular expressions over lower-case text in English and Dutch.

Gaps are counted in words and end with a clause, so that the time of every search is linear in the length of the text.
"""

_GAP = r"[^\s.,;:!?]+"
_FEW = rf"(?:(?!(?:geen|niet|not|never|no)\b){_GAP} ){{0,4}}?"

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

_PERSON = (
    r"(?:human(?: being)?|person|people|agent|advisor|adviser|representative|rep|manager|supervisor|operator|employee"
    r"|colleague|someone|somebody|member of staff|staff member)"
)
_TALK = r"(?:speak|speaking|talk|talking|chat|chatting|connected|transferred|put through|transfer me|connect me)"
_MENS = (
    r"(?:mens|persoon|medewerkers?|medewerkster|adviseur|iemand|leidinggevende|manager|collega|teamleider"
    r"|klantenservicemedewerker|chef)"
)
_SPREEK = r"(?:spreken|praten|bellen|chatten|overleggen|doorverbinden|doorverbonden worden|contact)"
WISH_FOR_A_PERSON = (
    rf"\b{_TALK} (?:to|with) {_FEW}{_PERSON}\b",
    rf"\b(?:real|actual|live|human) {_PERSON}\b",
    rf"\b(?:want|need|get me|give me|like|prefer) (?:a|an|some|your|to have a) {_PERSON}\b",
    r"\b(?:human|agent|representative|operator)(?: please|$)",
    r"\bcall me\b|\bcall back\b|\bgive me a call\b|\bring me\b",
    r"\b(?:no|not (?:a|another|this)|stop with (?:this|the)|hate (?:this|your|the)) (?:stupid )?(?:chat ?|ro)?bots?\b",
    rf"\b(?:met|naar) {_FEW}{_MENS} {_FEW}{_SPREEK}\b",
    rf"\b(?:wil|wilt|willen|graag|mag|kan|kunnen|moet|wens)\b {_FEW}{_MENS} {_FEW}(?:{_SPREEK}|aan de lijn)\b",
    rf"\b{_SPREEK} (?:met|tot) {_FEW}{_MENS}\b",
    rf"\b(?:echte?|levende?|menselijke?) {_MENS}\b",
    r"\bmenselijk contact\b|\b(?:mens|medewerker) (?:graag|alsjeblieft|aub|svp)\b",
    r"\bbel (?:me|mij)\b|\b(?:me|mij) (?:\S+ )?(?:terug ?)?bellen\b|\bterug ?gebeld worden\b|\bdoorverbonden worden\b",
    r"\bgeen (?:stomme )?(?:(?:chat ?|ro)?bot|computer)\b",
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
NOT_WISHED = (
    r"\b(?:(?:do not|don't|didn't|never) (?:want|need|like|have)|no need|rather not|do not|don't|never|niet|nooit|hoef"
    rf"|hoeft|hoeven)\b(?: {_GAP}){{0,4}} ?$"
)
DENIED_AFTER = r"^ (?:maar )?(?:niet|hoeft niet|is niet nodig)\b"
