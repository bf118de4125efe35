"""Finds the concepts of words: `chatbot` and `machine` are a `bot`, in Dutch and English, mistyped or not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("concepts.txt")
LONGEST_WORD = 24
"""The number of characters to which a word is cut."""
_SHORTEST_PREFIX = 3
_SHORTEST_MISTYPED = 5
"""The smallest number of characters of a listed word of which typing mistakes are known."""

_SHORTEST_REPLACED = 7
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
