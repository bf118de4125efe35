"""A compiled release: the catalogue as columns per channel, its rules parsed once. Immutable, named by its hash."""

from collections.abc import Mapping
from functools import cached_property

from decisioning.catalogue.actions import Action, Basis, full_id
from decisioning.catalogue.files import Catalogue, read, unpack
from decisioning.catalogue.policies import EmotionRule, MomentRule
from decisioning.catalogue.standing_rules import standing_rules
from decisioning.catalogue.view import View, compile_view
from decisioning.errors import NotFound, RequestError
from decisioning.facts.schema import Facts, FeatureSchema, collected_for
from decisioning.facts.standing_rules import StandingRules
from decisioning.hashes import content_id
from decisioning.rules import History, Rule, compile_rule


class Release:
    """One immutable, content-addressed release. `candidates` are all (action, treatment) pairs, sorted by full id."""

    def __init__(self, catalogue: Catalogue, digest: str) -> None:
        self.catalogue = catalogue
        self.hash = digest
        self.schema: FeatureSchema = catalogue.schema_of_features
        self.wording = catalogue.settings.wording
        self.actions = {a.id: a for a in sorted(catalogue.actions, key=lambda a: a.id)}
        pairs = [(a, t) for a in self.actions.values() for t in a.treatments]
        self.candidates = tuple(sorted(pairs, key=lambda p: full_id(*p)))
        self.purposes = {p.id: p for p in catalogue.purposes}
        self.channels = {c.id: c for c in catalogue.channels}
        self.signals = {t.id: t for t in catalogue.signals}
        self._views: dict[str, View] = {}
        self._rules: dict[str, Rule] = {}
        self._moments = {m.id: m for m in catalogue.moments}
        self._unreadable: dict[frozenset[str], frozenset[str]] = {}

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Release":
        """Compile release bytes; raises ConfigError if they cannot be read."""
        return cls.of(read(unpack(packed)), packed)

    @classmethod
    def of(cls, catalogue: Catalogue, packed: bytes) -> "Release":
        """Compile a catalogue that was loaded from these release bytes."""
        release = cls(catalogue, content_id([packed]))
        for channel in release.channels:
            release.view(channel)
        return release

    def prepare(self) -> None:
        """Compile what is otherwise compiled when the first decision on a channel needs it."""
        for channel in self.channels:
            self.view(channel).prepare()

    def view(self, channel: str) -> View:
        """Return the columns of one channel; raises RequestError for a channel that is not declared."""
        if channel not in self._views:
            if channel not in self.channels:
                raise RequestError("channel", f"there is no such channel; known are {', '.join(self.channels)}")
            self._views[channel] = compile_view(
                self.catalogue, self.schema, self.candidates, self.channels[channel], self.rule
            )
        return self._views[channel]

    def rule(self, text: str) -> Rule:
        """Return the compiled rule of this text, parsed once per release."""
        if text not in self._rules:
            self._rules[text] = compile_rule(text, self.schema.features)
        return self._rules[text]

    def action(self, name: str) -> Action:
        """Return the action of this id; raises NotFound."""
        if name not in self.actions:
            raise NotFound("action", "no such action in this release")
        return self.actions[name]

    @cached_property
    def with_superseded(self) -> Mapping[str, Action]:
        """The actions by id, and each retired action that one of them supersedes, under its own id.

        A retired action has the outcomes of the action that supersedes it.
        """
        heirs = {a.supersedes: a for a in self.actions.values() if a.supersedes and a.supersedes not in self.actions}
        retired = {"supersedes": None, "treatments": ()}
        return {**self.actions, **{name: a.model_copy(update={"id": name, **retired}) for name, a in heirs.items()}}

    def superseded(self, action: str) -> tuple[str, ...]:
        """Return the action that `action` supersedes, the one that this superseded, and so on."""
        chain: tuple[str, ...] = ()
        while (successor := self.actions.get(action)) and successor.supersedes:
            action = successor.supersedes
            chain = (*chain, action)
        return chain

    @cached_property
    def standing_rules(self) -> StandingRules:
        """What decisions by this release read of the past."""
        return standing_rules(self.catalogue)

    @cached_property
    def adult(self) -> Rule | None:
        """The rule that is TRUE of customers old enough to be profiled; None if the catalogue names no age."""
        settings = self.catalogue.settings
        if settings.age_feature is None:
            return None
        is_flag = self.schema[settings.age_feature].dtype == "bool"
        return self.rule(settings.age_feature if is_flag else f"{settings.age_feature} >= {settings.adult_age}")

    @cached_property
    def soft_opt_ins(self) -> Mapping[str, tuple[Rule, Rule]]:
        """Basis id -> the rules that must be TRUE for it to hold."""
        conditions = {b.id: b.soft_opt_in for b in self.catalogue.bases}
        return {n: (self.rule(s.customer), self.rule(s.opt_out_offered)) for n, s in conditions.items() if s}

    def bases(self, facts: Facts, history: History) -> tuple[Basis, ...]:
        """Return the bases of the catalogue without the soft opt-ins whose conditions are not TRUE."""
        if not self.soft_opt_ins:
            return self.catalogue.bases
        failed = {n for n, w in self.soft_opt_ins.items() if any(r.truth(facts, history) is not True for r in w)}
        return tuple(b for b in self.catalogue.bases if b.id not in failed)

    @cached_property
    def emotion(self) -> tuple[tuple[EmotionRule, Rule], ...]:
        """The rules of the emotion layer, in order of id."""
        return tuple((e, self.rule(e.when)) for e in self.catalogue.emotion)

    def moment(self, name: str) -> MomentRule:
        """Return the moment of this id; raises NotFound."""
        if name not in self._moments:
            raise NotFound("moment", "no such moment in this release")
        return self._moments[name]

    @cached_property
    def emotion_features(self) -> frozenset[str]:
        """Names of the features tagged `emotion`."""
        return frozenset(f.name for f in self.schema.features.values() if "emotion" in f.tags)

    @cached_property
    def purposes_of(self) -> Mapping[str, frozenset[str]]:
        """Feature -> the purposes that it was collected for, its own and those of its signals, if there are any."""
        purposes = {name: collected_for(feature, self.signals) for name, feature in self.schema.features.items()}
        return {name: named for name, named in purposes.items() if named}

    @cached_property
    def collecting_purposes(self) -> frozenset[str]:
        """The purposes that some feature, or some signal that a moment waits for, was collected for."""
        waited_for = (self.purposes_of_moment(moment) for moment in self._moments.values())
        return frozenset[str]().union(*self.purposes_of.values(), *waited_for)

    def unreadable(self, refused: frozenset[str]) -> frozenset[str]:
        """Return the features that were collected for one of the refused purposes; worked out once for each set."""
        names = self._unreadable.get(refused)
        if names is None:
            names = frozenset(name for name, purposes in self.purposes_of.items() if purposes & refused)
            self._unreadable[refused] = names
        return names

    def purposes_of_moment(self, moment: MomentRule) -> frozenset[str]:
        """Return the purposes of the signals that a moment waits for, and of the features that its rule reads."""
        waited_for = (self.signals[name].purpose for name in moment.on if name in self.signals)
        read = (self.purposes_of.get(name, frozenset[str]()) for name in self.rule(moment.when).reads)
        return frozenset(p for p in waited_for if p is not None).union(*read)

    @cached_property
    def protections(self) -> tuple[tuple[Rule, ...], ...]:
        """The rules of the protections, together by the purposes of what they read, so that none decides for others."""
        groups: dict[frozenset[str], list[Rule]] = {}
        for protection in self.catalogue.protections:
            rule = self.rule(protection.when)
            purposes = frozenset[str]().union(*(self.purposes_of.get(name, ()) for name in rule.reads))
            groups.setdefault(purposes, []).append(rule)
        return tuple(map(tuple, groups.values()))

    def signals_of(self, moment: MomentRule) -> frozenset[str]:
        """Return the types of signals that a moment waits for, or that the features of its rule are computed from."""
        signals = (self.schema[name].signal for name in self.rule(moment.when).reads)
        return frozenset({*moment.on, *(type_ for s in signals if s is not None for type_ in (*s.of, *s.since))})

    @cached_property
    def request_features(self) -> frozenset[str]:
        """Names of the features that hold only what a customer asks for: tagged `request`, and not also `emotion`."""
        tagged = {f.name for f in self.schema.features.values() if "request" in f.tags}
        return frozenset(tagged - self.emotion_features)

    @cached_property
    def emotion_moments(self) -> frozenset[str]:
        """Ids of the moments whose rule reads a feature that may not sell: an emotion or a request.

        The decisions that they open sell nothing.
        """
        tagged = {f.name for f in self.schema.features.values() if not f.may_sell}
        return frozenset(m.id for m in self._moments.values() if not tagged.isdisjoint(self.rule(m.when).reads))

    @cached_property
    def moments_on(self) -> Mapping[str, tuple[MomentRule, ...]]:
        """Signal type -> the moments to evaluate after such a signal."""
        types = {name for m in self._moments.values() for name in m.on}
        return {name: tuple(m for m in self._moments.values() if name in m.on) for name in sorted(types)}
