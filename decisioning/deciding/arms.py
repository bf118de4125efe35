"""Control groups: who belongs to which, and what that changes. Only what sells is ever withheld or drawn differently.

A unit (a person or an account) gets a number in [0, 1) from a salted hash. Every arm owns a quarter of that range and
takes `share` of it from the beginning of the quarter. So nobody is in two arms, and a share that grows moves nobody
except those who join. A new `settings.arm_salt` assigns everybody anew. Outside its dates an arm is empty.

- `holdout`: no commercial contact; the price of never selling, which everything is measured against
- `no-levers`: the business's levers have no weight
- `propensity-only`: ranked by propensity alone
- `random`: any candidate that is worth more than nothing, or doing nothing, each with the same probability

Mandatory actions and help are the same in every arm, and so are the filters.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.policies import Arm, Unit
from decisioning.catalogue.view import COMMERCIAL_TIER
from decisioning.deciding.arbitration import Exploration, Field
from decisioning.deciding.case import Case
from decisioning.deciding.worth import Worth
from decisioning.facts.forms import Known
from decisioning.hashes import hashed_uniform
from decisioning.records.kept import ACCOUNT, OWN, Reason

NBA = "nba"
"""Everybody who is in no control group."""
_UNRANKED_BY = frozenset({"context", "lever", "value.expected"})
"""Kinds of reasons that do not apply if propensity alone ranks."""


def unit_of(known: Known, unit: Unit) -> str:
    """Return the stream that is assigned to an arm.

    That is the account if the unit is the account and it is known, else the person; for a linked visitor, the person
    that it is linked to; for joined customers, the same for all of them.
    """
    if unit == "account" and known.account is not None:
        return known.account.stream
    holder = known.person.holder
    own = holder.person if holder is not None and holder.linked else known.person.stream
    return known.person.person_stream or own


def drawn_unit(case: Case) -> str | None:
    """Return which unit the arms of a case draw, in the words of `Kept.unit`; None if there are no arms."""
    arms, known = case.release.catalogue.arms, case.known
    if not arms:
        return None
    drawn = unit_of(known, arms[0].unit)  # `brain check` makes sure that all arms draw the same unit
    if drawn == known.person.stream:
        return OWN
    return ACCOUNT if known.account is not None and drawn == known.account.stream else drawn


def arm_of(arms: Sequence[Arm], salt: str, known: Known, now_us: int) -> str:
    """Return the arm that a decision belongs to."""
    for arm in arms:
        if arm.holds(hashed_uniform(salt, unit_of(known, arm.unit)), now_us):
            return arm.id
    return NBA


def arm_for(case: Case) -> str:
    """Return the arm of a case; a preview that sets its own gamma is in no control group."""
    if case.context.gamma is not None:
        return NBA
    catalogue = case.release.catalogue
    return arm_of(catalogue.arms, catalogue.settings.arm_salt, case.known, case.now_us)


def weighed(worth: Worth, tier: NDArray[np.int8], arm: str) -> Worth:
    """Return the worth with the levers that count in this arm."""
    if arm != "no-levers":
        return worth
    return replace(worth, lever=np.where(tier == COMMERCIAL_TIER, 1.0, worth.lever))


def ranked(field: Field, propensity: NDArray[np.float64], arm: str) -> Field:
    """Return the columns that arbitration reads; in `propensity-only`, what is worth its cost ranks by propensity."""
    if arm != "propensity-only":
        return field
    better = (field.tier == COMMERCIAL_TIER) & (field.priority > 0.0)
    return replace(field, priority=np.where(better, propensity, field.priority))


def explored(exploration: Exploration, arm: str) -> Exploration:
    """Return the exploration of this arm; with gamma 0, inverse-gap weighting is the uniform distribution exactly.

    If propensity alone ranks, nothing extra goes to immature and new candidates, because its cost is stated in euros.
    """
    if arm == "random":
        return Exploration.flat(0.0, len(exploration.gamma))
    return replace(exploration, budget=0.0, launch_boost=None) if arm == "propensity-only" else exploration


def used(reasons: Sequence[Reason], arm: str, tier: str) -> list[Reason]:
    """Return the reasons that decided in this arm; what is shown at random has no reason but chance."""
    if tier != "commercial" or arm not in ("random", "propensity-only"):
        return list(reasons)
    return [r for r in reasons if arm != "random" and r.kind not in _UNRANKED_BY]
