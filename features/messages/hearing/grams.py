"""Turns a text into hashed features: n-grams of characters and of words, and patterns of concepts, piece by piece.

A piece has at most `_PIECE` words and ends with its sentence. What is heard is looked for in ranges of pieces, so that
a wish within a long message is as loud as alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from features.messages.hearing.concepts import LONGEST_WORD, concepts_of, phrase_concepts
from features.messages.text import MAX_WORDS

BUCKETS = 1 << 18
GROUPS = 3
"""Kinds of features: n-grams of characters, n-grams of words, patterns of concepts."""

_PIECE = 14
_CHARACTER_GRAMS = (3, 4, 5)
_FARTHEST = 3
"""How many concepts after the first of a pair the second may be."""
_TOKEN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[!?]+|[.;…]+")
_BEGIN, _END = "^", "$"

Ints = NDArray[np.int64]
_Hashes = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The n features of a text: the bucket and the `slot` of each, (n,) each. A slot is piece x GROUPS + group."""

    buckets: Ints
    slots: Ints
    pieces: int


@dataclass(frozen=True, slots=True, eq=False)
class _Tokens:
    """Tokens in lower case with marks of begin and end around each sentence; piece and sentence of each, (m,)."""

    texts: list[str]
    piece: Ints
    sentence: Ints


def features(cleaned: str) -> Features:
    """Return the features of a text from `clean`; none if it has no letter, digit, ! or ?."""
    return _features(_tokens(cleaned.lower()))


def features_together(cleaned: Sequence[str]) -> tuple[Features, Ints]:
    """Return the features of several texts from `clean`, each as alone, and the number of the text of each piece."""
    separate = [_tokens(text.lower()) for text in cleaned]
    texts, pieces, sentences, text_of = [], [], [], []
    piece = sentence = 0
    for at, tokens in enumerate(separate):
        if tokens.texts:
            texts += tokens.texts
            pieces.append(tokens.piece + piece)
            sentences.append(tokens.sentence + sentence)
            text_of += [at] * (int(tokens.piece[-1]) + 1)
            piece, sentence = len(text_of), int(sentences[-1][-1]) + 1
    none = [np.zeros(0, np.int64)]
    together = _Tokens(texts, np.concatenate(pieces or none), np.concatenate(sentences or none))
    return _features(together), np.array(text_of, np.int64)


def _features(tokens: _Tokens) -> Features:
    if not tokens.texts:
        return Features(np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
    groups = (_character_grams(tokens), _word_grams(tokens), _concept_patterns(tokens))
    parts = [(group, hashes, piece) for group, hashed in enumerate(groups) for hashes, piece in hashed]
    buckets = np.concatenate([_buckets(hashes, 8 * group + n) for n, (group, hashes, _) in enumerate(parts)])
    slots = np.concatenate([piece * GROUPS + group for group, _, piece in parts])
    return Features(buckets, slots, int(tokens.piece[-1]) + 1)


def _tokens(text: str) -> _Tokens:
    texts: list[str] = []
    places: list[tuple[int, int]] = []
    piece = sentence = length = 0
    for match in _TOKEN.finditer(text):
        if len(texts) >= MAX_WORDS:
            break
        if match[0][0] in ".;…?!" and length:
            marks = [_END] if match[0][0] in ".;…" else [match[0][:2], _END]
            texts += marks
            places += [(piece, sentence)] * len(marks)
            piece, sentence, length = piece + 1, sentence + 1, 0
        elif match[0][0] not in ".;…":
            if length == _PIECE:
                piece, length = piece + 1, 0
            begun = bool(places) and places[-1][1] == sentence
            added = [match[0][:LONGEST_WORD]] if begun else [_BEGIN, match[0][:LONGEST_WORD]]
            texts += added
            places += [(piece, sentence)] * len(added)
            length += 1
    if length:
        texts.append(_END)
        places.append((piece, sentence))
    at = np.array(places, np.int64).reshape(-1, 2)
    return _Tokens(texts, at[:, 0], at[:, 1])


def _character_grams(tokens: _Tokens) -> Iterator[tuple[_Hashes, Ints]]:
    """Yield the hashes of n characters in a row within a sentence, blanks included, with the piece they begin in."""
    codes = np.frombuffer(" ".join([*tokens.texts, ""]).encode("utf-32-le", "replace"), "<u4").astype(np.uint32)
    token = np.repeat(np.arange(len(tokens.texts)), [len(text) + 1 for text in tokens.texts])
    sentence, piece = tokens.sentence[token], tokens.piece[token]
    rolled = np.zeros(len(codes), np.uint32)
    for n in range(1, max(_CHARACTER_GRAMS) + 1):
        if n > len(codes):
            return
        rolled = _mixed(rolled[: len(codes) - n + 1], codes[n - 1 :])
        if n in _CHARACTER_GRAMS:
            within = np.flatnonzero(sentence[: len(rolled)] == sentence[n - 1 :])
            yield rolled[within], piece[within]


def _word_grams(tokens: _Tokens) -> Iterator[tuple[_Hashes, Ints]]:
    """Yield the hashes of words, of two and three in a row, and of two with one between them."""
    words = np.array([crc32(text.encode("utf-8", "replace")) for text in tokens.texts], np.uint32)
    yield words, tokens.piece
    yield from _joined(words, words, 1, tokens)
    yield from _joined(words, words, 2, tokens)
    if len(words) > 2:
        yield from _joined(_mixed(words[:-1], words[1:]), words, 2, tokens)


def _concept_patterns(tokens: _Tokens) -> Iterator[tuple[_Hashes, Ints]]:
    """Yield the hashes of concepts, of pairs of concepts near each other, and of three in a row."""
    concepts = {text: concepts_of(text) for text in set(tokens.texts)}
    words = [(at, number) for at, text in enumerate(tokens.texts) for number in concepts[text]]
    hits = sorted([*words, *phrase_concepts(tokens.texts)])
    if not hits:
        return
    at, numbers = (np.array(column) for column in zip(*hits, strict=True))
    numbers = numbers.astype(np.uint32)
    within = _Tokens([], tokens.piece[at], tokens.sentence[at])
    yield numbers, within.piece
    pairs = [pair for step in range(1, _FARTHEST + 1) for pair in _joined(numbers, numbers, step, within)]
    yield np.concatenate([hashes for hashes, _ in pairs]), np.concatenate([piece for _, piece in pairs])
    if len(numbers) > 2:
        yield from _joined(_mixed(numbers[:-1], numbers[1:]), numbers, 2, within)


def _joined(first: _Hashes, second: _Hashes, distance: int, tokens: _Tokens) -> Iterator[tuple[_Hashes, Ints]]:
    """Yield the hashes of each of `first` with what comes `distance` later in `second`, in the same sentence."""
    if len(second) <= distance:
        yield np.zeros(0, np.uint32), np.zeros(0, np.int64)
        return
    count = len(second) - distance
    within = np.flatnonzero(tokens.sentence[:count] == tokens.sentence[distance:])
    yield _mixed(first[:count][within], second[distance:][within]), tokens.piece[:count][within]


def _mixed(hashes: _Hashes, values: _Hashes) -> _Hashes:
    return (hashes ^ values) * np.uint32(0x9E3779B1) + (hashes >> np.uint32(15))


def _buckets(hashes: _Hashes, seed: int) -> Ints:
    spread = (hashes ^ np.uint32(seed * 0x85EBCA6B & 0xFFFFFFFF)) * np.uint32(0xC2B2AE35)
    return ((spread ^ (spread >> np.uint32(13))) * np.uint32(0x27D4EB2F) >> np.uint32(32 - 18)).astype(np.int64)
