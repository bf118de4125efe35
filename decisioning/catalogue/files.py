"""One catalogue from the files of a workspace (sections merged, checked, sorted by id), and the bytes of a release."""

import json
import re
from collections.abc import Mapping
from functools import cached_property
from itertools import islice

from decisioning.catalogue.actions import Action, Basis, Channel, Purpose, Settings
from decisioning.catalogue.calendars import Calendar
from decisioning.catalogue.check.everything import Environment, check
from decisioning.catalogue.check.shape import Draft, build_draft
from decisioning.catalogue.countries import CountryRules, with_country_rules
from decisioning.catalogue.intents import Intent
from decisioning.catalogue.people.budgets import Budget
from decisioning.catalogue.people.package import FactsHeading
from decisioning.catalogue.people.routing import Routing
from decisioning.catalogue.policies import Arm, Cap, EmotionRule, MomentRule, Persona, Policy, Protection
from decisioning.catalogue.source import parse
from decisioning.errors import ConfigError, Mistake
from decisioning.facts.schema import Feature, FeatureSchema, Strict, Value
from decisioning.facts.signals import SignalType
from decisioning.times import microseconds, parse_moment

MAX_TOTAL_CHARACTERS = 100_000_000
MAX_PROBLEMS = 1000
WORDING = {"shipped/wording.yaml": "settings: {wording: 2}\n"}
"""The file by which a release states how its reasons are told: the newest wording."""
_BECAUSE = re.compile(r"\bbecause:")


class Catalogue(Strict):
    """The content of a release. Each section is sorted by id, so that the order of files and items changes nothing."""

    settings: Settings = Settings()
    signals: tuple[SignalType, ...] = ()
    features: tuple[Feature, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    bases: tuple[Basis, ...] = ()
    country_rules: tuple[CountryRules, ...] = ()
    channels: tuple[Channel, ...] = ()
    actions: tuple[Action, ...] = ()
    intents: tuple[Intent, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    package: tuple[FactsHeading, ...] = ()
    policies: tuple[Policy, ...] = ()
    protections: tuple[Protection, ...] = ()
    caps: tuple[Cap, ...] = ()
    budgets: tuple[Budget, ...] = ()
    arms: tuple[Arm, ...] = ()
    emotion: tuple[EmotionRule, ...] = ()
    moments: tuple[MomentRule, ...] = ()
    personas: tuple[Persona, ...] = ()
    routing: Routing = Routing()

    @cached_property
    def schema_of_features(self) -> FeatureSchema:
        """The declared features and those that every decision has."""
        return FeatureSchema(self.features)

    def prior(self, action: Action) -> float:
        """Return the catalogue's propensity of an action: its own, else its group's, its issue's, or the default."""
        priors = self.settings.priors
        if action.prior is not None:
            return action.prior
        return priors.group.get(action.group, priors.issue.get(action.issue, priors.default))


def with_wording(files: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a release with its wording: the newest if they say how reasons are told, else the first.

    So a catalogue that was written before is released as it was.
    """
    return {**files, **(WORDING if any(_BECAUSE.search(text) for text in files.values()) else {})}


def read(files: Mapping[str, str]) -> Catalogue:
    """Return the catalogue in the files of a release; raises ConfigError if they cannot be read.

    The files were checked when the release was made. They are not checked again, so that a later, stricter check cannot
    make a release unreadable.
    """
    files = with_country_rules(files)
    documents = [parse(file, files[file]) for file in sorted(files)]
    draft, problems = build_draft(document.root for document in documents if document.root)
    if problems or not all(document.root for document in documents):
        raise ConfigError([*problems, *(p for document in documents for p in document.problems)])
    return _catalogue_of(draft)


def load(files: Mapping[str, str], environment: Environment = "dev") -> Catalogue:
    """Return the catalogue in the YAML files of a workspace (relative path -> text), checked for `environment`.

    Raises ConfigError with every mistake (at most 1000), in order of file and line. How records fit each other is
    checked only once every file can be parsed.
    """
    if sum(map(len, files.values())) > MAX_TOTAL_CHARACTERS:
        raise ConfigError([Mistake(max(files), 1, "all files together are larger than 100 MB", "split the workspace")])
    files = with_country_rules(files)
    documents = [parse(file, files[file]) for file in sorted(files)]
    draft, problems = build_draft(document.root for document in documents if document.root)
    unread = [problem for document in documents for problem in document.problems]
    if all(document.root for document in documents):
        problems.extend(islice(check(draft, environment), MAX_PROBLEMS))
    if unread or problems:
        raise ConfigError(_ordered(unread, problems))
    return _catalogue_of(draft)


def _ordered(unread: list[Mistake], problems: list[Mistake]) -> list[Mistake]:
    """Return each problem once, without those that only follow from a line that could not be parsed."""
    broken = {(problem.file, problem.line) for problem in unread}
    others = (problem for problem in problems if (problem.file, problem.line) not in broken)
    ordered = sorted(dict.fromkeys((*unread, *others)), key=lambda problem: (problem.file, problem.line))
    if len(ordered) <= MAX_PROBLEMS:
        return ordered
    last = ordered[MAX_PROBLEMS - 1]
    more = Mistake(last.file, last.line, "there are more mistakes than are listed here", "correct these first")
    return [*ordered[: MAX_PROBLEMS - 1], more]


def _catalogue_of(draft: Draft) -> Catalogue:
    features = tuple(item.spec for item in draft.features)
    schema = FeatureSchema(features).features
    return Catalogue(
        settings=draft.settings.spec,
        signals=tuple(item.spec for item in draft.signals),
        features=features,
        purposes=tuple(item.spec for item in draft.purposes),
        bases=tuple(item.spec for item in draft.bases),
        country_rules=tuple(item.spec for item in draft.country_rules),
        channels=tuple(item.spec for item in draft.channels),
        actions=tuple(item.spec for item in draft.actions),
        intents=tuple(item.spec for item in draft.intents),
        calendars=tuple(item.spec for item in draft.calendars),
        package=tuple(item.spec for item in draft.package),
        policies=tuple(item.spec for item in draft.policies),
        protections=tuple(item.spec for item in draft.protections),
        caps=tuple(item.spec for item in draft.caps),
        budgets=tuple(item.spec for item in draft.budgets),
        arms=tuple(item.spec for item in draft.arms),
        emotion=tuple(item.spec for item in draft.emotion),
        moments=tuple(item.spec for item in draft.moments),
        personas=tuple(_with_typed_facts(item.spec, schema) for item in draft.personas),
        routing=Routing() if draft.routing is None else draft.routing.spec,
    )


def _with_typed_facts(persona: Persona, features: Mapping[str, Feature]) -> Persona:
    """Return the persona with facts of their features' types: times in microseconds, whole numbers as floats."""
    facts = {
        name: value if value is None else _typed_value(value, features[name]) for name, value in persona.facts.items()
    }
    return persona.model_copy(update={"facts": facts})


def _typed_value(value: Value, feature: Feature) -> Value:
    if feature.dtype == "timestamp":
        return microseconds(parse_moment(value))
    return float(value) if feature.dtype == "float" else value


def pack(files: Mapping[str, str]) -> bytes:
    """Return release bytes: canonical JSON (sorted keys, ASCII) of the files; equal files give equal bytes."""
    return json.dumps({"files": dict(files)}, sort_keys=True, separators=(",", ":")).encode("ascii")


def unpack(packed: bytes) -> dict[str, str]:
    """Return the files in release bytes. Raises ConfigError for bytes that `pack` cannot have written."""
    try:
        files = json.loads(packed)["files"]
        if pack(files) == packed and all(isinstance(text, str) for text in files.values()):
            return dict(files)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        pass  # reported once, below
    raise ConfigError([Mistake("release", 1, "these are not the bytes of a release", "release the workspace again")])
