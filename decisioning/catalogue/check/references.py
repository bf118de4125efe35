"""Checks of names that refer to another record."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from decisioning.catalogue.check.shape import Item
from decisioning.catalogue.check.words import hint
from decisioning.catalogue.source import Path, shorten
from decisioning.errors import Mistake


def unknown_names(
    item: Item[Any], path: Path, kind: str, names: Iterable[str], known: Collection[str]
) -> Iterator[Mistake]:
    """Yield a problem for each of `names`, a list at `path`, that is not among the `known` names of its kind."""
    for i, name in enumerate(names):
        if name not in known:
            yield item.problem((*path, i), f"there is no {kind} `{shorten(name)}`", hint(name, known) or _declare(kind))


def repeated_names(item: Item[Any], path: Path, names: Iterable[str]) -> Iterator[Mistake]:
    """Yield a problem for each of `names`, a list at `path`, that is in the list before."""
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            yield item.problem((*path, i), f"`{shorten(name)}` is in this list twice", "remove one of them")
        seen.add(name)


def _declare(kind: str) -> str:
    return f"declare the {kind}, or remove the name"
