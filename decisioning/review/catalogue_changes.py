"""What differs between the catalogues of two releases, field by field, and whom each difference moves. Pure."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from decisioning.catalogue.release import Release

Move = tuple[str, str, bool]
"""An action, the gate that stopped or stops it, and whether it is gained."""
_GATES = {"protections": "protection:{id}", "caps": "cap:{id}", "budgets": "budget:{id}", "purposes": "consent:{id}"}
"""The gates that items of a section are, by section; those of policies begin with their level."""


@dataclass(frozen=True)
class CatalogueChange:
    """A field that two catalogues give other values, and how many customers gain or lose actions by it.

    `field` is empty for an item that was added (`before` None) or removed (`after` None). Customers are those of the
    population that was compared, moved by the item's gate or in the item's action; others may be moved later.
    """

    section: str
    item: str
    field: str
    before: object
    after: object
    gained: int = 0
    lost: int = 0


def catalogue_changes(before: Release, after: Release, moves: Mapping[Move, Set[str]]) -> list[CatalogueChange]:
    """Return every difference, in order of section, item and field.

    :param moves: (action, gate, gained) -> the names of the customers who are moved so
    """
    changes: list[CatalogueChange] = []
    for section in type(before.catalogue).model_fields:
        was, now = (_items(getattr(release.catalogue, section)) for release in (before, after))
        for item in sorted(was.keys() | now.keys()):
            counts = _moved(section, item, now.get(item) or was[item], moves)
            fields = _differences("", was.get(item), now.get(item))
            changes += [CatalogueChange(section, item, field, one, other, *counts) for field, one, other in fields]
    return changes


def _items(section: Any) -> dict[str, Any]:
    """Return the items of a section by id or name, as JSON values; the settings are one item."""
    if not isinstance(section, tuple):
        return {"settings": section.model_dump(mode="json")}
    dumped = [item.model_dump(mode="json") for item in section]
    return {str(item.get("id") or item.get("name") or n): item for n, item in enumerate(dumped)}


def _differences(path: str, before: Any, after: Any) -> Iterator[tuple[str, object, object]]:
    """Yield (field, before, after) of the smallest parts that differ; lists are compared by id, else by position."""
    if before == after:
        return
    one, other = _parts(before), _parts(after)
    if one is None or other is None:
        yield path, before, after
        return
    for key in [*one, *(k for k in other if k not in one)]:
        yield from _differences(f"{path}.{key}" if path else key, one.get(key), other.get(key))


def _parts(value: Any) -> dict[str, Any] | None:
    """Return the parts of a mapping or of a list of mappings by name; None for a plain value or a list of them."""
    if isinstance(value, dict):
        return {str(key): part for key, part in value.items()}
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        named = {str(part.get("id") or part.get("after") or n): part for n, part in enumerate(value)}
        return named if len(named) == len(value) else {str(n): part for n, part in enumerate(value)}
    return None


def _moved(section: str, item: str, content: Mapping[str, Any], moves: Mapping[Move, Set[str]]) -> tuple[int, int]:
    """Return how many customers gain and lose an action by this item's gate, or this action."""
    gate = _GATES.get(section, "").format(id=item) or (
        f"{content.get('level')}:{item}" if section == "policies" else ""
    )
    about = [key for key in moves if key[1] == gate or (section == "actions" and key[0] == item)]
    gained, lost = ({name for key in about if key[2] == way for name in moves[key]} for way in (True, False))
    return len(gained), len(lost)
