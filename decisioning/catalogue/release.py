"""A compiled release: the catalogue as columns per channel, its rules parsed once. Immutable, named by its hash."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action, Amount, Basis, Channel, Treatment, full_id
from decisioning.catalogue.content import placeholders
from decisioning.catalogue.countries import MediumRule
from decisioning.catalogue.files import Catalogue, read, unpack
from decisioning.catalogue.policies import Cap, EmotionRule, Level, MomentRule
from decisioning.catalogue.standing_rules import standing_rules
from decisioning.errors import NotFound, RequestError
from decisioning.facts.schema import BUILT_IN, Facts, FeatureSchema
from decisioning.facts.standing_rules import StandingRules
from decisioning.hashes import content_id
from decisioning.rules import Expression, History, Rule, compile_expression, compile_rule

TIERS = {"mandatory": 0, "service": 1, "commercial": 2}
LEVELS = get_args(Level)
FOREVER_US = 2**62
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Gate:
    """One rule over the candidates of a channel. It passes when TRUE (permit) or definitely FALSE (deny).

    `members`: bool (k,), the candidates that it concerns.
    """

    id: str
    rule: Rule
    deny: bool
    members: Mask

    def passes(self, truth: bool | None) -> bool:
        """Tell whether this truth value lets a candidate pass; UNKNOWN never does."""
        return truth is (not self.deny)


@dataclass(frozen=True)
class Amounts:
    """Euros per candidate.

    `constant`: float64 (k,), NaN where the amount is an expression over the customer. `typical`: float64 (k,), the
    amount of a typical customer. `expressions`: each with the int64 positions of its candidates.
    """

    constant: NDArray[np.float64]
    typical: NDArray[np.float64]
    expressions: tuple[tuple[Expression, NDArray[np.int64]], ...]


@dataclass(frozen=True)
class Weight:
    """A context weight. `personal`: its rule reads more than the context of the request, or counts past outcomes."""

    rule: Rule
    factor: float
    members: Mask
    personal: bool


@dataclass(frozen=True)
class CompiledCap:
    """A cap over the candidates of a channel.

    `bucket`: int64 (k,), what each candidate is counted under, -1 if the cap does not concern it. `names`: name ->
    bucket. `exempt`: the actions of tiers that it does not count.
    """

    cap: Cap
    bucket: NDArray[np.int64]
    names: Mapping[str, int]
    exempt: frozenset[str]


@dataclass(frozen=True)
class View:
    """The candidates of one channel as columns of length k, in order of treatment id.

    `rule`: the country's rule for marketing over this channel's medium, None where there is none.
    `sells_or_lends`: whether the action sells something or lends money.
    `held_help`: whether it is help that only a rule of the emotion layer lets through.
    `claims`: (kind of claim, feature that proves it, the candidates whose texts need that proof).
    `lever_rows`: int64, positions of the candidates with a lever.
    `transparency_floor`: int8, from 1 to 5, the least transparency that a model of the action must have.
    `gamma`, `gamma_grows`, `optimism`: the exploration schedule of the action's issue on this channel.
    """

    channel: Channel
    rule: MediumRule | None
    candidates: NDArray[np.int64]
    actions: tuple[Action, ...]
    treatments: tuple[Treatment, ...]
    ids: tuple[str, ...]
    tier: NDArray[np.int8]
    sells_or_lends: Mask
    held_help: Mask
    of_account: Mask
    needs_person: Mask
    placements: Mapping[str, Mask]
    starts_us: NDArray[np.int64]
    ends_us: NDArray[np.int64]
    purposes: tuple[tuple[str, Mask], ...]
    gates: tuple[Gate, ...]
    placeholders: tuple[tuple[str, Mask], ...]
    claims: tuple[tuple[str, str, Mask], ...]
    caps: tuple[CompiledCap, ...]
    rows_by_action: Mapping[str, tuple[int, ...]]
    value: Amounts
    cost: Amounts
    weights: tuple[Weight, ...]
    lever_rows: NDArray[np.int64]
    prior: NDArray[np.float64]
    transparency_floor: NDArray[np.int8]
    gamma: NDArray[np.float64]
    gamma_grows: Mask
    optimism: NDArray[np.float64]
    group: NDArray[np.int64]
    action: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


class Release:
    """One immutable, content-addressed release. `candidates` are all (action, treatment) pairs, sorted by full id."""

    def __init__(self, catalogue: Catalogue, digest: str) -> None:
        self.catalogue = catalogue
        self.hash = digest
        self.schema: FeatureSchema = catalogue.schema_of_features
        self.actions = {a.id: a for a in sorted(catalogue.actions, key=lambda a: a.id)}
        pairs = [(a, t) for a in self.actions.values() for t in a.treatments]
        self.candidates = tuple(sorted(pairs, key=lambda p: full_id(*p)))
        self.purposes = {p.id: p for p in catalogue.purposes}
        self.channels = {c.id: c for c in catalogue.channels}
        self.signals = {t.id: t for t in catalogue.signals}
        self._views: dict[str, View] = {}
        self._rules: dict[str, Rule] = {}
        self._moments = {m.id: m for m in catalogue.moments}

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

    def view(self, channel: str) -> View:
        """Return the columns of one channel; raises RequestError for a channel that is not declared."""
        if channel not in self._views:
            if channel not in self.channels:
                raise RequestError("channel", f"there is no such channel; known are {', '.join(self.channels)}")
            self._views[channel] = _compile_view(self, self.channels[channel])
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
    def emotion_moments(self) -> frozenset[str]:
        """Ids of the moments whose rule reads a feature that may not sell, such as emotion.

        The decisions that they open sell nothing.
        """
        tagged = {f.name for f in self.schema.features.values() if not f.may_sell}
        return frozenset(m.id for m in self._moments.values() if not tagged.isdisjoint(self.rule(m.when).reads))

    @cached_property
    def moments_on(self) -> Mapping[str, tuple[MomentRule, ...]]:
        """Signal type -> the moments to evaluate after such a signal."""
        types = {name for m in self._moments.values() for name in m.on}
        return {name: tuple(m for m in self._moments.values() if name in m.on) for name in sorted(types)}


def _compile_view(release: Release, channel: Channel) -> View:
    index = [i for i, (_, t) in enumerate(release.candidates) if t.channel == channel.id]
    actions = tuple(release.candidates[i][0] for i in index)
    treatments = tuple(release.candidates[i][1] for i in index)
    catalogue, k = release.catalogue, len(index)
    groups = {g: n for n, g in enumerate(sorted({a.group for a in catalogue.actions}))}
    order = {a: n for n, a in enumerate(release.actions)}
    points = catalogue.settings.eur_per_point
    held_help = {name for rule in catalogue.emotion for name in rule.let_through}
    schedules = [channel.schedule(a.issue) for a in actions]
    return View(
        channel=channel,
        rule=_country_rule(catalogue, channel),
        candidates=np.asarray(index, dtype=np.int64),
        actions=actions,
        treatments=treatments,
        ids=tuple(full_id(a, t) for a, t in zip(actions, treatments, strict=True)),
        tier=np.fromiter((TIERS[a.tier] for a in actions), np.int8, k),
        sells_or_lends=_mask_where(actions, lambda a: a.sells_or_lends),
        held_help=_mask_where(actions, lambda a: a.id in held_help),
        of_account=_mask_where(actions, lambda a: a.scope == "account"),
        needs_person=_mask_where(actions, lambda a: a.effective_automation != "automatic" and not channel.human),
        placements={p: np.fromiter((p in t.placements for t in treatments), np.bool_, k) for p in channel.placements},
        starts_us=np.fromiter((a.starts_us or 0 for a in actions), np.int64, k),
        ends_us=np.fromiter((FOREVER_US if a.ends_us is None else a.ends_us for a in actions), np.int64, k),
        purposes=_purposes(actions, channel),
        gates=tuple(_gates(release, actions)),
        placeholders=_placeholders(treatments),
        claims=_claims(treatments),
        caps=tuple(_caps(catalogue.caps, actions, channel, release.actions)),
        rows_by_action=_rows_by_action(actions),
        value=_amounts([a.value for a in actions], points, release),
        cost=_amounts([a.cost for a in actions], points, release),
        weights=tuple(_weights(release, actions)),
        lever_rows=np.asarray([i for i, a in enumerate(actions) if a.lever], dtype=np.int64),
        prior=np.fromiter((catalogue.prior(a) for a in actions), np.float64, k),
        transparency_floor=np.fromiter((catalogue.settings.transparency.get(a.issue, 1) for a in actions), np.int8, k),
        gamma=np.fromiter((gamma for gamma, _, _ in schedules), np.float64, k),
        gamma_grows=np.fromiter((grows for _, grows, _ in schedules), np.bool_, k),
        optimism=np.fromiter((optimism for _, _, optimism in schedules), np.float64, k),
        group=np.fromiter((groups[a.group] for a in actions), np.int64, k),
        action=np.fromiter((order[a.id] for a in actions), np.int64, k),
    )


def _country_rule(catalogue: Catalogue, channel: Channel) -> MediumRule | None:
    rules = next((r for r in catalogue.country_rules if r.id == catalogue.settings.country_rules), None)
    return rules.rule_for(channel.medium) if rules and channel.direction == "outbound" else None


def _mask_where(actions: Iterable[Action], test: Callable[[Action], bool]) -> Mask:
    return np.asarray([test(a) for a in actions], dtype=np.bool_)


def _rows_by_action(actions: tuple[Action, ...]) -> dict[str, tuple[int, ...]]:
    members: dict[str, tuple[int, ...]] = {}
    for i, action in enumerate(actions):
        members[action.id] = (*members.get(action.id, ()), i)
    return members


def _purposes(actions: tuple[Action, ...], channel: Channel) -> tuple[tuple[str, Mask], ...]:
    needed = sorted({p for a in actions for p in a.required_purposes} | set(channel.purposes))
    return tuple((p, _mask_needing(p, actions, channel)) for p in needed)


def _mask_needing(purpose: str, actions: tuple[Action, ...], channel: Channel) -> Mask:
    return _mask_where(actions, lambda a: purpose in a.required_purposes or purpose in channel.purposes)


def _gates(release: Release, actions: tuple[Action, ...]) -> Iterable[Gate]:
    """Yield protections, then policies by level and id, without those that concern no candidate of the channel."""
    for protection in release.catalogue.protections:
        sells_or_lends = _mask_where(actions, lambda a: a.sells_or_lends)
        if sells_or_lends.any():
            yield Gate(f"protection:{protection.id}", release.rule(protection.when), True, sells_or_lends)
    for policy in sorted(release.catalogue.policies, key=lambda p: (LEVELS.index(p.level), p.id)):
        members = _mask_where(actions, policy.attach.covers)
        if members.any():
            rule = release.rule(policy.rule)
            yield Gate(f"{policy.level}:{policy.id}", rule, policy.deny is not None, members)


def _placeholders(treatments: tuple[Treatment, ...]) -> tuple[tuple[str, Mask], ...]:
    needs = [placeholders(t) for t in treatments]
    names = sorted(set().union(*needs)) if needs else []
    return tuple((n, np.asarray([n in need for need in needs], dtype=np.bool_)) for n in names)


def _claims(treatments: tuple[Treatment, ...]) -> tuple[tuple[str, str, Mask], ...]:
    stated = [{(kind, name) for kind, name in t.claims if name is not None} for t in treatments]
    pairs = sorted(set().union(*stated)) if stated else []
    return tuple((k, n, np.asarray([(k, n) in facts for facts in stated], dtype=np.bool_)) for k, n in pairs)


def _caps(
    caps: Iterable[Cap], actions: tuple[Action, ...], channel: Channel, every: Mapping[str, Action]
) -> Iterable[CompiledCap]:
    for cap in caps:
        concerned = [a.tier in cap.tiers and cap.attach.covers(a) for a in actions]
        if not any(concerned) or (cap.channels and channel.id not in cap.channels):
            continue
        keys = [
            cap_bucket(cap, a.id, a.group, a.issue, channel.id) if c else None
            for a, c in zip(actions, concerned, strict=True)
        ]
        names = {key: n for n, key in enumerate(sorted({key for key in keys if key is not None}))}
        bucket = np.asarray([-1 if key is None else names[key] for key in keys], dtype=np.int64)
        yield CompiledCap(cap, bucket, names, frozenset(a.id for a in every.values() if a.tier not in cap.tiers))


def cap_bucket(cap: Cap, action: str, group: str, issue: str, channel: str) -> str:
    """Return the name that a contact or a candidate is counted under."""
    return {"action": action, "group": group, "issue": issue, "channel": channel, "customer": "*"}[cap.count]


def _amounts(amounts: list[Amount], eur_per_point: float, release: Release) -> Amounts:
    constant = [a.constant_eur(eur_per_point) for a in amounts]
    typical = [c if a.typical is None else a.typical for a, c in zip(amounts, constant, strict=True)]
    members: dict[str, list[int]] = {}
    for i, amount in enumerate(amounts):
        if amount.expression is not None:
            members.setdefault(amount.expression, []).append(i)
    compiled = {t: compile_expression(t, release.schema.features) for t in members}
    return Amounts(
        np.asarray([np.nan if c is None else c for c in constant], dtype=np.float64),
        np.asarray(typical, dtype=np.float64),
        tuple((compiled[t], np.asarray(m, dtype=np.int64)) for t, m in members.items()),
    )


def _weights(release: Release, actions: tuple[Action, ...]) -> Iterable[Weight]:
    """Yield one weight per (position in an action's list, rule, factor), so that each action's keep their order."""
    context = {f.name for f in (*BUILT_IN, *release.schema.of_source("context"))}
    members: dict[tuple[int, str, float], list[int]] = {}
    for i, action in enumerate(actions):
        for n, weight in enumerate(action.context_weights):
            members.setdefault((n, weight.when, weight.factor), []).append(i)
    for (_, when, factor), rows in sorted(members.items()):
        rule = release.rule(when)
        personal = bool(rule.histories) or not rule.reads <= context
        yield Weight(rule, factor, np.isin(np.arange(len(actions)), rows), personal)
