"""Detects whether a text is Dutch, English, or neither.

Each word votes for languages: frequent short words for theirs, including German, French, Spanish, Italian, Portuguese,
Polish, Turkish and Frisian, which count as neither; other words by the sentiment lexicon that has them and by their
spelling. A text in other letters than Latin ones is neither.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Literal

from features.messages import dutch, english
from features.messages.text import words

Language = Literal["nl", "en"]
LANGUAGES: tuple[Language, ...] = ("nl", "en")

_MOST_WORDS = 200
"""How many words of a text vote."""
_LEAST_VOTES = 0.5
_MARGIN = 1.25
_LEAST_OTHER_VOTES = 2.0
_LEXICON_VOTE = 0.5
_SPELLING_VOTE = 0.25

_FREQUENT: dict[str, str] = {
    "nl": "de het een ik jij je jullie wij ze zij zijn geen niet van voor met op aan naar om te dat die dit "
    "deze maar ook nog wel al bij uit als dan er hier daar heb hebt heeft hebben bent ben wordt worden "
    "werd kan kunnen kunt wil wilt willen mijn mij jouw uw hun ons onze wat waar wanneer waarom hoe wie "
    "nu weer steeds keer graag goed heel erg zo en moet moeten mag zou zouden gaat gaan doet doen gedaan "
    "iets iemand niemand niets alleen altijd nooit vandaag morgen gisteren omdat zonder tegen tot toch "
    "even veel meer u",
    "en": "the a an and i you he she it its it's they this that these those to for with from not are were be "
    "been being have has had my me your our their them what when where why how who which would could "
    "should please thanks thank but do does did don't doesn't didn't can't won't i'm i've isn't on at by "
    "there here so just still again get got going if because about after before all any some no yes out "
    "up down now then than us very really is was as will much "
    "more too",
    "de": "ich nicht und das ist der ein eine einen mit sie wir haben kann auf für bitte mein dem den von zu "
    "auch aber wie sind bei noch war wird ihr euch keine nur oder wenn danke sehr",
    "fr": "le la les des est pas je vous nous une un pour dans avec que qui sur merci bonjour mon ma mes votre "
    "c'est et du au ne plus mais très j'ai suis ce cette",
    "es": "el los las que es por para una con pero muy gracias está mi su lo como más estoy tengo del y no un de hola",
    "it": "il lo gli della sono non è che per questo ho perché grazie vorrei mio mia anche molto ciao buongiorno",
    "pt": "os não uma você obrigado eu meu minha isso estou quero são também muito olá com mais falar ser foi",
    "pl": "nie jest się na do jak mam chcę proszę dziękuję co moje mój czy dlaczego mogę ale już tylko przez",
    "tr": "bir ve bu için ben değil çok istiyorum lütfen teşekkürler merhaba nasıl var yok ile ama neden benim daha",
    "fy": "ik it fan en is net mei dat foar hy jo wy ek by wurdt oer nei yn",
}
_LATIN = re.compile(r"[A-Za-z\u00aa-\u024f\u1e00-\u1eff]")
_SPELLINGS: dict[str, re.Pattern[str]] = {
    "nl": re.compile(r"ij|aa|uu|oe|sch|ee[nlrt]|lijk$|heid$|tje$|^ge.+[dt]$|ische?$"),
    "en": re.compile(r"^th|th$|sh|ing$|tion$|ly$|'[stmd]$|n't$|'[rv]e$|ow|wh|ck$|ea"),
}


def detect(cleaned: str) -> Language | None:
    """Return the language of a text from `clean`, or None if neither clearly has the most votes."""
    return _most_votes(_count(cleaned))


def frequent_words(language: Language) -> list[str]:
    """Return the frequent short words of a language."""
    return _FREQUENT[language].split()


def detect_other(cleaned: str) -> float:
    """Return how sure it is, from 0 to 1, that a text from `clean` is in another language than Dutch and English.

    A short text of words that no language claims may be in either of the two, so it is not in another.
    """
    letters = sum(map(str.isalpha, cleaned))
    latin = sum(1 for _ in _LATIN.finditer(cleaned))
    if letters and latin < letters / 2:
        return 1.0 - latin / letters
    votes = _count(cleaned)
    known, most = max(votes[spoken] for spoken in LANGUAGES), max(votes.values())
    return most / (most + known) if most >= _LEAST_OTHER_VOTES and most > known * _MARGIN else 0.0


def _count(cleaned: str) -> dict[str, float]:
    """Return language -> votes of a text's words."""
    votes: dict[str, float] = defaultdict(float, {"": 0.0})
    for word in words(cleaned)[:_MOST_WORDS]:
        for language, vote in _votes(word):
            votes[language] += vote
    return votes


def _most_votes(votes: dict[str, float]) -> Language | None:
    for language in LANGUAGES:
        others = max(n for other, n in votes.items() if other != language)
        if votes[language] >= max(_LEAST_VOTES, _MARGIN * others):
            return language
    return None


def _votes(word: str) -> Iterator[tuple[str, float]]:
    """Yield (language, vote) of a word; a frequent word of several languages votes for each of them."""
    if frequent := _frequent().get(word):
        yield from ((language, 1.0) for language in frequent)
        return
    is_dutch, is_english = dutch.in_lexicon(word), word in english.known_words()
    if is_dutch != is_english:
        yield ("nl" if is_dutch else "en"), _LEXICON_VOTE
    for language, pattern in _SPELLINGS.items():
        if pattern.search(word[:40]):
            yield language, _SPELLING_VOTE


@cache
def _frequent() -> dict[str, tuple[str, ...]]:
    """Return frequent word -> its languages."""
    languages: dict[str, tuple[str, ...]] = {}
    for language, text in _FREQUENT.items():
        for word in text.split():
            languages[word] = (*languages.get(word, ()), language)
    return languages
