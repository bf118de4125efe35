"""The candidates of one channel as columns: everything that a decision needs of its release, worked out once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action, Amount, Channel, Treatment, full_id
from decisioning.catalogue.content import placeholders
from decisioning.catalogue.countries import MediumRule
from decisioning.catalogue.files import Catalogue
from decisioning.catalogue.intents import AUTOMATION, limiting_rules
from decisioning.catalogue.limits import SlateLimits, compile_limits, numbered
from decisioning.catalogue.policies import Level
from decisioning.facts.schema import BUILT_IN, Feature, FeatureSchema
from decisioning.rules import Evaluation, Expression, Rule, compile_expression, evaluate_together

COMMERCIAL_TIER = 2
TIERS = {"mandatory": 0, "service": 1, "commercial": COMMERCIAL_TIER}
LEVELS = get_args(Level)
FOREVER_US = 2**62
_KEPT_PASSED = 256
Mask = NDArray[np.bool_]
Candidate = tuple[Action, Treatment]
CompileRule = Callable[[str], Rule]


def bits_of(mask: Mask) -> int:
    """Return the candidates of a mask (k,) as the bits of a number, the first candidate lowest."""
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")


def mask_of(bits: int, k: int) -> Mask:
    """Return the candidates that `bits_of` made a number of as a mask (k,)."""
    packed = np.frombuffer(bits.to_bytes((k + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(packed, count=k, bitorder="little").view(np.bool_)


def positions_of(bits: int) -> Iterator[int]:
    """Yield the candidates that `bits_of` made a number of, in their order."""
    while bits:
        yield (bits & -bits).bit_length() - 1
        bits &= bits - 1


@dataclass(frozen=True)
class Members:
    """Some candidates of a view: as a mask, bool (k,), and as the bits of a number, which are quicker to join."""

    mask: Mask
    bits: int

    @classmethod
    def of(cls, mask: Mask) -> "Members":
        """Return the members of a mask (k,)."""
        return cls(mask, bits_of(mask))


@dataclass(frozen=True)
class Gate:
    """One rule over the candidates of a channel. It passes when TRUE (permit) or definitely FALSE (deny).

    `members`: the candidates that it concerns.
    """

    id: str
    rule: Rule
    deny: bool
    members: Members

    def passes(self, truth: bool | None) -> bool:
        """Tell whether this truth value lets a candidate pass; UNKNOWN never does."""
        return truth is (not self.deny)


@dataclass(frozen=True)
class Amounts:
    """Euros per candidate.

    `constant`: float64 (k,), NaN where the amount is an expression over the customer. `typical`: float64 (k,), the
    amount of a typical customer. `rows`: int64 (n,), the candidates whose amount is an expression, and `of_expression`
    (n,), which of the `expressions` it is.
    """

    constant: NDArray[np.float64]
    typical: NDArray[np.float64]
    expressions: tuple[Expression, ...]
    rows: NDArray[np.int64]
    of_expression: NDArray[np.int64]


@dataclass(frozen=True)
class Weight:
    """A context weight. `personal`: its rule reads more than the context of the request, or counts past outcomes."""

    rule: Rule
    factor: float
    members: Mask
    personal: bool


@dataclass(frozen=True, eq=False)
class View:
    """The candidates of one channel as columns of length k, in order of treatment id; equal to itself alone.

    `rule`: the country's rule for marketing over this channel's medium, None where there is none.
    `sells_or_lends`: whether the action sells something or lends money.
    `held_help`: whether it is help that only a rule of the emotion layer lets through.
    `intent_limits`: hold automatic help back while a conversation is about an intent that needs a person.
    `placeholders`: (feature, the rule that it is known, the candidates whose texts name it). `claims`: (kind of claim,
    the rule that proves it, the candidates whose texts need that proof).
    `limits`, `limits_with_account`: what a slate may take where no account, or one, is named.
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
    needs_person: Members
    intent_limits: tuple[Gate, ...]
    account_members: Members
    placements: Mapping[str, Members]
    starts_us: NDArray[np.int64]
    ends_us: NDArray[np.int64]
    purposes: tuple[tuple[str, Members], ...]
    gates: tuple[Gate, ...]
    placeholders: tuple[tuple[str, Rule, Members], ...]
    claims: tuple[tuple[str, Rule, Members], ...]
    limits: SlateLimits
    limits_with_account: SlateLimits
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
    action: NDArray[np.int64]
    features: Mapping[str, Feature]

    def __len__(self) -> int:
        return len(self.ids)

    def prepare(self) -> None:
        """Compile what is otherwise compiled when it is first used."""
        _ = self.screened, self.passing, self.weighed

    @cached_property
    def screened(self) -> Evaluation:
        """Evaluates the rules of gates, placeholders and claims together, in this order; None for a rule per action."""
        return evaluate_together([*(g.rule for g in self.gates), *self.content_rules], self.features)

    @cached_property
    def passing(self) -> tuple[bool | None, ...]:
        """What `screened` returns if every gate passes, apart from those per action, and every text may be shown."""
        gates = (None if g.rule.per_action else not g.deny for g in self.gates)
        return (*gates, *(True for _ in self.content_rules))

    @cached_property
    def content_rules(self) -> tuple[Rule, ...]:
        """The rules of placeholders and claims."""
        return tuple(rule for _, rule, _ in (*self.placeholders, *self.claims))

    @cached_property
    def gates_per_action(self) -> tuple[Gate, ...]:
        """The gates that ask about the candidate's own action."""
        return tuple(gate for gate in self.gates if gate.rule.per_action)

    @cached_property
    def weighed(self) -> Evaluation:
        """Evaluates the expressions of value and cost, and the rules of weights, together, in this order."""
        return evaluate_together(self._formulas, self.features)

    @cached_property
    def counting(self) -> tuple[tuple[int, Expression | Rule], ...]:
        """The formulas of `weighed` that count past outcomes, each with its place among them."""
        return tuple((place, formula) for place, formula in enumerate(self._formulas) if formula.histories)

    @property
    def _formulas(self) -> tuple[Expression | Rule, ...]:
        return (*self.value.expressions, *self.cost.expressions, *(w.rule for w in self.weights))

    @cached_property
    def dated_from_us(self) -> int:
        """The time from which on every candidate has begun."""
        return int(self.starts_us.max(initial=0))

    @cached_property
    def dated_until_us(self) -> int:
        """The time from which on some candidate has ended."""
        return int(self.ends_us.min(initial=FOREVER_US))

    @cached_property
    def holds_help(self) -> bool:
        """Whether some candidate is help that only a rule of the emotion layer lets through."""
        return bool(self.held_help.any())

    @cached_property
    def is_optimistic(self) -> bool:
        """Whether exploration draws some candidate by what it could be worth."""
        return bool(self.optimism.any())

    @cached_property
    def asks_transparency(self) -> bool:
        """Whether the model of some candidate must be more than opaque."""
        return bool((self.transparency_floor > 1).any())

    @cached_property
    def any_gamma_grows(self) -> bool:
        """Whether exploration fades as evidence grows, for some candidate or for doing nothing."""
        return self.channel.gamma_grows or bool(self.gamma_grows.any())

    @cached_property
    def passed(self) -> Callable[[int], tuple[Mask, NDArray[np.int64]]]:
        """A function: candidates, as `bits_of` returns them -> their mask (k,) and their rows (n,), not to be changed.

        Most customers of a channel pass as one of few others did, so the newest are kept.
        """
        return lru_cache(maxsize=_KEPT_PASSED)(self._passed)

    def _passed(self, bits: int) -> tuple[Mask, NDArray[np.int64]]:
        mask = mask_of(bits, len(self))
        rows = np.flatnonzero(mask)
        mask.flags.writeable = rows.flags.writeable = False
        return mask, rows

    @cached_property
    def commercial(self) -> Members:
        """The candidates of the commercial tier."""
        return Members.of(self.tier == COMMERCIAL_TIER)

    def bits_of_action(self, action: str) -> int:
        """Return the candidates of an action that has some here, as `bits_of` does."""
        return sum(1 << i for i in self.rows_by_action[action])


def compile_view(
    catalogue: Catalogue, schema: FeatureSchema, every: Sequence[Candidate], channel: Channel, rule: CompileRule
) -> View:
    """Return the view of a channel; `every`: the candidates of all channels, `rule`: compiles a text."""
    index = [i for i, (_, t) in enumerate(every) if t.channel == channel.id]
    actions = tuple(every[i][0] for i in index)
    treatments = tuple(every[i][1] for i in index)
    k = len(index)
    held_help = {name for emotion in catalogue.emotion for name in emotion.let_through}
    gamma, gamma_grows, optimism = _schedules(actions, channel)
    of_account = _mask_where(actions, lambda a: a.scope == "account")
    person_limits, limits_with_account = compile_limits(catalogue, actions, channel, of_account)
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
        of_account=of_account,
        account_members=Members.of(of_account),
        needs_person=_needing_person(actions, channel),
        intent_limits=() if channel.human else tuple(_intent_limits(catalogue, actions, rule)),
        placements=_placements(treatments, channel),
        starts_us=np.fromiter((a.starts_us or 0 for a in actions), np.int64, k),
        ends_us=np.fromiter((FOREVER_US if a.ends_us is None else a.ends_us for a in actions), np.int64, k),
        purposes=_purposes(actions, channel),
        gates=tuple(_gates(catalogue, actions, rule)),
        placeholders=tuple(_placeholders(treatments, rule)),
        claims=tuple(_claims(treatments, rule)),
        limits=person_limits,
        limits_with_account=limits_with_account,
        rows_by_action=_rows_by_action(actions),
        value=_amounts([a.value for a in actions], catalogue, schema),
        cost=_amounts([a.cost for a in actions], catalogue, schema),
        weights=tuple(_weights(schema, actions, rule)),
        lever_rows=np.asarray([i for i, a in enumerate(actions) if a.lever], dtype=np.int64),
        prior=np.fromiter((catalogue.prior(a) for a in actions), np.float64, k),
        transparency_floor=np.fromiter((catalogue.settings.transparency.get(a.issue, 1) for a in actions), np.int8, k),
        gamma=gamma,
        gamma_grows=gamma_grows,
        optimism=optimism,
        action=numbered(a.id for a in actions),
        features=schema.features,
    )


def _needing_person(actions: tuple[Action, ...], channel: Channel) -> Members:
    """Return the candidates that need a person, if none works on this channel."""
    return Members.of(_mask_where(actions, lambda a: not channel.human and a.effective_automation != "automatic"))


def _intent_limits(catalogue: Catalogue, actions: tuple[Action, ...], rule: CompileRule) -> list[Gate]:
    members = Members.of(_mask_where(actions, lambda a: bool(a.intent) and not a.commercial))
    return [Gate(AUTOMATION, rule(t), True, members) for t in limiting_rules(catalogue.intents, catalogue.features)]


def _placements(treatments: tuple[Treatment, ...], channel: Channel) -> dict[str, Members]:
    shown = {p: np.asarray([p in t.placements for t in treatments], dtype=np.bool_) for p in channel.placements}
    return {name: Members.of(mask) for name, mask in shown.items()}


def _schedules(
    actions: tuple[Action, ...], channel: Channel
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return gamma, whether it grows, and optimism of each action (k,)."""
    columns = [channel.schedule(a.issue) for a in actions]
    gamma, grows, optimism = zip(*columns, strict=True) if columns else ((), (), ())
    return np.asarray(gamma, np.float64), np.asarray(grows, np.bool_), np.asarray(optimism, np.float64)


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


def _purposes(actions: tuple[Action, ...], channel: Channel) -> tuple[tuple[str, Members], ...]:
    needed = sorted({p for a in actions for p in a.required_purposes} | set(channel.purposes))
    return tuple((p, Members.of(_mask_needing(p, actions, channel))) for p in needed)


def _mask_needing(purpose: str, actions: tuple[Action, ...], channel: Channel) -> Mask:
    return _mask_where(actions, lambda a: purpose in a.required_purposes or purpose in channel.purposes)


def _gates(catalogue: Catalogue, actions: tuple[Action, ...], rule: CompileRule) -> Iterator[Gate]:
    """Yield protections, then policies by level and id, without those that concern no candidate of the channel."""
    sells_or_lends = Members.of(_mask_where(actions, lambda a: a.sells_or_lends))
    for protection in catalogue.protections if sells_or_lends.bits else ():
        yield Gate(f"protection:{protection.id}", rule(protection.when), True, sells_or_lends)
    for policy in sorted(catalogue.policies, key=lambda p: (LEVELS.index(p.level), p.id)):
        members = Members.of(_mask_where(actions, policy.attach.covers))
        if members.bits:
            yield Gate(f"{policy.level}:{policy.id}", rule(policy.rule), policy.deny is not None, members)


def _placeholders(treatments: tuple[Treatment, ...], rule: CompileRule) -> Iterator[tuple[str, Rule, Members]]:
    needs = [placeholders(t) for t in treatments]
    for name in sorted(set().union(*needs)) if needs else []:
        yield name, rule(f"known({name})"), Members.of(np.asarray([name in need for need in needs], dtype=np.bool_))


def _claims(treatments: tuple[Treatment, ...], rule: CompileRule) -> Iterator[tuple[str, Rule, Members]]:
    stated = [{(kind, name) for kind, name in t.claims if name is not None} for t in treatments]
    for kind, name in sorted(set().union(*stated)) if stated else []:
        proof = rule(f"{name} > {'now' if kind == 'deadline' else '0'}")
        yield kind, proof, Members.of(np.asarray([(kind, name) in facts for facts in stated], dtype=np.bool_))


def _amounts(amounts: list[Amount], catalogue: Catalogue, schema: FeatureSchema) -> Amounts:
    per_point = catalogue.settings.eur_per_point
    constant = [a.constant_eur(per_point) for a in amounts]
    texts = [a.expression for a in amounts]
    distinct = list(dict.fromkeys(t for t in texts if t is not None))
    return Amounts(
        constant=np.asarray([np.nan if c is None else c for c in constant], dtype=np.float64),
        typical=np.asarray([a.typical_eur(per_point) for a in amounts], dtype=np.float64),
        expressions=tuple(compile_expression(t, schema.features) for t in distinct),
        rows=np.asarray([i for i, t in enumerate(texts) if t is not None], dtype=np.int64),
        of_expression=np.asarray([distinct.index(t) for t in texts if t is not None], dtype=np.int64),
    )


def _weights(schema: FeatureSchema, actions: tuple[Action, ...], rule: CompileRule) -> Iterator[Weight]:
    """Yield one weight per (position in an action's list, rule, factor), so that each action's keep their order."""
    context = {f.name for f in (*BUILT_IN, *schema.of_source("context"))}
    members: dict[tuple[int, str, float], list[int]] = {}
    for i, action in enumerate(actions):
        for n, weight in enumerate(action.context_weights):
            members.setdefault((n, weight.when, weight.factor), []).append(i)
    for (_, when, factor), rows in sorted(members.items()):
        condition = rule(when)
        personal = bool(condition.histories) or not condition.reads <= context
        yield Weight(condition, factor, np.isin(np.arange(len(actions)), rows), personal)
