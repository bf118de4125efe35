"""Finds the concepts of words and phrases: `chatbot` and `machine` are a `bot`, in Dutch and English, mistyped or not.

A line of `concepts.txt` lists what means a concept: words, beginnings of words (`klacht*`) and phrases (`passed_away`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

_FILE = Path(__file__).with_name("concepts.txt")
LONGEST_WORD = 24
"""The number of characters to which a word is cut."""
_LONGEST_PHRASE = 4
"""The number of words of the longest phrase that is listed."""
_SHORTEST_PREFIX = 3
_SHORTEST_MISTYPED = 6
"""The smallest number of characters of a listed word of which typing mistakes are known."""

_SHORTEST_REPLACED = 8
"""The smallest number of characters of a word in which one may be another: `bland` is not `brand`."""


@dataclass(frozen=True, slots=True)
class _Lexicon:
    """Concepts by word and by its beginning; listed words with theirs by what is left without one of the characters."""

    words: Mapping[str, tuple[int, ...]]
    prefixes: Mapping[str, tuple[int, ...]]
    mistyped: Mapping[str, tuple[tuple[str, tuple[int, ...]], ...]]


def concepts_of(word: str) -> tuple[int, ...]:
    """Return the numbers of a lower-case word's concepts, from 1, or of the word that it is a mistyped form of."""
    word, lexicon = word[:LONGEST_WORD], _lexicon(_FILE)
    numbers = listed_concepts(word, _FILE)
    return numbers or (_meant(word, lexicon) if len(word) >= _SHORTEST_MISTYPED - 1 else ())


def listed_concepts(word: str, file: Path) -> tuple[int, ...]:
    """Return the numbers of a lower-case word's concepts, from 1, in a file with a line of words for each concept."""
    lexicon = _lexicon(file)
    return lexicon.words.get(word) or _by_prefix(word, lexicon)


@cache
def listed_words() -> str:
    """Return a hash of all that is listed: what a model learned of concepts holds for these alone."""
    return sha256(_FILE.read_bytes()).hexdigest()[:16]


def phrase_concepts(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the place of the first word and the number of a concept of each phrase that is listed (`passed_away`)."""
    listed = _lexicon(_FILE).words
    for count in range(2, _LONGEST_PHRASE + 1):
        for at in range(len(words) - count + 1):
            for number in listed.get("_".join(words[at : at + count]), ()):
                yield at, number


def _meant(word: str, lexicon: _Lexicon) -> tuple[int, ...]:
    """Return the concepts of a listed word with a character more or less, two swapped, or another one if it is long."""
    if near := lexicon.mistyped.get(word):
        return near[0][1]
    for shorter in _with_one_less(word):
        if numbers := lexicon.words.get(shorter):
            return numbers if len(shorter) >= _SHORTEST_MISTYPED else ()
        for listed, numbers in lexicon.mistyped.get(shorter, ()):
            if len(word) >= _SHORTEST_REPLACED or sorted(listed) == sorted(word):
                return numbers
    return ()


def concept_names(word: str) -> tuple[str, ...]:
    """Return the names of a lower-case word's concepts."""
    return tuple(_names()[number - 1] for number in concepts_of(word))


@cache
def _names() -> tuple[str, ...]:
    return tuple(line.partition(":")[0] for line in _FILE.read_text(encoding="utf-8").splitlines())


def _by_prefix(word: str, lexicon: _Lexicon) -> tuple[int, ...]:
    for length in range(len(word), _SHORTEST_PREFIX - 1, -1):
        if numbers := lexicon.prefixes.get(word[:length]):
            return numbers
    return ()


def _with_one_less(word: str) -> Iterator[str]:
    return (word[:at] + word[at + 1 :] for at in range(len(word)))


@cache
def _lexicon(file: Path) -> _Lexicon:
    words: dict[str, tuple[int, ...]] = {}
    prefixes: dict[str, tuple[int, ...]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        for entry in line.partition(": ")[2].split():
            listed = prefixes if entry.endswith("*") else words
            listed[entry.rstrip("*")] = tuple(dict.fromkeys((*listed.get(entry.rstrip("*"), ()), number)))
    mistyped: dict[str, tuple[tuple[str, tuple[int, ...]], ...]] = {}
    for word, numbers in (*words.items(), *prefixes.items()):
        if len(word) >= _SHORTEST_MISTYPED:
            for shorter in set(_with_one_less(word)):
                mistyped[shorter] = (*mistyped.get(shorter, ()), (word, numbers))
    return _Lexicon(words, prefixes, mistyped)
