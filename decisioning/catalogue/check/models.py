"""Checks of what a catalogue requires of models, against the features that a model may read."""

from collections.abc import Iterator, Mapping
from typing import Any

from decisioning.catalogue.check.shape import Draft, Item
from decisioning.catalogue.check.words import hint
from decisioning.catalogue.source import Path
from decisioning.errors import Mistake
from decisioning.facts.schema import Feature

_ORDERED_DTYPES = ("int", "float", "bool")


def model_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield directions of features that do not exist, that no model reads, or whose values have no order."""
    features = {item.spec.name: item.spec for item in draft.features}
    names = draft.known_ids["features"]
    for issue, directions in draft.settings.spec.monotone.items():
        for name in directions:
            yield from _direction(draft.settings, ("monotone", issue, name), name, features, names)
    for item in draft.actions:
        for name in item.spec.monotone:
            yield from _direction(item, ("monotone", name), name, features, names)


def _direction(
    item: Item[Any], path: Path, name: str, features: Mapping[str, Feature], names: frozenset[str]
) -> Iterator[Mistake]:
    feature = features.get(name)
    if name not in names:
        message = f"there is no feature `{name}`"
        yield item.problem(path, message, hint(name, names) or "declare the feature, or remove the name")
    elif feature and feature.dtype not in _ORDERED_DTYPES:
        yield item.problem(path, f"the values of `{feature.dtype}` have no order", "remove it, or name a number")
    elif feature and not feature.learnable:
        yield item.problem(path, f"no model may read `{name}`", "remove it")
