"""The schema of features: dtype, unit, source and tags of each. Only declared features can be facts."""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Literal

from pydantic import Field

from decisioning.facts.because import Because
from decisioning.facts.signals import SignalFeature, SignalType
from decisioning.spec import Description, FeatureName, Id, Locale, Strict, Tag, Value, worded

__all__ = [
    "Description",
    "Dtype",
    "Facts",
    "Feature",
    "FeatureName",
    "FeatureSchema",
    "Id",
    "Locale",
    "Source",
    "SpecialCategory",
    "Strict",
    "Tag",
    "Value",
    "worded",
]

Facts = Mapping[str, Value | None]

Dtype = Literal["float", "int", "bool", "string", "enum", "timestamp"]
Source = Literal["profile", "signal", "context", "model", "routing"]

SpecialCategory = Literal[
    "ethnic-origin",
    "political-opinions",
    "religion",
    "trade-union",
    "genetics",
    "biometrics",
    "health",
    "sex-life",
]
"""The special categories of personal data of Art. 9(1) GDPR."""
NEVER_SELLS: tuple[Tag, ...] = ("emotion", "special-category", "request")
"""Tags of what no model, price, value, lever, weight or commercial eligibility may read.

`request`: a wish for a person, an objection or a complaint. It is no feeling, so it needs no purpose `emotion`: it is
read under `service`, and honoured whatever the customer's consents are.
"""
NEVER_LEARNED: frozenset[Tag] = frozenset(NEVER_SELLS) | {"proxy", "identifier"}
NEVER_CHANGED: frozenset[Tag] = NEVER_LEARNED | {"protected"}


class RoutingMeasure(Strict):
    """What is measured of the queue and the agents: of one skill, those of an issue, or all; and of one channel or all.

    `wait_s`: for how long the one has waited who waits longest, 0 if nobody waits, unknown while no agent is there.
    `free_agents`: how many have room for one more. `waiting`: how many wait.
    """

    measure: Literal["wait_s", "free_agents", "waiting"]
    skill: Id | None = None
    issue: Id | None = None
    channel: Id | None = None


class Feature(Strict):
    """One declared feature.

    `signal`: how a feature of source `signal` is computed. `max_age_s`: a value of the profile, or the last value of a
    signal, that is older than this is UNKNOWN. `after_outcome`: known only once the outcome is, so never a model input.
    `asserted_by`: the person who stated the value, which was not measured (refused in prod). `proxy_for`: the special
    categories that the feature reveals; whatever may not read those may not read it. `changeable`: the customer could
    change it, so a counterfactual may; for a number, the values that the customer can choose from. `because`: how it is
    told as a reason, and where. `purpose`: what it is collected for, beside the purposes of the signals it is computed
    from; where one of these is not permitted, it is not read. `routing`: what a feature of source `routing` measures.
    """

    name: FeatureName
    purpose: Id | None = None
    dtype: Dtype
    unit: str | None = None
    source: Source = "profile"
    signal: SignalFeature | None = None
    routing: RoutingMeasure | None = None
    values: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    tags: tuple[Tag, ...] = ()
    proxy_for: tuple[SpecialCategory, ...] = ()
    max_age_s: int | None = Field(default=None, gt=0)
    model_input: bool = True
    after_outcome: bool = False
    asserted_by: str | None = None
    changeable: bool | tuple[int | float, ...] = False
    description: Description = ""
    because: Because | None = None

    @property
    def choices(self) -> tuple[Value, ...]:
        """The values that the customer could choose; empty if a counterfactual may not change the feature."""
        if not self.changeable or self.why_not_changeable:
            return ()
        if isinstance(self.changeable, tuple):
            return tuple(float(v) if self.dtype == "float" else v for v in self.changeable)
        return (False, True) if self.dtype == "bool" else self.values

    @property
    def why_not_changeable(self) -> str | None:
        """The reason, in the catalogue's words, why no counterfactual may change this feature; None if one may."""
        tag = next((t for t in self.tags if t in NEVER_CHANGED), None)
        if tag or self.proxy_for:
            return f"tagged `{tag}`" if tag else f"a proxy for `{self.proxy_for[0]}`"
        return None if self.source == "profile" else f"of source `{self.source}`"

    @property
    def learnable(self) -> bool:
        """Whether a model may read it."""
        return (
            self.model_input
            and self.source != "routing"
            and not self.after_outcome
            and self.dtype in ("float", "int", "bool", "enum")
            and not self.proxy_for
            and not NEVER_LEARNED.intersection(self.tags)
        )

    @property
    def may_sell(self) -> bool:
        """Whether a price, value, lever, weight or a commercial action's eligibility may read it."""
        return self.why_not_for_sales is None

    @property
    def why_not_for_sales(self) -> str | None:
        """The catalogue's reason why this feature may not be used to sell; None if it may."""
        tag = next((t for t in NEVER_SELLS if t in self.tags), None)
        return f"tagged `{tag}`" if tag else f"a proxy for `{self.proxy_for[0]}`" if self.proxy_for else None


def collected_for(feature: Feature, types: Mapping[str, SignalType]) -> frozenset[str]:
    """Return the purposes of a feature: the one that it states, and those of the signals that it is computed from."""
    of = (types.get(name) for name in (feature.signal.of if feature.signal else ()))
    named = (feature.purpose, *(type_.purpose for type_ in of if type_ is not None))
    return frozenset(purpose for purpose in named if purpose is not None)


def _built_in(name: FeatureName, dtype: Dtype, en: str, nl: str) -> Feature:
    return Feature(name=name, dtype=dtype, source="context", description={"en": en, "nl": nl})


BUILT_IN: tuple[Feature, ...] = (
    _built_in("channel", "string", "the request's channel", "het kanaal van de vraag"),
    _built_in("locale", "string", "the request's locale", "de taal van de vraag"),
    _built_in("now", "timestamp", "the time of the decision", "het moment van de beslissing"),
    _built_in("gpc", "bool", "Global Privacy Control of the browser", "Global Privacy Control van de browser"),
    _built_in("has_account", "bool", "whether the request named an account", "of de vraag een account noemde"),
)
"""Facts that every decision has, whatever the workspace declares."""


class FeatureSchema:
    """The features of one release by name, sorted, so that the order of files changes nothing."""

    def __init__(self, features: tuple[Feature, ...]) -> None:
        self.features = {f.name: f for f in sorted((*BUILT_IN, *features), key=lambda f: f.name)}

    def __getitem__(self, name: str) -> Feature:
        return self.features[name]

    def __contains__(self, name: object) -> bool:
        return name in self.features

    def without(self, names: Collection[str]) -> "FeatureSchema":
        """Return the schema without these declared features."""
        return FeatureSchema(tuple(f for n, f in self.features.items() if n not in names and f not in BUILT_IN))

    def of_source(self, *sources: Source) -> tuple[Feature, ...]:
        """Return the declared (not built-in) features of these sources, sorted by name."""
        return tuple(f for f in self.features.values() if f.source in sources and f not in BUILT_IN)

    @cached_property
    def of_routing(self) -> tuple[Feature, ...]:
        """The features that are measured of the queue and the agents, sorted by name."""
        return self.of_source("routing")

    @property
    def learnable(self) -> tuple[Feature, ...]:
        """The features that a model may read, sorted by name."""
        return tuple(f for f in self.features.values() if f.learnable and f not in BUILT_IN)
