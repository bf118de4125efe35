"""Phrasings that hearing is judged by, written by hand before there was a model (30 November 2026).

`KIND.LANGUAGE.txt` holds families of phrasings: `## name [label]`, then one phrasing per line. `{a|b}` stands for each
of its parts and `<LONG>` for each line of `long.LANGUAGE.txt`. The label is the channel of an objection (none: all), or
what a request asks for. Training uses none of these families. Those of this folder were looked at while the first model
was made; those of `third/` were written afterwards, by somebody who had seen neither these nor what training uses, and
a model is judged by them once, at the end.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

KINDS = ("wish", "objection", "request", "complaint", "bereavement", "money", "danger", "violence")
SETS = ("first", "third")
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
def phrasings() -> tuple[Phrasing, ...]:
    """Return all phrasings, each once per kind and language."""
    files = product(SETS, (*KINDS, "ordinary"), ("nl", "en"))
    found = (p for name, kind, language in files for p in _read(name, kind, language))
    return tuple({(p.kind, p.language, p.text): p for p in found}.values())


def long_texts(language: str) -> list[str]:
    """Return long ordinary messages."""
    return (_FOLDER / f"long.{language}.txt").read_text().splitlines()


def _read(name: str, kind: str, language: str) -> Iterator[Phrasing]:
    folder = _FOLDER / "third" if name == "third" else _FOLDER
    long = long_texts(language)
    family, label = "", ""
    for line in (folder / f"{kind}.{language}.txt").read_text().splitlines():
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
