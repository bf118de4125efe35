"""Checks of facts that protect someone: they may only remove sales or add help, wherever they are read.

A fact that a protection reads is a flag; its direction is the one in which the protection comes to hold. No model may
read it. It may not decide what a sale is worth, and more of it may never let a sale in. More of it may never take help
away.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from decisioning.catalogue.actions import Action, Amount
from decisioning.catalogue.check.shape import Draft, Item
from decisioning.catalogue.policies import Attach
from decisioning.catalogue.source import Path
from decisioning.errors import Mistake
from decisioning.facts.schema import Feature, FeatureSchema
from decisioning.rules import Direction, Directions, FactKey, RuleError, compile_expression, compile_rule, directions

_SALES = "a flag of a protection may only take sales away"
_HELP = "a flag of a protection may only add help"


def flag_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every use of a flag to the disadvantage of the people it protects.

    Texts that do not compile are left out; `decisioning.catalogue.check.rules` reports them.
    """
    flags = _Flags(draft)
    if not flags.protection_of:
        return
    yield from flags.model_inputs()
    yield from flags.changeable_flags()
    for item in draft.actions:
        yield from flags.worth(item)
    for policy in draft.policies:
        yield from flags.policy(policy, policy.spec.attach)


@dataclass(frozen=True, slots=True)
class _FlagUse:
    """The direction in which a text may move with a flag. UP means more sales or more help."""

    item: Item[Any]
    path: Path
    allowed: Direction
    why: str


class _Flags:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.schema: Mapping[str, Feature] = FeatureSchema(tuple(item.spec for item in draft.features)).features
        self.flag_directions: dict[FactKey, Direction] = {}
        self.protection_of: dict[str, str] = {}
        for item in draft.protections:
            for fact, way in self._directions(item.spec.when).items():
                before = self.flag_directions.get(fact, way)
                self.flag_directions[fact] = way if before is way else Direction.MIXED
                self.protection_of.setdefault(fact[0], item.spec.id)

    def model_inputs(self) -> Iterator[Mistake]:
        """Yield flags that a model may read."""
        for item in self.draft.features:
            if item.spec.name in self.protection_of and item.spec.learnable:
                message = f"protection `{self.protection_of[item.spec.name]}` reads it, and a model may read it, too"
                yield item.problem(("name",), message, "add `model_input: false`")

    def changeable_flags(self) -> Iterator[Mistake]:
        """Yield flags that a counterfactual might tell a customer to change."""
        for item in self.draft.features:
            if item.spec.name in self.protection_of and item.spec.changeable:
                message = f"protection `{self.protection_of[item.spec.name]}` reads it: nobody is told to change that"
                yield item.problem(("changeable",), message, "remove `changeable`")

    def worth(self, item: Item[Action]) -> Iterator[Mistake]:
        """Yield flags that decide what a sale is worth, and flags of which more makes help worth less."""
        action = item.spec
        for key, way in (("value", Direction.UP), ("cost", Direction.DOWN)):
            amount: Amount = getattr(action, key)
            if amount.expression is not None:
                effects = self._directions(amount.expression, condition=False)
                yield from self._worth_problems(item, (key, "expression"), effects, way, action.sells_or_lends)
        for i, weight in enumerate(action.context_weights):
            way = Direction.UP if weight.factor >= 1.0 else Direction.DOWN
            effects = self._directions(weight.when)
            yield from self._worth_problems(item, ("context_weights", i, "when"), effects, way, action.sells_or_lends)

    def policy(self, item: Item[Any], attach: Attach) -> Iterator[Mistake]:
        """Yield flags that a policy uses in the wrong direction.

        A permit lets a candidate in if it is true, a deny if it is false.
        """
        concerned = [a.spec for a in self.draft.actions if attach.covers(a.spec)]
        permits = item.spec.permit is not None
        path: Path = ("permit",) if permits else ("deny",)
        lets_in = self._directions(item.spec.rule)
        lets_in = lets_in if permits else {fact: way.flipped() for fact, way in lets_in.items()}
        if any(a.sells_or_lends for a in concerned):
            yield from self._wrong_ways(_FlagUse(item, path, Direction.DOWN, _SALES), lets_in)
        if not all(a.sells_or_lends for a in concerned):
            yield from self._wrong_ways(_FlagUse(item, path, Direction.UP, _HELP), lets_in)

    def _worth_problems(
        self, item: Item[Any], path: Path, effects: Directions, way: Direction, sells: bool
    ) -> Iterator[Mistake]:
        if not sells:
            yield from self._wrong_ways(_FlagUse(item, path, way, _HELP), effects)
            return
        for name in sorted({name for name, _ in effects} & self.protection_of.keys()):
            message = f"`{name}` must not decide what a sale is worth: {_SALES}"
            yield item.problem(path, f"`{path[-1]}`: {message}", "remove it")

    def _wrong_ways(self, use: _FlagUse, effects: Directions) -> Iterator[Mistake]:
        """Yield a problem for each flag that moves the text in the wrong or in an unclear direction."""
        wrong = (name for (name, value), way in effects.items() if self._is_wrong(name, value, way, use.allowed))
        for name in sorted(set(wrong)):
            message = f"`{use.path[-1]}`: `{name}` works the wrong way: {use.why}"
            protection = self.protection_of[name]
            yield use.item.problem(
                use.path, message, f"turn it round, or remove it; protection `{protection}` reads it"
            )

    def _is_wrong(self, name: str, value: str | None, way: Direction, allowed: Direction) -> bool:
        if name not in self.protection_of or way is Direction.NONE:
            return False
        flag_way = self.flag_directions.get((name, value))
        if flag_way is None and value is not None and (name, None) not in self.flag_directions:
            flag_way = Direction.DOWN  # the text's other values do not protect
        if flag_way is None or Direction.MIXED in (flag_way, way):
            return True
        return (way is flag_way) != (allowed is Direction.UP)

    def _directions(self, text: str, *, condition: bool = True) -> Directions:
        try:
            compiled = (compile_rule if condition else compile_expression)(text, self.schema)
        except RuleError:
            return {}
        return directions(compiled.node)
