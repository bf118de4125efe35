"""Dutch, by the open subjectivity lexicon of CLiPS (`lexicon` says where from), with rules for what Dutch does with it.

The polarity is the mean over the words found, as in Pattern (De Smedt & Daelemans, JMLR 13, 2012): a modifier before a
word multiplies it by its intensity, a negation turns it round by half. Beyond it: negation reaches over small words
("niet echt heel goed"), stops where a clause ends, and may come last ("leuk vind ik het niet"); what follows `maar`
counts for more than what came before, as VADER has it; and inflected forms are looked up by their stem.
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
"""What customers say to a service and the lexicon, of adjectives in book reviews, lacks."""
_MODIFIERS = {
    "heel": 1.5, "zeer": 1.5, "erg": 1.4, "enorm": 1.5, "ontzettend": 1.6, "super": 1.6, "mega": 1.6, "zo": 1.2,
    "echt": 1.2, "veel": 1.2, "volkomen": 1.5, "volstrekt": 1.5, "totaal": 1.4, "compleet": 1.4, "helemaal": 1.4,
    "uitermate": 1.5, "bijzonder": 1.4, "te": 1.2, "gewoon": 1.0, "behoorlijk": 1.2, "best": 0.9, "vrij": 0.9,
    "redelijk": 0.8, "nogal": 0.9, "tamelijk": 0.8, "enigszins": 0.6, "beetje": 0.6, "iets": 0.7, "wat": 0.8,
}  # fmt: skip
_ALONE_TOO = frozenset({"super", "enorm", "bijzonder", "erg", "redelijk", "totaal", "compleet"})
"""Modifiers that have a meaning of their own where no word follows that they modify."""
_NEGATIONS = frozenset(
    ("niet", "niets", "niks", "geen", "gene", "nooit", "ni", "nergens", "noch", "nauwelijks", "amper", "zonder")
)
_ONLY = frozenset({"alleen", "enkel", "slechts"})
"""After a negation: "niet alleen lekker" is no negation."""
_REACH = 3
"""Words that a negation reaches over; modifiers do not count."""
_BACK = 4
"""Words that one at the end of a clause reaches back."""
_TURNED = -0.5
_CAPITALS = _EXCLAIMED = 1.25
_BEFORE_BUT, _AFTER_BUT = 0.5, 1.5
_TOKEN = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|[.,;:!?…()]+|\S")
_ENDS = frozenset(".,;:!?…()")
_VOWELS = frozenset("aeiou")
_LONGEST = 40
"""Characters of a word that is looked up."""
_UNKNOWN = Word(0.0, 1.0)


@dataclass(slots=True)
class _Hit:
    polarity: float
    at: int
    weight: float = 1.0


def judge(cleaned: str) -> Judgement:
    """Of a text from `clean`."""
    hits: list[_Hit] = []
    contrasted = False
    for clause, end in _clauses(cleaned):
        found = _read(clause, spread=not cleaned.isupper())
        if end == "maar" and not contrasted:
            for hit in (*hits, *found):
                hit.weight = _BEFORE_BUT
        elif contrasted:
            for hit in found:
                hit.weight = _AFTER_BUT
        contrasted = contrasted or end == "maar"
        if "!" in end and found:
            found[-1].polarity = _bounded(found[-1].polarity * _EXCLAIMED)
        hits += found
    weight = math.fsum(h.weight for h in hits)
    polarity = math.fsum(h.weight * h.polarity for h in hits) / weight if weight else 0.0
    return from_lexicon(polarity, [h.weight * h.polarity for h in hits if h.polarity])


def known(word: str) -> bool:
    """Whether the lexicon has a word in lower case, or its stem."""
    return _look_up(word) is not None


def _read(clause: Sequence[str], *, spread: bool) -> list[_Hit]:
    """What the words of one clause say; `spread`: capitals stress a word, as not all of the text is in them."""
    hits: list[_Hit] = []
    strength, negated = 1.0, 0
    for at, written in enumerate(clause):
        word = written.lower()
        if word in _NEGATIONS:
            strength, negated = 1.0, 0 if _next_of(clause, at) in _ONLY else _REACH
        elif (factor := _modifies(clause, at)) is not None:
            strength *= factor
        elif (polarity := _polarity(word, written)) is not None:
            stress = _CAPITALS if spread and len(word) > 2 and written.isupper() else 1.0
            hits.append(
                _Hit(_turned(polarity * stress, strength) if negated else _bounded(polarity * stress * strength), at)
            )
            strength, negated = 1.0, 0
        else:
            strength, negated = 1.0, max(0, negated - 1)
    _negate_back(clause, hits)
    return hits


def _negate_back(clause: Sequence[str], hits: Sequence[_Hit]) -> None:
    """A negation at the end belongs to what was praised before it: "leuk vind ik het niet"."""
    if hits and clause[-1].lower() in _NEGATIONS and hits[-1].polarity > 0 and len(clause) - 1 - hits[-1].at <= _BACK:
        hits[-1].polarity *= _TURNED


def _turned(polarity: float, strength: float) -> float:
    """ "Niet heel goed" is milder than "niet goed"."""
    return _bounded(polarity * _TURNED / max(1.0, strength))


def _modifies(clause: Sequence[str], at: int) -> float | None:
    """By what the word here multiplies the next one, where that says something: "verschrikkelijk lekker" is good."""
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
    if (found := sign(written)) is not None:
        return found
    if word in _MODIFIERS and word not in _ALONE_TOO:
        return None
    entry = _look_up(word)
    return None if entry is None else entry.polarity


def _bounded(polarity: float) -> float:
    return max(-1.0, min(1.0, polarity))


def _clauses(cleaned: str) -> Iterator[tuple[list[str], str]]:
    """The words and signs of each clause, and what ends it: punctuation, `maar`, or nothing at the end."""
    clause: list[str] = []
    for token in islice(_tokens(cleaned), MAX_WORDS):
        if token.lower() == "maar" or (token[0] in _ENDS and sign(token) is None):
            yield clause, token.lower()
            clause = []
        else:
            clause.append(token)
    yield clause, ""


def _tokens(cleaned: str) -> Iterator[str]:
    """Words, runs of punctuation, emoticons and emoji, in order."""
    for chunk in cleaned.split():
        if sign(chunk) is not None:
            yield chunk
        else:
            yield from (match[0] for match in _TOKEN.finditer(chunk))


def _look_up(word: str) -> Word | None:
    """A word in lower case, or its stem."""
    if len(word) > _LONGEST:
        return None
    lexicon = _lexicon()
    return next((lexicon[stem] for stem in _stems(word) if stem in lexicon), None)


def _stems(word: str) -> Iterator[str]:
    """The word, and what it may be inflected from: trage -> traag, snelle -> snel, boze -> boos, slechter -> slecht."""
    yield word
    for ending, shortest in (("e", 3), ("er", 4), ("ere", 4), ("st", 4), ("ste", 4)):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= shortest:
            yield stem
            yield _respelled(stem)


def _respelled(stem: str) -> str:
    """As a stem is written by itself: a final consonant once, a long vowel twice, v and z as f and s."""
    last = {"v": "f", "z": "s"}.get(stem[-1], stem[-1])
    if stem[-1] == stem[-2]:
        return stem[:-1]
    if stem[-2] in _VOWELS and stem[-3] not in _VOWELS:
        return stem[:-2] + 2 * stem[-2] + last
    return stem[:-1] + last


@cache
def _lexicon() -> Mapping[str, Word]:
    return {**dutch_words(), **{word: Word(polarity, 1.0) for word, polarity in _SERVICE.items()}}
