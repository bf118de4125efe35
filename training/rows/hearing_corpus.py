"""Generates the messages that hearing is trained on, by a grammar and phrasings written by hand (`hearing/`).

`KIND.LANGUAGE.txt` has a line per family of phrasings: `{a|b}` chooses, `<NAME>` stands for the choices of
`macros.LANGUAGE.txt`, `<LONG>` for an ordinary line, and `## kind` or `## name [kind]` names which request follows.
`first/`, `third/` and `fifth/` judged earlier models and teach since then; `others/` is by further authors, who had
seen none of these. Sampled phrasings get words that mean about the same (a line of `synonyms.LANGUAGE.txt`), spoken
fillers, greetings, thanks, typing mistakes, capitals, no punctuation, or stand beside an ordinary sentence.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from features.messages import english
from features.messages.hearing.concepts import concepts_of
from features.messages.language import LANGUAGES, Language, frequent_words
from features.messages.lexicon import dutch_words

ORDINARY, REQUEST = "ordinary", "request"
FOLDER = Path(__file__).with_name("hearing")
_FOLDERS = ("", "first", "third", "fifth", "others")
_FILES = ("wish", "objection", REQUEST, "complaint", "bereavement", "money", "danger", "violence", ORDINARY)
_ORDINARY_MORE = 2
"""How many times as many messages of an ordinary family there are."""
_NOISE = 120
"""How many sentences of arbitrary words there are for each message of a family."""
_RARE = 0.4
_SENTENCE = 6
"""From how many words on a sentence of arbitrary words may have words with a concept among them."""
_STYLES = 4
"""In how many styles one text of a family is written at most."""
_CHOICE = re.compile(r"\{([^{}]*)\}|<([A-Z]+)>")
_KEYS = {"a": "sqz", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "g": "fh", "h": "gj", "i": "uo", "k": "jl", "l": "k",
         "m": "n", "n": "bm", "o": "ip", "p": "o", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb"}  # fmt: skip
_BEFORE = {
    "nl": ("hallo", "goedemiddag", "beste", "hoi", "sorry", "dag", "kort gezegd", "luister", "ok", "nee", "goedemorgen",
           "zeg", "dank maar", "mag ik iets vragen", "even iets anders", "ja maar", "pff", "helaas", "mevrouw"),
    "en": ("hello", "good afternoon", "dear", "hi", "sorry", "hey", "in short", "listen", "ok", "no", "good morning",
           "well", "thanks but", "may i ask something", "something else", "yes but", "ugh", "sadly", "madam", "sir"),
}  # fmt: skip
_AFTER = {
    "nl": ("alstublieft", "dank u", "bedankt alvast", "aub", "dank", "groet Jan", "graag snel", "a.u.b.", "mvg", "!!",
           "!", "?", "alvast bedankt", "snel graag", "vriendelijke groet", "hoor", "graag reactie"),
    "en": ("please", "thank you", "thanks in advance", "pls", "thanks", "regards John", "quickly please", "cheers",
           "!!", "!", "?", "many thanks", "soon please", "kind regards", "then", "please reply"),
}  # fmt: skip
_FILLERS = {"nl": ("eh", "uhm", "nou ja", "dus", "zeg maar"), "en": ("uh", "um", "well", "like", "you know")}
_REWORDED = 0.4
"""The share of texts with other words, and of their words that are others."""


@dataclass(frozen=True, slots=True)
class Example:
    """A generated message, what is heard in it (`ordinary`: nothing), and the family that it is of."""

    text: str
    kind: str
    language: str
    family: str


def generate(seed: int = 0, per_family: int = 20) -> list[Example]:
    """Return the messages of all families, at most `per_family` of each; the same seed gives the same messages.

    Sentences of arbitrary words are among the ordinary ones, so that unknown words mean nothing.
    """
    families = [example for language in LANGUAGES for example in _of_language(language, seed, per_family)]
    return families + [noise for language in LANGUAGES for noise in _noise(language, seed, per_family * _NOISE)]


def _noise(language: Language, seed: int, count: int) -> Iterator[Example]:
    draw = random.Random(f"{seed}:{language}:noise")  # noqa: S311  generates texts, no secrets
    known = dutch_words() if language == "nl" else english.known_words()
    rare = sorted(word for word in known if word.isalpha() and not concepts_of(word))
    telling = sorted(word for word in known if word.isalpha() and concepts_of(word))
    common = sorted(frequent_words(language))
    for at in range(count):
        length = draw.randint(3, 18)
        words = [draw.choice(rare if draw.random() < _RARE else common) for _ in range(length)]
        if length >= _SENTENCE:
            words[draw.randrange(length)] = draw.choice(telling)
        text = " ".join(words)
        yield Example(draw.choices(_CASES, (5, 5, 3, 1))[0](text), ORDINARY, language, f"{language}:noise:{at}")


def _of_language(language: str, seed: int, per_family: int) -> Iterator[Example]:
    names = [f"{folder}/{file}".lstrip("/") for folder in _FOLDERS for file in _FILES]
    lines = [(kind, f"{language}:{name}:{at}", line) for name in names for at, kind, line in _lines(name, language)]
    plain = [line for kind, _, line in lines if kind == ORDINARY]
    macros = {**dict(_macros(language)), "LONG": plain}
    for kind, family, line in lines:
        most = per_family * (_ORDINARY_MORE if kind == ORDINARY else 1)
        draw = random.Random(f"{seed}:{family}")  # noqa: S311  generates texts, no secrets
        seen = Counter[str]()
        for _ in range(most * 2):
            text = expand(line, macros, draw)
            if text and seen[text] < _STYLES and seen.total() < most:
                seen[text] += 1
                neighbour = expand(draw.choice(plain), macros, draw)
                yield Example(_styled(text, neighbour, language, draw), kind, language, family)


def _macros(language: str) -> Iterator[tuple[str, list[str]]]:
    for line in (FOLDER / f"macros.{language}.txt").read_text(encoding="utf-8").splitlines():
        name, _, choices = line.partition(" = ")
        yield name, choices.split("|")


def _lines(name: str, language: str) -> Iterator[tuple[int, str, str]]:
    """Yield (number, kind, line) of the families of a file."""
    kind = file = name.rpartition("/")[2]
    for at, line in enumerate((FOLDER / f"{name}.{language}.txt").read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("## "):
            kind = _named(line) if file == REQUEST else file
        elif line:
            yield at, kind, line


def _named(heading: str) -> str:
    """Return which request a heading such as `## access` or `## origin [access]` is about."""
    return heading[3:].rpartition("[")[2].rstrip("]")


def expand(line: str, macros: Mapping[str, list[str]], draw: random.Random) -> str:
    """Return one phrasing of a family, drawn from its choices."""

    def chosen(match: re.Match[str]) -> str:
        choices: list[str] = macros[match[2]] if match[2] else match[1].split("|")
        return draw.choice(choices)

    while _CHOICE.search(line):
        line = _CHOICE.sub(chosen, line)
    return " ".join(line.replace(" ,", ",").split()).strip(" ,")


def _styled(text: str, neighbour: str, language: str, draw: random.Random) -> str:
    """Return the phrasing as somebody may write it."""
    if draw.random() < _REWORDED:
        text = _reworded(text, language, draw)
    if draw.random() < 0.25:
        text = f"{draw.choice(_BEFORE[language])}{draw.choice((', ', ' ', '. ', '! '))}{text}"
    if draw.random() < 0.25:
        text = f"{text}{draw.choice((' ', ', ', '. '))}{draw.choice(_AFTER[language])}"
    if draw.random() < 0.12:
        pair = (text, neighbour) if draw.random() < 0.5 else (neighbour, text)
        text = draw.choice((", ", " ", ". ", " en " if language == "nl" else " and ")).join(pair)
    if draw.random() < 0.35:
        for _ in range(draw.choice((1, 1, 2, 3))):
            text = _mistyped(text, draw)
    return draw.choices(_CASES, (5, 5, 3, 1))[0](text)


def _reworded(text: str, language: str, draw: random.Random) -> str:
    """Return the text with some words replaced by ones that mean about the same, and perhaps a spoken filler."""
    alike = _synonyms(language)
    words = [draw.choice(alike[word]) if word in alike and draw.random() < _REWORDED else word for word in text.split()]
    if draw.random() < 0.1:
        words.insert(draw.randrange(len(words) + 1), draw.choice(_FILLERS[language]))
    return " ".join(words)


@cache
def _synonyms(language: str) -> Mapping[str, list[str]]:
    """Return word -> the words that mean about the same."""
    alike: dict[str, list[str]] = {}
    for line in (FOLDER / f"synonyms.{language}.txt").read_text(encoding="utf-8").splitlines():
        for word in (group := line.split("|")):
            alike.setdefault(word, []).extend(other for other in group if other != word)
    return alike


_CASES: tuple[Callable[[str], str], ...] = (
    lambda text: text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?" else "."),
    str.lower,
    lambda text: re.sub(r"[.,!?']", "", text),
    str.upper,
)


def _mistyped(text: str, draw: random.Random) -> str:
    """Return the text with one character left out, doubled, swapped with the next, or replaced by a key beside it."""
    letters = [at for at, character in enumerate(text) if character.isalpha()]
    if len(letters) < 5:
        return text
    at = draw.choice(letters)
    letter, rest = text[at], text[at + 1 :]
    return text[:at] + draw.choice((rest, 2 * letter + rest, rest[:1] + letter + rest[1:], _near(letter, draw) + rest))


def _near(letter: str, draw: random.Random) -> str:
    return draw.choice(_KEYS.get(letter.lower(), letter))
