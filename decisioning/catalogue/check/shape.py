"""Typed records from the sections of parsed files, each with its position in its file."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from decisioning.catalogue.actions import Action, Basis, Channel, Purpose, Settings
from decisioning.catalogue.calendars import Calendar
from decisioning.catalogue.check.words import hint, shape_problems
from decisioning.catalogue.countries import CountryRules
from decisioning.catalogue.intents import Intent
from decisioning.catalogue.people.budgets import Budget
from decisioning.catalogue.people.package import FactsHeading
from decisioning.catalogue.people.routing import Routing
from decisioning.catalogue.policies import Arm, Cap, EmotionRule, MomentRule, Persona, Policy, Protection
from decisioning.catalogue.source import Path, YamlNode, shorten
from decisioning.errors import Mistake
from decisioning.facts.schema import Feature, Strict
from decisioning.facts.signals import SignalType

Spec = TypeVar("Spec", bound=Strict)

SECTIONS: Mapping[str, tuple[str, type[Strict]]] = {
    "signals": ("signal", SignalType),
    "features": ("feature", Feature),
    "purposes": ("purpose", Purpose),
    "bases": ("basis", Basis),
    "country_rules": ("country rules", CountryRules),
    "channels": ("channel", Channel),
    "actions": ("action", Action),
    "intents": ("intent", Intent),
    "calendars": ("calendar", Calendar),
    "package": ("heading", FactsHeading),
    "policies": ("policy", Policy),
    "protections": ("protection", Protection),
    "caps": ("cap", Cap),
    "budgets": ("budget", Budget),
    "arms": ("arm", Arm),
    "emotion": ("emotion rule", EmotionRule),
    "moments": ("moment", MomentRule),
    "personas": ("persona", Persona),
}
"""Section -> (the word for one of its records, their model). `settings` and `routing` are no lists."""


@dataclass(frozen=True, slots=True)
class Item(Generic[Spec]):
    """A record and its position; `label` names it in messages, such as "action `tv-bundle`"."""

    label: str
    spec: Spec
    node: YamlNode

    def problem(self, path: Path, message: str, suggestion: str | None = None) -> Mistake:
        """Return a mistake at a path within the record."""
        return self.node.at(path).problem(f"{self.label}: {message}", suggestion)


@dataclass(frozen=True, slots=True)
class Draft:
    """A catalogue whose records have the right shape; how they fit each other is not yet checked.

    `known_ids`: section -> every id, also of refused records, so that those are not reported as unknown as well.
    `groups`: every group of an action, also of refused ones. `refused_ids`: section -> ids (of `settings`: keys) of the
    records that were left out.
    """

    settings: Item[Settings]
    signals: tuple[Item[SignalType], ...]
    features: tuple[Item[Feature], ...]
    purposes: tuple[Item[Purpose], ...]
    bases: tuple[Item[Basis], ...]
    country_rules: tuple[Item[CountryRules], ...]
    channels: tuple[Item[Channel], ...]
    actions: tuple[Item[Action], ...]
    intents: tuple[Item[Intent], ...]
    calendars: tuple[Item[Calendar], ...]
    package: tuple[Item[FactsHeading], ...]
    policies: tuple[Item[Policy], ...]
    protections: tuple[Item[Protection], ...]
    caps: tuple[Item[Cap], ...]
    budgets: tuple[Item[Budget], ...]
    arms: tuple[Item[Arm], ...]
    emotion: tuple[Item[EmotionRule], ...]
    moments: tuple[Item[MomentRule], ...]
    personas: tuple[Item[Persona], ...]
    known_ids: Mapping[str, frozenset[str]]
    groups: frozenset[str]
    refused_ids: Mapping[str, frozenset[str]]
    routing: Item[Routing] | None = None


def build_draft(roots: Iterable[YamlNode]) -> tuple[Draft, list[Mistake]]:
    """Return the records of all files, in order of id, and the mistakes in the shape of those that were left out."""
    sections = _Sections()
    for root in roots:
        sections.add_file(root)
    return sections.draft(), sections.problems


class _Sections:
    """Merges the sections of all files."""

    def __init__(self) -> None:
        self.problems: list[Mistake] = []
        self.items: dict[str, list[Item[Any]]] = {section: [] for section in SECTIONS}
        self.first_nodes: dict[str, dict[str, YamlNode]] = {section: {} for section in SECTIONS}
        self.refused_ids: dict[str, set[str]] = {section: set() for section in ("settings", *SECTIONS)}
        self.groups: set[str] = set()
        self.settings = YamlNode({}, "settings", 1, {})
        self.routing: YamlNode | None = None

    def add_file(self, root: YamlNode) -> None:
        """Add all sections of one file."""
        for section, node in root.items.items():
            if section == "settings":
                self._add_settings(node)
            elif section == "routing":
                self._add_routing(node)
            elif section in SECTIONS:
                self._add_section(str(section), node)
            else:
                known = hint(str(section), ("settings", "routing", *SECTIONS))
                self.problems.append(node.problem(f"unknown section `{shorten(str(section))}`", known))

    def _add_section(self, section: str, node: YamlNode) -> None:
        if not isinstance(node.value, tuple | None):
            self.problems.append(node.problem(f"`{section}` must be a list", "begin every item with `- `"))
            return
        for child in node.items.values():
            self._add_item(section, child)

    def _add_item(self, section: str, node: YamlNode) -> None:
        word, model = SECTIONS[section]
        key = "name" if section == "features" else "id"
        raw = node.value if isinstance(node.value, dict) else {}
        name = raw.get(key)
        label = f"{word} `{shorten(name)}`" if isinstance(name, str) else word
        if isinstance(name, str):
            self._refuse_repeat(section, name, node.at((key,)), label)
        if section == "actions":
            self.groups.add(str(raw.get("group")))
        try:
            self.items[section].append(Item(label, model.model_validate(node.value), node))
        except ValidationError as error:
            self.refused_ids[section].add(str(name))
            self.problems.extend(shape_problems(label, model, error, node))

    def _refuse_repeat(self, section: str, name: str, node: YamlNode, label: str) -> None:
        first = self.first_nodes[section].setdefault(name, node)
        if first is not node:
            suggestion = f"the first is in {first.file}:{first.line}; give this one another name, or remove it"
            self.problems.append(node.problem(f"{label} is declared twice", suggestion))

    def _add_settings(self, node: YamlNode) -> None:
        if not isinstance(node.value, dict | None):
            example = "for example `settings: {locales: [nl, en]}`"
            self.problems.append(node.problem("`settings` must be a mapping", example))
            return
        for key, child in node.items.items():
            first = self.settings.items.setdefault(key, child)
            if first is not child:
                suggestion = f"the first is in {first.file}:{first.line}; remove one of them"
                self.problems.append(child.problem(f"setting `{shorten(str(key))}` is given twice", suggestion))

    def _add_routing(self, node: YamlNode) -> None:
        if self.routing is not None:
            suggestion = f"the first is in {self.routing.file}:{self.routing.line}; keep it in one file"
            self.problems.append(node.problem("`routing` is stated twice", suggestion))
        else:
            self.routing = node

    def _stated_routing(self) -> Item[Routing] | None:
        """Return how customers are routed; None if it is not stated, or wrong."""
        if self.routing is None:
            return None
        try:
            return Item("routing", Routing.model_validate(self.routing.value or {}), self.routing)
        except ValidationError as error:
            self.problems.extend(shape_problems("routing", Routing, error, self.routing))
            return None

    def _settings(self) -> Item[Settings]:
        """Return the settings without those that are wrong."""
        raw = {key: node.value for key, node in self.settings.items.items()}
        try:
            return Item("settings", Settings.model_validate(raw), self.settings)
        except ValidationError as error:
            self.problems.extend(shape_problems("settings", Settings, error, self.settings))
            wrong = {str(detail["loc"][0]) for detail in error.errors()}
        self.refused_ids["settings"] |= wrong
        valid = {key: value for key, value in raw.items() if key not in wrong}
        return Item("settings", Settings.model_validate(valid), self.settings)

    def draft(self) -> Draft:
        """Return the merged records."""
        settings = self._settings()
        items = {section: tuple(sorted(records, key=_id_of)) for section, records in self.items.items()}
        return Draft(
            settings=settings,
            known_ids={section: frozenset(first) for section, first in self.first_nodes.items()},
            groups=frozenset(self.groups),
            refused_ids={section: frozenset(ids) for section, ids in self.refused_ids.items()},
            routing=self._stated_routing(),
            **items,
        )


def _id_of(item: Item[Any]) -> str:
    """Return the id that a section is sorted by (its label would put `a-b` before `a`)."""
    name: str = item.spec.name if isinstance(item.spec, Feature) else item.spec.id
    return name


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
