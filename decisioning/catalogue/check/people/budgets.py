"""Checks of budgets against the actions that they cover."""

from collections.abc import Iterator

from decisioning.catalogue.actions import Action
from decisioning.catalogue.check.policies import attachment_problems
from decisioning.catalogue.check.shape import Draft, Item
from decisioning.catalogue.people.budgets import Budget, cents_of
from decisioning.errors import Mistake


def budget_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every mistake in what budgets cover, and in actions that give something away."""
    for item in draft.budgets:
        yield from attachment_problems(item, item.spec.attach, draft)
        if _has_parts_of_cents(item.spec.limit_eur):
            yield item.problem(("limit_eur",), "it is no whole number of cents", "write at most two decimals")
        else:
            yield from _covered(item, [action.spec for action in draft.actions if item.spec.attach.covers(action.spec)])
    if not draft.refused_ids["budgets"]:
        for action in draft.actions:
            yield from _given_away(action, draft)


def _covered(item: Item[Budget], actions: list[Action]) -> Iterator[Mistake]:
    """A budget is about sales: help is never negotiated about, so a protection closes every negotiation."""
    helping = next((action.id for action in actions if not action.commercial), None)
    if helping is not None:
        message = f"it covers `{helping}`, which does not sell, and help is not negotiated about"
        yield item.problem(("attach",), message, "attach it to actions of issue `grow`, `retain` or `nurture`")
    elif actions and not any(action.gives_eur for action in actions):
        message = "none of the actions that it covers gives anything away"
        yield item.problem(("attach",), message, "add `gives_eur: 30` to those that do, or remove the budget")


def _given_away(item: Item[Action], draft: Draft) -> Iterator[Mistake]:
    """What gives something away does so within a budget."""
    action = item.spec
    if not action.gives_eur:
        return
    if _has_parts_of_cents(action.gives_eur):
        yield item.problem(("gives_eur",), "it is no whole number of cents", "write at most two decimals")
    covering = [budget.spec for budget in draft.budgets if budget.spec.attach.covers(action)]
    if not covering:
        suggestion = f"add `{{id: {action.issue}, attach: {{issue: {action.issue}}}, limit_eur: 100}}` to `budgets`"
        yield item.problem(("gives_eur",), "it gives something away, and no budget covers it", suggestion)
    for budget in covering:
        if action.gives_eur > budget.limit_eur:
            message = f"it gives away more than budget `{budget.id}` ever allows"
            yield item.problem(("gives_eur",), message, f"give away at most {budget.limit_eur:g}, or raise the budget")


def _has_parts_of_cents(amount_eur: float) -> bool:
    return abs(amount_eur * 100 - cents_of(amount_eur)) > 1e-6
