"""Reads a mapping file and checks it; reports every mistake with its line."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from zoneinfo import available_timezones

from pydantic import ValidationError

from decisioning.catalogue.check.words import hint, shape_problems
from decisioning.catalogue.source import Path, YamlNode, decode, parse, shorten
from decisioning.errors import ConfigError, Mistake
from decisioning.facts.standing import ALL_CHANNELS
from features.importing.mapping import NONE, AssertedBasis, AssertedConsent, Choice, ConsentColumn, ImportMapping

if TYPE_CHECKING:
    from features.importing.opening import OpenedTable

BLANK: Final = "FILL_IN"
"""What stands in a drafted mapping where a person has to write."""
_SHARED: Final = "every_action"


class MappingSource:
    """A mapping as read from its file: `mapping`, and `node`, which gives the line of a mistake."""

    def __init__(self, mapping: ImportMapping, node: YamlNode) -> None:
        self.mapping, self.node = mapping, node


def read_mapping(file: str, data: bytes) -> MappingSource:
    """Return the mapping in a YAML file. Raises ConfigError with every mistake, its line and a suggestion."""
    document = parse(file, text := decode(file, data))
    if document.root is None or document.problems:
        raise ConfigError(document.problems)
    root = _with_every_action(document.root)
    missing = list(_blanks(root, text))
    try:
        source = MappingSource(ImportMapping.model_validate(root.value), root)
    except ValidationError as error:
        lines = {blank.line for blank in missing}
        others = [p for p in shape_problems("mapping", ImportMapping, error, root) if p.line not in lines]
        raise ConfigError([*missing, *others]) from None
    if problems := [*missing, *_cross_checks(source)]:
        raise ConfigError(problems)
    return source


def _with_every_action(root: YamlNode) -> YamlNode:
    """Return the mapping in which each action has what `every_action` says, unless it says otherwise itself."""
    shared, actions = root.items.get(_SHARED), root.items.get("actions")
    if shared is None or actions is None or not isinstance(shared.value, dict):
        return root
    whole = {n: _with_shared(action, shared) for n, action in actions.items.items()}
    listed = replace(actions, value=tuple(action.value for action in whole.values()), items=dict(whole))
    items = {key: child for key, child in root.items.items() if key != _SHARED} | {"actions": listed}
    return replace(root, value={str(key): child.value for key, child in items.items()}, items=items)


def _with_shared(action: YamlNode, shared: YamlNode) -> YamlNode:
    if not isinstance(action.value, dict):
        return action
    return replace(action, value={**shared.value, **action.value}, items={**shared.items, **action.items})


def _cross_checks(source: MappingSource) -> Iterator[Mistake]:
    """Yield the mistakes in how parts of a mapping refer to each other."""
    mapping, node = source.mapping, source.node
    if mapping.time_zone not in (zones := available_timezones()):
        near = hint(mapping.time_zone, zones) or "for example Europe/Amsterdam"
        yield node.at(("time_zone",)).problem(f"there is no time zone `{shorten(mapping.time_zone)}`", near)
    yield from _actions_and_channels(mapping, node)
    yield from _consents(mapping, node)
    yield from _repeated_names(mapping, node)
    outcomes = {o.name for _, o in mapping.outcomes}
    for i, score in enumerate(mapping.scores):
        if score.outcome not in outcomes:
            place = node.at(("scores", i, "outcome"))
            yield place.problem("no file tells of this outcome", hint(score.outcome, outcomes))


def _actions_and_channels(mapping: ImportMapping, node: YamlNode) -> Iterator[Mistake]:
    """Yield the names of actions and channels in files that the mapping does not declare."""
    actions = {a.id for a in mapping.actions} | {NONE}
    channels = {c.id for c in mapping.channels}
    for i, file in enumerate(mapping.files):
        path = ("files", i)
        if file.contact:
            yield from _names(node.at((*path, "contact", "action")), "action", file.contact.action, actions)
            yield from _names(node.at((*path, "contact", "channel")), "channel", file.contact.channel, channels)
        for j, outcome in enumerate(file.outcomes):
            yield from _names(node.at((*path, "outcomes", j, "action")), "action", outcome.action, actions)


def _names(node: YamlNode, kind: str, choice: Choice, declared: set[str]) -> Iterator[Mistake]:
    for name in choice.names:
        if name not in declared:
            yield node.problem(f"there is no {kind} `{name}`", hint(name, declared) or f"declare it under `{kind}s`")


def _consents(mapping: ImportMapping, node: YamlNode) -> Iterator[Mistake]:
    purposes = {p.id for p in mapping.purposes}
    channels = {c.id for c in mapping.channels} | {ALL_CHANNELS}
    for path, consent in _consents_with_paths(mapping):
        if consent.purpose not in purposes:
            message = f"there is no purpose `{consent.purpose}`"
            yield node.at((*path, "purpose")).problem(message, hint(consent.purpose, purposes) or "declare it")
        for channel in consent.channels if isinstance(consent, AssertedBasis) else (consent.channel,):
            if channel not in channels:
                yield node.at((*path, "channel")).problem(f"there is no channel `{channel}`", hint(channel, channels))


def _consents_with_paths(
    mapping: ImportMapping,
) -> Iterator[tuple[Path, AssertedConsent | AssertedBasis | ConsentColumn]]:
    for i, assertion in enumerate(mapping.assertions):
        for j, basis in enumerate(assertion.bases):
            yield ("assertions", i, "bases", j), basis
        for j, asserted in enumerate(assertion.consents):
            yield ("assertions", i, "consents", j), asserted
    for i, file in enumerate(mapping.files):
        for j, column in enumerate(file.consents):
            yield ("files", i, "consents", j), column


def _repeated_names(mapping: ImportMapping, node: YamlNode) -> Iterator[Mistake]:
    """Yield names that are declared twice. Several files may have the same feature if they agree on its dtype."""
    dtypes: dict[str, str] = {}
    declared: set[tuple[str, Path]] = set()
    for path, name, dtype in _features_with_paths(mapping):
        if dtypes.setdefault(name, dtype) != dtype or (name, path[:2]) in declared:
            yield node.at(path).problem(f"feature `{name}` is declared twice", "give one of them another name")
        declared.add((name, path[:2]))
    ids = [f.id for f in mapping.files]
    for i, id_ in enumerate(ids):
        if id_ in ids[:i]:
            yield node.at(("files", i, "id")).problem(f"file `{id_}` is named twice", "rename one of them")


def _features_with_paths(mapping: ImportMapping) -> Iterator[tuple[Path, str, str]]:
    """Yield path, name and dtype of everything that becomes a feature.

    Assertions and scores have a text of their own in place of a dtype, so that no other feature agrees with them.
    """
    for i, file in enumerate(mapping.files):
        for j, column in enumerate(file.features):
            yield ("files", i, "features", j, "name"), column.name, column.dtype
    for i, assertion in enumerate(mapping.assertions):
        for j, asserted in enumerate(assertion.features):
            yield ("assertions", i, "features", j, "name"), asserted.name, f"asserted {i}.{j}"
    for i, score in enumerate(mapping.scores):
        yield ("scores", i, "name"), score.name, "score"


def unknown_columns(file: YamlNode, table: "OpenedTable") -> Iterator[Mistake]:
    """Yield a mistake, at its line, for each column that a file's part of a mapping names and its table does not have.

    Blanks of a draft are told elsewhere.
    """
    for node in _naming_columns(file):
        if node.value not in (*table.columns, BLANK):
            message = f"{table.path.name} has no column `{node.value}` ({table.how})"
            yield node.problem(message, table.instead_of(str(node.value)))


def _naming_columns(file: YamlNode) -> Iterator[YamlNode]:
    """Yield the nodes that name a column: `column`, and `account`, `contact` and a contact's `id` if they are texts."""
    todo = [(key, child) for key, child in file.items.items() if key != "id"]
    while todo:
        key, node = todo.pop(0)
        if key in ("column", "id", "account", "contact") and isinstance(node.value, str):
            yield node
        todo.extend((k, child) for k, child in node.items.items() if key not in ("map", "values"))


def _blanks(node: YamlNode, text: str) -> Iterator[Mistake]:
    """Yield a mistake per blank of a mapping, with the comment that stands in its line."""
    lines = text.splitlines()
    for path, line in _places(node):
        name = node.at(path[:-1]).items.get("name")
        key = str(name.value) if path[-1] == "value" and name else str(path[-1])
        yield Mistake(node.file, line, f"`{key}` is blank", _comment(lines[line - 1]) or "write what is true")


def _places(node: YamlNode) -> Iterator[tuple[Path, int]]:
    """Yield path and line of every blank, in the order of the file."""
    todo: list[tuple[tuple[str | int, ...], YamlNode]] = [((), node)]
    places: list[tuple[Path, int]] = []
    while todo:
        path, parent = todo.pop()
        for key, child in parent.items.items():
            if child.value == BLANK:
                places.append(((*path, key), child.line))
            todo.append(((*path, key), child))
    return iter(sorted(places, key=lambda place: place[1]))


def _comment(line: str) -> str:
    return line.partition(" # ")[2].strip()
