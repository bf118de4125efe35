"""The distributions that requirements.txt installs, as they are on this machine."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

_PINNED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)")
_CLASSIFIER = "License :: "


@dataclass(frozen=True)
class Part:
    """An installed distribution. `licences` is what it says of itself: an expression, classifiers or a line of text."""

    name: str
    version: str
    licences: tuple[str, ...]
    needs: tuple[str, ...]


def normal(name: str) -> str:
    """Return a distribution's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(requirements: Path) -> dict[str, str]:
    """Return name and version of everything that a file of requirements pins."""
    found = (_PINNED.match(line) for line in requirements.read_text().splitlines())
    return {normal(match[1]): match[2] for match in found if match}


def installed(names: Iterable[str], folders: list[str] | None = None) -> list[Part]:
    """Return the parts of these names that are installed in `folders`, by default where this program looks."""
    wanted, parts = set(names), {}
    for one in distributions() if folders is None else distributions(path=folders):
        name = normal(one.metadata["Name"])
        if name in wanted and name not in parts:
            parts[name] = _part(name, one, wanted)
    return sorted(parts.values(), key=lambda part: part.name)


def size_bytes(part: Part) -> int:
    """Return how much of the disk the files of an installed part take."""
    files = (Path(str(file.locate())) for file in distribution(part.name).files or ())
    return sum(file.stat().st_size for file in files if file.is_file())


def _part(name: str, one: Distribution, wanted: set[str]) -> Part:
    needs = {normal(match[0]) for need in one.requires or () if (match := re.match(r"[A-Za-z0-9._-]+", need))}
    return Part(name, one.version, tuple(_licences(one)), tuple(sorted(needs & wanted)))


def _licences(one: Distribution) -> Iterator[str]:
    """Yield what a distribution says of its licence, in the newest of the forms that it uses."""
    about = one.metadata
    expression, text = about.get("License-Expression"), (about.get("License") or "").strip()
    classifiers = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or () if _CLASSIFIER in line]
    named = [line for line in classifiers if line != "OSI Approved"]
    if expression:
        yield expression
    elif named:
        yield from named
    elif text:
        yield text.splitlines()[0]
