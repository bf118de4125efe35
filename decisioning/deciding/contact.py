"""How often, when and how much: caps, quiet hours, suppression and budgets, over standings of person and account."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action, QuietHours
from decisioning.catalogue.limits import UNLIMITED, SlateLimits
from decisioning.catalogue.people.budgets import Budget, cents_of, left_cents
from decisioning.catalogue.policies import Cap
from decisioning.catalogue.release import Release
from decisioning.catalogue.view import Mask, View
from decisioning.deciding.arbitration import Limits
from decisioning.deciding.case import standing_for
from decisioning.facts.forms import Ask, Known
from decisioning.times import days_us


def suppressed(view: View, known: Known, now_us: int) -> Iterator[tuple[str, str]]:
    """Yield (outcome, action) for every action that an outcome suppresses now; only actions with a past count."""
    happened = {*known.person.outcomes, *(known.account.outcomes if known.account else ())}
    happened.update(action for other in known.person.elsewhere for action in other.outcomes)
    for name in sorted(happened & view.rows_by_action.keys()):
        if after := _suppressed_by(view.actions[view.rows_by_action[name][0]], known, now_us):
            yield after, name


def _suppressed_by(action: Action, known: Known, now_us: int) -> str | None:
    standing = standing_for(action, known)
    histories = (standing, *standing.elsewhere)
    for rule in action.suppress:
        since_us = 0 if rule.days is None else now_us - days_us(rule.days)
        if any(of.history(action.id, rule.after, since_us) for of in histories):
            return rule.after
    return None


def limits(view: View, known: Known, zone: str | None, now_us: int) -> tuple[Limits, Sequence[tuple[Cap, Mask]]]:
    """Return what a slate may take, and (cap, members) of the caps that leave some candidates (k,) no room at all.

    What was shown counts under the caps: the person's for all candidates, and the account's as well for those of
    account scope. A cap per day, week or month goes by the time zone of the person.
    """
    before = view.limits if known.account is None else view.limits_with_account
    remaining = _left(before, known, zone, now_us)
    if remaining is before.remaining:
        return Limits(before.bucket, remaining, before.room), before.closed
    return Limits(before.bucket, remaining), before.full(remaining)


def _left(before: SlateLimits, known: Known, zone: str | None, now_us: int) -> NDArray[np.int64]:
    """Return what is left of each limit, int64 (n_buckets + 1,); the limits' own array if nothing was counted."""
    remaining = before.remaining
    if not before.caps or not (known.person.contacts or (known.account and known.account.contacts)):
        return remaining
    after_us = [cap.cap.counts_after_us(zone, now_us) for _, cap, _ in before.caps]
    for whose, standing in enumerate((known.person, known.account) if known.account else (known.person,)):
        for contact in standing.contacts:
            if not contact.counts_at(now_us):
                continue
            for cap, place in before.places(whose, contact.action, contact.group, contact.issue, contact.channel):
                if contact.at_us > after_us[cap]:
                    if remaining is before.remaining:
                        remaining = remaining.copy()
                    remaining[place] -= 1
    return remaining


def quiet(hours: QuietHours | None, zone: str | None, now_us: int) -> bool | None:
    """Tell whether it is quiet time where the customer is; None if the zone is unknown."""
    return False if hours is None else hours.hold_at(zone, now_us)


class _Limited(NamedTuple):
    """A budget, and (cents, candidates as bits) of every amount that a candidate of a channel gives away under it."""

    budget: Budget
    amounts: tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def _limited(release: Release, channel: str) -> tuple[_Limited, ...]:
    view, limited = release.view(channel), []
    for budget in release.catalogue.budgets:
        amounts: dict[int, int] = {}
        for i, action in enumerate(view.actions):
            if budget.attach.covers(action):
                cents = cents_of(action.gives_eur)
                amounts[cents] = amounts.get(cents, 0) | 1 << i
        limited.append(_Limited(budget, tuple(sorted(amounts.items()))))
    return tuple(limited)


def negotiable(release: Release, channel: str, action: str | None = None) -> int:
    """Return the bits of the candidates of a channel that some budget covers: of one action, or of all."""
    covered, view = 0, release.view(channel)
    for _, amounts in _limited(release, channel):
        for _, members in amounts:
            covered |= members
    if action is None:
        return covered
    return covered & view.bits_of_action(action) if action in view.rows_by_action else 0


def over_budget(release: Release, ask: Ask, known: Known, now_us: int) -> Iterator[tuple[str, int]]:
    """Yield (budget, candidates as bits) of those that would give away more than is left for the customer."""
    if not release.catalogue.budgets:
        return
    without = ask.negotiation.instead_of if ask.negotiation is not None else ()
    for budget, amounts in _limited(release, ask.channel):
        left = left_cents(budget, known.person, known.account, now_us, without)
        members = 0
        for cents, of_amount in amounts:
            if cents > left:
                members |= of_amount
        yield budget.id, members


def side_by_side(limits: Limits) -> Limits:
    """Return the limits of a slate without that of groups: alternatives of one group stand beside each other."""
    remaining = limits.remaining.copy()
    remaining[limits.bucket[1]] = UNLIMITED
    return replace(limits, remaining=remaining, known_room=None)
