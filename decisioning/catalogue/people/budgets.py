"""What the company lets its people give away when they negotiate with a customer."""

from collections.abc import Collection, Iterator
from typing import Annotated

from pydantic import Field

from decisioning.catalogue.policies import Attach
from decisioning.facts.concessions import Concession
from decisioning.facts.schema import Id, Strict
from decisioning.facts.standing import Standing
from decisioning.times import days_us

MAX_DAYS = 800


def cents_of(amount_eur: float) -> int:
    """Return an amount in whole cents."""
    return round(amount_eur * 100)


class Budget(Strict):
    """What may be given away to one customer, and to one account, in any `days`.

    It holds for the actions that it is attached to, each with what it gives away (`gives_eur`).
    """

    id: Id
    attach: Attach
    limit_eur: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
    days: Annotated[float, Field(gt=0, le=MAX_DAYS)] = 365.0

    @property
    def limit_cents(self) -> int:
        """The limit in cents."""
        return cents_of(self.limit_eur)

    def counts(self, given: Concession, now_us: int) -> bool:
        """Tell whether something that was given away, or is held, counts at a time."""
        attach = self.attach
        covered = attach.all or given.issue in attach.issue or given.group in attach.group
        return bool(covered or given.action in attach.action) and given.counts_at(now_us, now_us - days_us(self.days))


def left_cents(
    budget: Budget, person: Standing, account: Standing | None, now_us: int, without: Collection[str] = ()
) -> int:
    """Return how many cents may still be given away to a person, and to their account if there is one; at least 0.

    :param without: offers that do not count, as others take their place; what was given counts always
    """
    whose = (person,) if account is None else (person, account)
    spent = max(sum(one.cents for one in _counted(budget, of, now_us, without)) for of in whose)
    return max(0, budget.limit_cents - spent)


def _counted(budget: Budget, of: Standing, now_us: int, without: Collection[str]) -> Iterator[Concession]:
    every = {one.offer_id: one for one in of.concessions}.values()
    return (one for one in every if (one.given or one.offer_id not in without) and budget.counts(one, now_us))
