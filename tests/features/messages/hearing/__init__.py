"""Phrasings that hearing is judged by, written by hand before there was a model (30 November 2026).

`KIND.LANGUAGE.txt` holds families of phrasings: `## name [label]`, then one phrasing per line. `{a|b}` stands for each
of its parts and `<LONG>` for each line of `long.LANGUAGE.txt`. The label is the channel of an objection (none: all), or
what a request asks for. No family has phrasings that training uses. Of each file every second family is kept back:
`development` and `final` were both looked at while the first model was made. `third/` was written afterwards, by
somebody who had seen neither these nor what training uses, and a model is judged by it once, at the end.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

KINDS = ("wish", "objection", "request", "complaint", "bereavement", "money", "danger", "violence")
HALVES = ("development", "final")
_FOLDER = Path(__file__).parent
_CHOICE = re.compile(r"\{([^{}]*)\}")


class Phrasing(NamedTuple):
    """A message with what should be heard in it; `kind` is `ordinary` where that is nothing."""

    text: str
    kind: str
    language: str
    family: str
    label: str
    half: str


@cache
def phrasings() -> tuple[Phrasing, ...]:
    """Return all phrasings, each once per kind and language."""
    return _all_of(_FOLDER, HALVES)


@cache
def third_set() -> tuple[Phrasing, ...]:
    """Return the phrasings that no model was made with, each once per kind and language."""
    return _all_of(_FOLDER / "third", ("third",))


def _all_of(folder: Path, halves: tuple[str, ...]) -> tuple[Phrasing, ...]:
    kinds = ((kind, language) for kind in (*KINDS, "ordinary") for language in ("nl", "en"))
    found = (p for kind, language in kinds for p in _read(folder, kind, language, halves))
    return tuple({(p.kind, p.language, p.text): p for p in found}.values())


def _read(folder: Path, kind: str, language: str, halves: tuple[str, ...]) -> Iterator[Phrasing]:
    long = (_FOLDER / f"long.{language}.txt").read_text().splitlines()
    families, family, label = 0, "", ""
    for line in (folder / f"{kind}.{language}.txt").read_text().splitlines():
        if line.startswith("## "):
            family, _, rest = line[3:].partition(" [")
            families, label = families + 1, rest.rstrip("]")
        elif line:
            half = halves[(families + 1) % len(halves)]
            for text in _expanded(line, long):
                yield Phrasing(text, kind, language, family, label, half)


def _expanded(line: str, long: list[str]) -> Iterator[str]:
    parts = _CHOICE.split(line.replace("<LONG>", "{" + "|".join(long) + "}"))
    options = [part.split("|") if at % 2 else [part] for at, part in enumerate(parts)]
    return (" ".join("".join(chosen).split()) for chosen in product(*options))
