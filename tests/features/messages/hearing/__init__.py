"""Phrasings that hearing is judged by, written by hand.

`KIND.LANGUAGE.txt` holds families of phrasings: `## name [label]`, then one phrasing per line. `{a|b}` stands for each
of its parts and `<LONG>` for each line of `long.LANGUAGE.txt`. The label is the channel of an objection (none: all), or
what a request asks for. Each set was written before a model that was judged by it once. Then its misses were read (of
`fifth` only its figures) to make the next model. Those of `first`, `third` and `fifth` are taught, so they stand beside
what teaches; nothing of `fourth` is taught. A model that was not taught `fifth` heard of it (nl, en): wishes .93 and
.92, objections .90 and .90, danger .89 and .86, access .97 and .97, erasure 1.00 and .87, complaints 1.00 and .98,
bereavement .95 and .95, money trouble .95 and .84, violence .95 and .91, falsely in at most 2% of ordinary messages.
`sixth`, in English, was written by somebody who had seen nothing of the others, and judged the model after it was made.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from training.rows.hearing_corpus import FOLDER

KINDS = ("wish", "objection", "request", "complaint", "bereavement", "money", "danger", "violence")
TAUGHT = ("first", "third", "fifth")
"""The sets that the model is taught."""
DEVELOPMENT = ("fourth",)
"""The sets that are not taught, but that were looked at while the model was made."""
UNSEEN = ("sixth",)
"""The sets that were written apart from the model, and of which only figures were looked at."""
_FOLDER = Path(__file__).parent
_CHOICE = re.compile(r"\{([^{}]*)\}")


class Phrasing(NamedTuple):
    """A message with what should be heard in it; `kind` is `ordinary` where that is nothing."""

    text: str
    kind: str
    language: str
    family: str
    label: str
    set: str


@cache
def phrasings(sets: tuple[str, ...] = TAUGHT) -> tuple[Phrasing, ...]:
    """Return all phrasings of some sets, each once per kind and language."""
    files = product(sets, (*KINDS, "ordinary"), ("nl", "en"))
    found = (p for name, kind, language in files for p in _read(name, kind, language))
    return tuple({(p.kind, p.language, p.text): p for p in found}.values())


def long_texts(language: str) -> list[str]:
    """Return long ordinary messages."""
    return (_FOLDER / f"long.{language}.txt").read_text().splitlines()


def _read(name: str, kind: str, language: str) -> Iterator[Phrasing]:
    folder = (FOLDER if name in TAUGHT else _FOLDER) / name
    long = long_texts(language)
    family, label = "", ""
    file = folder / f"{kind}.{language}.txt"
    for line in file.read_text().splitlines() if file.exists() or name in TAUGHT else ():
        if line.startswith("## "):
            family, _, rest = line[3:].partition(" [")
            label = rest.rstrip("]")
        elif line:
            for text in _expanded(line, long):
                yield Phrasing(text, kind, language, family, label, name)


def _expanded(line: str, long: list[str]) -> Iterator[str]:
    parts = _CHOICE.split(line.replace("<LONG>", "{" + "|".join(long) + "}"))
    options = [part.split("|") if at % 2 else [part] for at, part in enumerate(parts)]
    return (" ".join("".join(chosen).split()) for chosen in product(*options))
