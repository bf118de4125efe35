"""Checks of the values that features and fields of signals may have."""

from collections.abc import Iterator
from typing import Any

from decisioning.catalogue.check.shape import Item, repeated_names
from decisioning.catalogue.source import Path
from decisioning.errors import Mistake
from decisioning.facts.schema import Feature
from decisioning.facts.signals import SignalField

_ORDERED_DTYPES = ("int", "float", "timestamp")


def value_problems(item: Item[Any], path: Path, spec: Feature | SignalField) -> Iterator[Mistake]:
    """Yield values and bounds at `path` that do not fit the dtype or each other."""
    if spec.dtype == "enum" and not spec.values:
        yield item.problem((*path, "dtype"), "an enum without values", "add `values: [monthly, yearly]`")
    if spec.dtype != "enum" and spec.values:
        yield item.problem((*path, "values"), f"only an enum has values, this is `{spec.dtype}`", "write `dtype: enum`")
    yield from repeated_names(item, (*path, "values"), spec.values)
    bounds = [bound for bound in (spec.min, spec.max) if bound is not None]
    if bounds and spec.dtype not in _ORDERED_DTYPES:
        where = "max" if spec.min is None else "min"
        yield item.problem((*path, where), f"`{spec.dtype}` has no minimum and no maximum", f"remove `{where}`")
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        yield item.problem((*path, "min"), f"`min` {bounds[0]:g} is above `max` {bounds[1]:g}", "exchange them")


def change_problems(item: Item[Feature]) -> Iterator[Mistake]:
    """Yield mistakes in `changeable`: the customer cannot change the feature, or it does not say to which values."""
    feature, path = item.spec, ("changeable",)
    if not feature.changeable:
        return
    if why := feature.why_not_changeable:
        yield item.problem(path, f"no customer can be told to change what is {why}", "remove `changeable`")
    elif feature.dtype not in ("bool", "enum", "int", "float"):
        yield item.problem(path, f"a `{feature.dtype}` cannot be chosen", "remove `changeable`")
    elif isinstance(feature.changeable, tuple) != (feature.dtype in ("int", "float")):
        example = "`changeable: [5, 10, 20]`" if feature.dtype in ("int", "float") else "`changeable: true`"
        yield item.problem(path, f"it does not fit `{feature.dtype}`", f"write {example}")
    elif isinstance(feature.changeable, tuple):
        yield from _impossible_choices(item, feature.changeable)


def _impossible_choices(item: Item[Feature], values: tuple[int | float, ...]) -> Iterator[Mistake]:
    """Numbers to choose from that the feature cannot have."""
    low, high = item.spec.min, item.spec.max
    for n, value in enumerate(values):
        right_type = item.spec.dtype == "float" or isinstance(value, int)
        if not right_type or (low is not None and value < low) or (high is not None and value > high):
            yield item.problem(("changeable", n), f"the feature is never {value:g}", "remove it, or widen the feature")
