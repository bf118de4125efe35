"""Checks of rule texts: they compile, can be true, count possible outcomes, and let no emotion and no request sell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from re import findall
from typing import Any

from decisioning.catalogue.actions import COMMERCIAL_ISSUES, MAX_WINDOW_DAYS, Action, Amount
from decisioning.catalogue.check.shape import Draft, Item
from decisioning.catalogue.check.words import hint
from decisioning.catalogue.policies import Attach
from decisioning.catalogue.source import Path
from decisioning.errors import Mistake
from decisioning.facts.schema import Feature, FeatureSchema
from decisioning.rules import Expression, Rule, RuleError, compile_expression, compile_rule, never_true
from decisioning.times import days_us

_HEARD = ("emotion", "request")
"""Tags of what only rules under `emotion:` may read, for help as well as for sales."""


@dataclass(frozen=True, slots=True)
class _RuleUse:
    """A rule text and its use.

    `sells`: what it would decide about a sale, None if nothing. `decides`: what it decides, about a sale or not.
    `attach`: the actions whose history it may count.
    """

    item: Item[Any]
    path: Path
    text: str
    condition: bool
    sells: str | None
    attach: Attach | None = None
    decides: str | None = None

    def problem(self, message: str, suggestion: str | None) -> Mistake:
        """Return a mistake in this rule."""
        return self.item.problem(self.path, f"`{self.path[-1]}`: {message}", suggestion)


def rule_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every mistake in the texts of rules and expressions."""
    checker = _RuleChecks(draft)
    for text in chain(_of_actions(draft), _of_policies(draft), _of_bases(draft)):
        yield from checker.problems(text)


def _of_actions(draft: Draft) -> Iterator[_RuleUse]:
    for item in draft.actions:
        action = item.spec
        yield from _of_amount(item, "value", action.value)
        yield from _of_amount(item, "cost", action.cost)
        for i, weight in enumerate(action.context_weights):
            yield _RuleUse(item, ("context_weights", i, "when"), weight.when, True, "a context weight")


def _of_amount(item: Item[Action], key: str, amount: Amount) -> Iterator[_RuleUse]:
    if amount.expression is not None:
        yield _RuleUse(item, (key, "expression"), amount.expression, False, f"the {key} of an action")


def _of_policies(draft: Draft) -> Iterator[_RuleUse]:
    commercial = {item.spec.id for item in draft.actions if item.spec.commercial}
    groups = {item.spec.group for item in draft.actions if item.spec.commercial}
    for policy in draft.policies:
        attach = policy.spec.attach
        sells = attach.all or not (
            COMMERCIAL_ISSUES.isdisjoint(attach.issue)
            and commercial.isdisjoint(attach.action)
            and groups.isdisjoint(attach.group)
        )
        key = "permit" if policy.spec.permit is not None else "deny"
        sold = "who is sold to" if sells else None
        yield _RuleUse(policy, (key,), policy.spec.rule, True, sold, attach, decides="who is helped")
    for protection in draft.protections:
        yield _RuleUse(protection, ("when",), protection.spec.when, True, "who is sold to")
    for rule in draft.emotion:
        yield _RuleUse(rule, ("when",), rule.spec.when, True, None)
    for moment in draft.moments:
        yield _RuleUse(moment, ("when",), moment.spec.when, True, None)


def _of_bases(draft: Draft) -> Iterator[_RuleUse]:
    for item in draft.bases:
        if (opt_in := item.spec.soft_opt_in) is not None:
            for key in ("customer", "opt_out_offered"):
                yield _RuleUse(item, ("soft_opt_in", key), getattr(opt_in, key), True, "who is sold to")


def _barred_tag(feature: Feature) -> str | None:
    """Return the tag that bars a feature from deciding who is helped; None for intents, which say what help is for."""
    if feature.signal is not None and feature.signal.reads_intents and "emotion" not in feature.tags:
        return None
    return next((tag for tag in _HEARD if tag in feature.tags), None)


class _RuleChecks:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.schema: Mapping[str, Feature] = FeatureSchema(tuple(item.spec for item in draft.features)).features
        self.actions = {item.spec.id: item.spec for item in draft.actions}
        self.compiled: dict[tuple[str, bool], Rule | Expression | RuleError] = {}
        self.impossible: dict[str, str | None] = {}

    def problems(self, text: _RuleUse) -> Iterator[Mistake]:
        """Yield the mistakes in one text; none if it names a feature that was itself refused."""
        if self.draft.refused_ids["features"].intersection(findall(r"\w+", text.text)):
            return
        rule = self._compile(text)
        if isinstance(rule, RuleError):
            yield text.problem(f"{rule.message}, at character {rule.position + 1}", rule.suggestion)
            return
        yield from self._never(text, rule)
        yield from self._emotion(text, rule)
        yield from self._own_history(text, rule)
        yield from self._histories(text, rule)

    def _compile(self, text: _RuleUse) -> Rule | Expression | RuleError:
        key = (text.text, text.condition)
        if key not in self.compiled:
            try:
                compiled = (compile_rule if text.condition else compile_expression)(text.text, self.schema)
            except RuleError as error:
                self.compiled[key] = error
            else:
                self.compiled[key] = compiled
        return self.compiled[key]

    def _never(self, text: _RuleUse, rule: Rule | Expression) -> Iterator[Mistake]:
        if not isinstance(rule, Rule):
            return
        if rule.text not in self.impossible:
            self.impossible[rule.text] = never_true(rule, self.schema)
        if why := self.impossible[rule.text]:
            message = f"it can never be true: {why}"
            yield text.problem(message, "compare with the `values`, `min` and `max` of its features")

    def _emotion(self, text: _RuleUse, rule: Rule | Expression) -> Iterator[Mistake]:
        for name in sorted(rule.reads):
            if text.sells and (why := self.schema[name].why_not_for_sales):
                message = f"`{name}` is {why}, and must not decide {text.sells}"
                yield text.problem(message, "remove it; only rules under `emotion:` may silence sales with it")
            elif text.decides and (tag := _barred_tag(self.schema[name])):
                message = f"`{name}` is tagged `{tag}`, and must not decide {text.decides}"
                yield text.problem(message, "let a rule under `emotion:` do it: `let_through: [the action]`")

    def _own_history(self, text: _RuleUse, rule: Rule | Expression) -> Iterator[Mistake]:
        if rule.per_action and text.attach is None:
            message = "`history(action, …)` is for policies: here it is not about one action"
            yield text.problem(message, 'name the action, such as `history("tv-bundle", "declined", "90d")`')

    def _histories(self, text: _RuleUse, rule: Rule | Expression) -> Iterator[Mistake]:
        for name, outcome, window_us in sorted(rule.histories, key=str):
            if window_us > days_us(MAX_WINDOW_DAYS):
                yield text.problem(f"the window is longer than {MAX_WINDOW_DAYS} days", "shorten it")
            known = self.draft.known_ids["actions"]
            if name is not None and name not in known:
                yield text.problem(f"there is no action `{name}`", hint(name, known))
            elif self.draft.refused_ids["actions"].isdisjoint([*known] if name is None else [name]):
                yield from self._outcome(text, name, outcome)

    def _outcome(self, text: _RuleUse, name: str | None, outcome: str) -> Iterator[Mistake]:
        """An outcome that neither the named action nor, for `action`, any attached action can have."""
        concerned = [
            a for a in self.actions.values() if (a.id == name if name else text.attach and text.attach.covers(a))
        ]
        known = {declared for action in concerned for declared in action.outcomes.all}
        if concerned and outcome not in known:
            owner = f"action `{name}` has" if name else "the actions it is attached to have"
            yield text.problem(f"{owner} no outcome `{outcome}`", hint(outcome, known))
