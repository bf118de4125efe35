"""A company's own labelled messages from a file: columns `text`, `label` and, if it has one, `language`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from decisioning.errors import Refused
from decisioning.hashes import content_id
from features.importing.tables import Faults, is_parquet, read_sheet
from features.messages.language import LANGUAGES, Language, detect
from features.messages.text import clean
from features.messages.trained import CLASSES, NEGATIVE
from training.model.frame import Bools, Ints

FEWEST = 50
"""Messages of either kind, negative and not, without which nothing is fitted."""
_NEEDED, _COLUMNS = ("text", "label"), ("text", "label", "language")
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_LOOKED_AT = 2_000
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
        """Which are negative, (n,)."""
        return np.asarray(self.codes == self.classes.index(NEGATIVE))

    def digest(self) -> str:
        """`sha256:<hex>` over every text and class, to say which data a model saw."""
        return content_id(
            f"{self.classes[code]}\0{len(text)}\0".encode() + text.encode("utf-8", "surrogatepass")
            for text, code in zip(self.texts, self.codes.tolist(), strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class MessageFile:
    """What a file holds, by language; `left_out` of its `rows` are without a text or label, or say the same again."""

    languages: tuple[LabelledMessages, ...]
    rows: int
    left_out: int


def read_messages(file: Path) -> MessageFile:
    """Messages of a CSV, Parquet or JSON lines file; a label is negative, neutral or positive, a language nl or en.

    Without a column `language` all are of the one that most are in. A message that occurs again is left out: it would
    be judged by what it taught.

    :raises Refused: names row and column of what is wrong, and repeats no value; or too little to learn from
    """
    rows, faults = 0, Faults()
    found: dict[Language | None, dict[str, str]] = {}
    for row in _rows(file, faults):
        _check(file.name, row, rows, faults)
        rows += 1
        if not faults.count and (row["text"] or "").strip() and (row["label"] or "").strip():
            labels = found.setdefault(cast(Language | None, row.get("language")), {})
            labels.setdefault(row["text"], row["label"].strip().lower())
    faults.raise_any()
    told = [_labelled(file.name, language, labels) for language, labels in sorted(found.items(), key=str)]
    if not told:
        raise Refused(f"{file.name} holds no message with a label")
    return MessageFile(tuple(told), rows, rows - sum(map(len, told)))


def _check(file: str, row: _Row, at: int, faults: Faults) -> None:
    for column in _COLUMNS:
        value = row.get(column)
        if column in row and not (value is None or isinstance(value, str)):
            faults.add(file, column, [at], "must be a text")
        elif column == "label" and value and value.strip() and value.strip().lower() not in CLASSES:
            faults.add(file, column, [at], f"must be one of {', '.join(CLASSES)}")
        elif column == "language" and column in row and value not in LANGUAGES:
            faults.add(file, column, [at], f"must be one of {', '.join(LANGUAGES)}")


def _rows(file: Path, faults: Faults) -> Iterator[_Row]:
    if file.suffix.lower() in _JSON_LINES:
        yield from _json_lines(file, faults)
        return
    sheet = read_sheet(file, parquet=is_parquet(file))
    if missing := sorted(set(_NEEDED) - set(sheet.columns)):
        few = ", ".join(sheet.columns[:20])
        raise Refused(f"{file.name} has no column {missing[0]}: rename the one that holds it (there are {few})")
    names = [name for name in _COLUMNS if name in sheet.columns]
    for values in zip(*(sheet[name].to_pylist() for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


def _json_lines(file: Path, faults: Faults) -> Iterator[_Row]:
    """The object of each line; what is wrong with a line counts as a row without anything."""
    try:
        lines = [line for line in file.read_bytes().split(b"\n") if line.strip()]
    except OSError:
        raise Refused(f"{file.name} cannot be read") from None
    for at, line in enumerate(lines):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            faults.add(file.name, "(all)", [at], "is not a JSON object")
        elif missing := [name for name in _NEEDED if name not in row]:
            faults.add(file.name, missing[0], [at], "is missing")
        yield row if isinstance(row, dict) else {}


def _labelled(file: str, language: Language | None, labels: Mapping[str, str]) -> LabelledMessages:
    texts, kinds = tuple(labels), tuple(labels.values())
    spoken = language or _language(texts)
    negative = kinds.count(NEGATIVE)
    if min(negative, len(kinds) - negative) < FEWEST:
        raise Refused(
            f"{file}: too little to learn from: {len(kinds)} different messages in {spoken} with a label, {negative} "
            f"of them negative, and {FEWEST} of both kinds are needed"
        )
    classes = tuple(c for c in CLASSES if c in kinds)
    return LabelledMessages(texts, np.array([classes.index(kind) for kind in kinds], dtype=np.int64), classes, spoken)


def _language(texts: Sequence[str]) -> Language:
    step = max(1, len(texts) // _LOOKED_AT)
    found = [spoken for said in texts[::step] if (spoken := detect(clean(said)))]
    best = max(LANGUAGES, key=found.count)
    if found.count(best) < _MAJORITY * max(1, len(found)):
        raise Refused(
            "it cannot be told which language the messages are in: add a column `language` that says nl or en"
        )
    return best
