"""Facts that protect somebody may only take sales away or add help: where each is read, and which way it works there.

What a protection reads is a flag, and its direction the one in which the protection comes to hold. Then: no model reads
it; of a sale it decides no worth, and more of it never lets one in; of help, more of it never takes any away.
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
    """Every use of a flag against whoever it protects; texts that do not compile are told elsewhere."""
    flags = _Flags(draft)
    if not flags.by_name:
        return
    yield from flags.learned()
    yield from flags.changed()
    for item in draft.actions:
        yield from flags.worth(item)
    for policy in draft.policies:
        yield from flags.policy(policy, policy.spec.attach)


@dataclass(frozen=True, slots=True)
class _FlagUse:
    """Which way a text may move with a flag: UP is more sales or more help."""

    item: Item[Any]
    path: Path
    wanted: Direction
    why: str


class _Flags:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.schema: Mapping[str, Feature] = FeatureSchema(tuple(item.spec for item in draft.features)).features
        self.moved: dict[FactKey, Direction] = {}
        self.by_name: dict[str, str] = {}
        for item in draft.protections:
            for fact, way in self._directions(item.spec.when).items():
                known = self.moved.get(fact, way)
                self.moved[fact] = way if known is way else Direction.MIXED
                self.by_name.setdefault(fact[0], item.spec.id)

    def learned(self) -> Iterator[Mistake]:
        """Flags that a model may read."""
        for item in self.draft.features:
            if item.spec.name in self.by_name and item.spec.learnable:
                message = f"protection `{self.by_name[item.spec.name]}` reads it, and a model may read it, too"
                yield item.problem(("name",), message, "add `model_input: false`")

    def changed(self) -> Iterator[Mistake]:
        """Flags that a counterfactual might tell a customer to change."""
        for item in self.draft.features:
            if item.spec.name in self.by_name and item.spec.changeable:
                message = f"protection `{self.by_name[item.spec.name]}` reads it: nobody is told to change that"
                yield item.problem(("changeable",), message, "remove `changeable`")

    def worth(self, item: Item[Action]) -> Iterator[Mistake]:
        """Of a sale no flag decides what it is worth; of help more of a flag never makes it less."""
        action = item.spec
        for key, way in (("value", Direction.UP), ("cost", Direction.DOWN)):
            amount: Amount = getattr(action, key)
            if amount.expression is not None:
                found = self._directions(amount.expression, condition=False)
                yield from self._judged(item, (key, "expression"), found, way, action.sells_or_lends)
        for i, weight in enumerate(action.context_weights):
            way = Direction.UP if weight.factor >= 1.0 else Direction.DOWN
            found = self._directions(weight.when)
            yield from self._judged(item, ("context_weights", i, "when"), found, way, action.sells_or_lends)

    def policy(self, item: Item[Any], attach: Attach) -> Iterator[Mistake]:
        """A permit lets in where it is true, a deny where it is false."""
        concerned = [a.spec for a in self.draft.actions if attach.covers(a.spec)]
        permits = item.spec.permit is not None
        path: Path = ("permit",) if permits else ("deny",)
        lets_in = self._directions(item.spec.rule)
        lets_in = lets_in if permits else {fact: way.flipped() for fact, way in lets_in.items()}
        if any(a.sells_or_lends for a in concerned):
            yield from self._against(_FlagUse(item, path, Direction.DOWN, _SALES), lets_in)
        if not all(a.sells_or_lends for a in concerned):
            yield from self._against(_FlagUse(item, path, Direction.UP, _HELP), lets_in)

    def _judged(self, item: Item[Any], path: Path, found: Directions, way: Direction, sells: bool) -> Iterator[Mistake]:
        if not sells:
            yield from self._against(_FlagUse(item, path, way, _HELP), found)
            return
        for name in sorted({name for name, _ in found} & self.by_name.keys()):
            message = f"`{name}` must not decide what a sale is worth: {_SALES}"
            yield item.problem(path, f"`{path[-1]}`: {message}", "remove it")

    def _against(self, use: _FlagUse, found: Directions) -> Iterator[Mistake]:
        """A problem for each flag that moves the text the wrong way, or in a way that cannot be told."""
        wrong = (name for (name, value), way in found.items() if self._wrong(name, value, way, use.wanted))
        for name in sorted(set(wrong)):
            message = f"`{use.path[-1]}`: `{name}` works the wrong way: {use.why}"
            protection = self.by_name[name]
            yield use.item.problem(
                use.path, message, f"turn it round, or remove it; protection `{protection}` reads it"
            )

    def _wrong(self, name: str, value: str | None, way: Direction, wanted: Direction) -> bool:
        if name not in self.by_name or way is Direction.NONE:
            return False
        flagged = self.moved.get((name, value))
        if flagged is None and value is not None and (name, None) not in self.moved:
            flagged = Direction.DOWN  # another value of a text is one that does not protect
        if flagged is None or Direction.MIXED in (flagged, way):
            return True
        return (way is flagged) != (wanted is Direction.UP)

    def _directions(self, text: str, *, condition: bool = True) -> Directions:
        try:
            compiled = (compile_rule if condition else compile_expression)(text, self.schema)
        except RuleError:
            return {}
        return directions(compiled.node)
