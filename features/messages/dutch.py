"""Sentiment of Dutch, by the open subjectivity lexicon of CLiPS (see `lexicon`) and rules for Dutch grammar.

The polarity is the mean over the words in the lexicon, as in Pattern (De Smedt & Daelemans, JMLR 13, 2012): a modifier
multiplies the word after it by its intensity, and a negation multiplies by -0.5. Beyond Pattern, a negation reaches
over small words ("niet echt heel goed"), stops at the end of a clause, and may come last ("leuk vind ik het niet");
words after `maar` weigh more than words before it, as in VADER; and inflected forms are looked up by their stem.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from features.messages.english import sign
from features.messages.judgement import Judgement, from_lexicon
from features.messages.lexicon import Word, dutch_words
from features.messages.text import MAX_WORDS

_SERVICE = {
    "bedankt": 0.5, "dank": 0.4, "dankjewel": 0.5, "dankuwel": 0.5, "compliment": 0.6, "complimenten": 0.6,
    "hulde": 0.6, "opgelost": 0.3, "topservice": 0.8, "klacht": -0.5, "klachten": -0.5, "storing": -0.4,
    "storingen": -0.4, "probleem": -0.2, "helaas": -0.3, "balen": -0.5, "frustrerend": -0.6, "gefrustreerd": -0.6,
    "puinhoop": -0.6, "wanprestatie": -0.7, "oplichting": -0.8, "oplichters": -0.8, "opgelicht": -0.8,
    "verdomme": -0.6, "kut": -0.7, "klote": -0.7, "woest": -0.8, "pislink": -0.9, "drama": -0.5, "schandelijk": -0.7,
}  # fmt: skip
"""Polarity of words that customers use with a service desk and that the lexicon, made from book reviews, lacks."""
_MODIFIERS = {
    "heel": 1.5, "zeer": 1.5, "erg": 1.4, "enorm": 1.5, "ontzettend": 1.6, "super": 1.6, "mega": 1.6, "zo": 1.2,
    "echt": 1.2, "veel": 1.2, "volkomen": 1.5, "volstrekt": 1.5, "totaal": 1.4, "compleet": 1.4, "helemaal": 1.4,
    "uitermate": 1.5, "bijzonder": 1.4, "te": 1.2, "gewoon": 1.0, "behoorlijk": 1.2, "best": 0.9, "vrij": 0.9,
    "redelijk": 0.8, "nogal": 0.9, "tamelijk": 0.8, "enigszins": 0.6, "beetje": 0.6, "iets": 0.7, "wat": 0.8,
}  # fmt: skip
_WITH_OWN_MEANING = frozenset({"super", "enorm", "bijzonder", "erg", "redelijk", "totaal", "compleet"})
"""Modifiers that have a polarity of their own when no word follows that they modify."""
_NEGATIONS = frozenset(
    ("niet", "niets", "niks", "geen", "gene", "nooit", "ni", "nergens", "noch", "nauwelijks", "amper", "zonder")
)
_ONLY = frozenset({"alleen", "enkel", "slechts"})
"""Words that cancel the negation before them: "niet alleen lekker" is no negation."""
_REACH = 3
"""The number of words that a negation reaches over; modifiers do not count."""
_REACH_BACK = 4
"""The number of words that a negation at the end of a clause reaches back over."""
_NEGATION_FACTOR = -0.5
_CAPITALS_FACTOR = _EXCLAMATION_FACTOR = 1.25
_BEFORE_BUT, _AFTER_BUT = 0.5, 1.5
_TOKEN = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|[.,;:!?…()]+|\S")
_ENDS = frozenset(".,;:!?…()")
_VOWELS = frozenset("aeiou")
_LONGEST = 40
"""The largest number of characters of a word that is looked up."""
_UNKNOWN = Word(0.0, 1.0)


@dataclass(slots=True)
class _Hit:
    polarity: float
    at: int
    weight: float = 1.0


def judge(cleaned: str) -> Judgement:
    """Return the judgement of a text from `clean`."""
    hits = _weighted_hits(cleaned)
    weight = math.fsum(h.weight for h in hits)
    polarity = math.fsum(h.weight * h.polarity for h in hits) / weight if weight else 0.0
    return from_lexicon(polarity, [h.weight * h.polarity for h in hits if h.polarity])


def in_lexicon(word: str) -> bool:
    """Tell whether the lexicon has a word in lower case, or its stem."""
    return _look_up(word) is not None


def _weighted_hits(cleaned: str) -> list[_Hit]:
    """Return the hits of all clauses, weighted by whether they stand before or after `maar`."""
    hits: list[_Hit] = []
    contrasted = False
    for clause, end in _clauses(cleaned):
        clause_hits = _hits(clause, capitals_stress=not cleaned.isupper())
        if end == "maar" and not contrasted:
            for hit in (*hits, *clause_hits):
                hit.weight = _BEFORE_BUT
        elif contrasted:
            for hit in clause_hits:
                hit.weight = _AFTER_BUT
        contrasted = contrasted or end == "maar"
        if "!" in end and clause_hits:
            clause_hits[-1].polarity = _bounded(clause_hits[-1].polarity * _EXCLAMATION_FACTOR)
        hits += clause_hits
    return hits


def _hits(clause: Sequence[str], *, capitals_stress: bool) -> list[_Hit]:
    """Return the words of one clause that have a polarity. `capitals_stress`: a word in capitals is stressed."""
    hits: list[_Hit] = []
    strength, negated = 1.0, 0
    for at, written in enumerate(clause):
        word = written.lower()
        if word in _NEGATIONS:
            strength, negated = 1.0, 0 if _next_of(clause, at) in _ONLY else _REACH
        elif (factor := _modifier(clause, at)) is not None:
            strength *= factor
        elif (polarity := _polarity(word, written)) is not None:
            polarity *= _CAPITALS_FACTOR if capitals_stress and len(word) > 2 and written.isupper() else 1.0
            hits.append(_Hit(_negated(polarity, strength) if negated else _bounded(polarity * strength), at))
            strength, negated = 1.0, 0
        else:
            strength, negated = 1.0, max(0, negated - 1)
    _negate_back(clause, hits)
    return hits


def _negate_back(clause: Sequence[str], hits: Sequence[_Hit]) -> None:
    """Let a negation at the end of a clause negate the last positive word: "leuk vind ik het niet"."""
    if not hits or clause[-1].lower() not in _NEGATIONS:
        return
    if hits[-1].polarity > 0 and len(clause) - 1 - hits[-1].at <= _REACH_BACK:
        hits[-1].polarity *= _NEGATION_FACTOR


def _negated(polarity: float, strength: float) -> float:
    """Return a negated polarity, milder after a modifier: "niet heel goed" is milder than "niet goed"."""
    return _bounded(polarity * _NEGATION_FACTOR / max(1.0, strength))


def _modifier(clause: Sequence[str], at: int) -> float | None:
    """Return the factor by which this word multiplies the next one, or None if it does not modify it.

    Only a word with a polarity, or another modifier, can be modified: "verschrikkelijk lekker" is good.
    """
    word, following = clause[at].lower(), _next_of(clause, at)
    if following not in _MODIFIERS and _look_up(following) is None:
        return None
    if word in _MODIFIERS:
        return _MODIFIERS[word]
    intensity = _lexicon().get(word, _UNKNOWN).intensity
    return intensity if intensity > 1.0 else None


def _next_of(clause: Sequence[str], at: int) -> str:
    return clause[at + 1].lower() if at + 1 < len(clause) else ""


def _polarity(word: str, written: str) -> float | None:
    if (polarity := sign(written)) is not None:
        return polarity
    if word in _MODIFIERS and word not in _WITH_OWN_MEANING:
        return None
    entry = _look_up(word)
    return None if entry is None else entry.polarity


def _bounded(polarity: float) -> float:
    return max(-1.0, min(1.0, polarity))


def _clauses(cleaned: str) -> Iterator[tuple[list[str], str]]:
    """Yield the words and signs of each clause, and the token that ends it: punctuation, `maar`, or "" for the last."""
    clause: list[str] = []
    for token in islice(_tokens(cleaned), MAX_WORDS):
        if token.lower() == "maar" or (token[0] in _ENDS and sign(token) is None):
            yield clause, token.lower()
            clause = []
        else:
            clause.append(token)
    yield clause, ""


def _tokens(cleaned: str) -> Iterator[str]:
    """Yield words, runs of punctuation, emoticons and emoji, in order."""
    for chunk in cleaned.split():
        if sign(chunk) is not None:
            yield chunk
        else:
            yield from (match[0] for match in _TOKEN.finditer(chunk))


def _look_up(word: str) -> Word | None:
    """Return the lexicon's entry of a word in lower case, or of its stem; None if it has neither."""
    if len(word) > _LONGEST:
        return None
    lexicon = _lexicon()
    return next((lexicon[stem] for stem in _stems(word) if stem in lexicon), None)


def _stems(word: str) -> Iterator[str]:
    """Yield the word and its possible stems: trage -> traag, snelle -> snel, boze -> boos, slechter -> slecht."""
    yield word
    for ending, shortest in (("e", 3), ("er", 4), ("ere", 4), ("st", 4), ("ste", 4)):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= shortest:
            yield stem
            yield _respelled(stem)


def _respelled(stem: str) -> str:
    """Return a stem as spelled without an ending: one final consonant, a long vowel doubled, v and z as f and s."""
    last = {"v": "f", "z": "s"}.get(stem[-1], stem[-1])
    if stem[-1] == stem[-2]:
        return stem[:-1]
    if stem[-2] in _VOWELS and stem[-3] not in _VOWELS:
        return stem[:-2] + 2 * stem[-2] + last
    return stem[:-1] + last


@cache
def _lexicon() -> Mapping[str, Word]:
    return {**dutch_words(), **{word: Word(polarity, 1.0) for word, polarity in _SERVICE.items()}}
