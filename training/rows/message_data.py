"""Reads a company's own labelled messages from a file with columns `text`, `label` and, optionally, `language`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from decisioning.errors import Refused
from decisioning.hashes import content_id
from features.importing.cells import lacking
from features.importing.opening import OpenedTable, Stated, open_table
from features.importing.tables import Faults
from features.messages.language import LANGUAGES, Language, detect
from features.messages.text import clean
from features.messages.trained import CLASSES, NEGATIVE
from training.model.frame import Bools, Ints

FEWEST = 50
"""Messages that there must be of either kind, negative and not, to fit a model."""
_REQUIRED, _COLUMNS = ("text", "label"), ("text", "label", "language")
_DETECTION_SAMPLE = 2_000
_MAJORITY = 0.8

_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledMessages:
    """n different messages of one language, and their classes (n,) as codes of `classes`."""

    texts: tuple[str, ...]
    codes: Ints
    classes: tuple[str, ...]
    language: Language

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def negative(self) -> Bools:
        """Whether each message is negative, (n,)."""
        return np.asarray(self.codes == self.classes.index(NEGATIVE))

    def with_labels(self, labels: Mapping[str, str]) -> "LabelledMessages":
        """Return these messages and others (text -> class); these hold."""
        own = {text: self.classes[code] for text, code in zip(self.texts, self.codes.tolist(), strict=True)}
        return _coded({**own, **{text: labels[text] for text in labels if text not in own}}, self.language)

    def digest(self) -> str:
        """Return `sha256:<hex>` over every text and class; identifies the data that a model was fitted to."""
        return content_id(
            f"{self.classes[code]}\0{len(text)}\0".encode() + text.encode("utf-8", "surrogatepass")
            for text, code in zip(self.texts, self.codes.tolist(), strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class MessageFile:
    """The messages of a file by language; `left_out` of its `rows` lack a text or label, or repeat a message.

    `read`: how the file was read. `corrected`: messages beside the file's that people corrected. `only_counted`: those
    that teach nothing.
    """

    languages: tuple[LabelledMessages, ...]
    rows: int
    left_out: int
    read: str
    corrected: int = 0
    only_counted: int = 0

    def with_corrected(self, labels: Mapping[Language | None, Mapping[str, str]], only_counted: int) -> "MessageFile":
        """Return these messages and corrected ones (language -> text -> label) of the same languages.

        What the file says of a message holds.
        """
        languages = tuple(part.with_labels(labels.get(part.language, {})) for part in self.languages)
        corrected = sum(map(len, languages)) - sum(map(len, self.languages))
        others = sum(map(len, labels.values())) - corrected
        return replace(self, languages=languages, corrected=corrected, only_counted=only_counted + others)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """The rows of a table that have a text and a label, and the number of all its rows."""

    labelled: list[_Row]
    count: int
    table: OpenedTable


def read_messages(file: Path, stated: Stated | None = None) -> MessageFile:
    """Return the messages of a table.

    A label is negative, neutral or positive; a language is nl or en. Without a column `language` all messages have the
    language that most of them are in. A repeated message is left out, because a model would be evaluated on what it
    was fitted to.

    :raises Refused: a row is invalid (the message names row and column and repeats no value), or there are too few
    """
    rows = read_rows(file, CLASSES, stated)
    by_language: dict[Language | None, dict[str, str]] = {}
    for row in rows.labelled:
        labels = by_language.setdefault(cast(Language | None, row.get("language")), {})
        labels.setdefault(row["text"], row["label"].strip().lower())
    messages = [_labelled(file.name, language, labels) for language, labels in sorted(by_language.items(), key=str)]
    if not messages:
        raise Refused(f"{file.name} holds no message with a label")
    return MessageFile(tuple(messages), rows.count, rows.count - sum(map(len, messages)), rows.table.how)


def read_rows(file: Path, labels: Sequence[str], stated: Stated | None = None) -> LabelledRows:
    """Return the rows of a file that have a text and one of these labels.

    :raises Refused: a row is invalid (the message names row and column and repeats no value)
    """
    table, rows, labelled, faults = open_table(file, stated), 0, [], Faults()
    for number, row in _rows(table, faults):
        _check(file.name, row, number, faults, labels)
        rows += 1
        if not faults.count and (row["text"] or "").strip() and (row["label"] or "").strip():
            labelled.append(row)
    faults.raise_any()
    return LabelledRows(labelled, rows, table)


def _check(file: str, row: _Row, number: int, faults: Faults, labels: Sequence[str]) -> None:
    """Add what is wrong with a row to the faults."""
    for column in _COLUMNS:
        value = row.get(column)
        if column in row and not (value is None or isinstance(value, str)):
            faults.add(file, column, [number], "must be a text")
        elif column == "label" and value and value.strip() and value.strip().lower() not in labels:
            faults.add(file, column, [number], f"must be one of {', '.join(labels)}")
        elif column == "language" and column in row and value not in LANGUAGES:
            faults.add(file, column, [number], f"must be one of {', '.join(LANGUAGES)}")


def _rows(table: OpenedTable, faults: Faults) -> Iterator[tuple[int, _Row]]:
    """Yield the number of each row in the file, and the row."""
    if missing := sorted(set(_REQUIRED) - set(table.columns)):
        raise Refused(lacking(table, missing[0]))
    names = [name for name in _COLUMNS if name in table.columns]
    for sheet, _, _ in table.parts(faults):
        numbers = sheet.row_numbers(range(len(sheet)))
        for number, *values in zip(numbers, *(sheet[name].to_pylist() for name in names), strict=True):
            yield number, dict(zip(names, values, strict=True))


def _labelled(file: str, language: Language | None, labels: Mapping[str, str]) -> LabelledMessages:
    """Return the messages of one language (None: detect it), from their labels by text; raises Refused if too few."""
    texts, kinds = tuple(labels), tuple(labels.values())
    language = language or _detect_language(texts)
    negative = kinds.count(NEGATIVE)
    if min(negative, len(kinds) - negative) < FEWEST:
        raise Refused(
            f"{file}: too little to learn from: {len(kinds)} different messages in {language} with a label, {negative} "
            f"of them negative, and {FEWEST} of both kinds are needed"
        )
    return _coded(labels, language)


def _coded(labels: Mapping[str, str], language: Language) -> LabelledMessages:
    classes = tuple(c for c in CLASSES if c in labels.values())
    codes = np.array([classes.index(kind) for kind in labels.values()], dtype=np.int64)
    return LabelledMessages(tuple(labels), codes, classes, language)


def _detect_language(texts: Sequence[str]) -> Language:
    """Return the language of most messages, by a sample; raises Refused if there is no clear majority."""
    step = max(1, len(texts) // _DETECTION_SAMPLE)
    detected = [language for text in texts[::step] if (language := detect(clean(text)))]
    best = max(LANGUAGES, key=detected.count)
    if detected.count(best) < _MAJORITY * max(1, len(detected)):
        raise Refused(
            "it cannot be told which language the messages are in: add a column `language` that says nl or en"
        )
    return best
