"""Control groups: who is in which, and what that changes. Only what sells is ever withheld or drawn differently.

A unit (a person, an account) gets a number in [0, 1) from a salted hash. Every arm has a quarter of that range to
itself and takes `share` of it from the quarter's beginning, so that nobody is in two, and a share that grows moves
nobody but those who come in. A new `settings.arm_salt` draws everybody anew. Outside its dates an arm is nobody's.

- `holdout`: no commercial contact; the price of never selling, against which everything is measured
- `no-levers`: the business's levers do not weigh
- `propensity-only`: ranked by propensity alone
- `random`: any candidate that is worth more than nothing, or nothing, each with the same probability

What is mandatory or helps is the same in every arm, and so are the filters.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.policies import Arm, Unit
from decisioning.deciding.arbitration import COMMERCIAL_TIER, Exploration, Field, hashed_uniform
from decisioning.deciding.screening import Screened
from decisioning.facts.forms import Known

NBA = "nba"
"""Everybody who is in no control group."""
_UNRANKED_BY = frozenset({"context", "lever", "value.expected"})
"""Reasons that say nothing where propensity alone ranks."""


def unit_of(known: Known, unit: Unit) -> str:
    """The stream that is in an arm: the person, also of a visitor that is linked to one; the account where it is known.

    A request that names no account is about the person alone.
    """
    if unit == "account" and known.account is not None:
        return known.account.stream
    holder = known.person.holder
    return holder.person if holder is not None and holder.linked else known.person.stream


def arm_of(arms: Sequence[Arm], salt: str, known: Known, now_us: int) -> str:
    """The arm that a decision belongs to."""
    for arm in arms:
        if arm.holds(hashed_uniform(salt, unit_of(known, arm.unit)), now_us):
            return arm.id
    return NBA


def withhold(screened: Screened, arm: str) -> None:
    """The last of the filters: a holdout is sold nothing."""
    if arm == "holdout":
        sells = screened.view.tier == COMMERCIAL_TIER
        screened.sieve.stop(sells, "arm:holdout", "one of the customers whom nothing is sold, to compare with")


def weighed(screened: Screened, arm: str) -> Screened:
    """What was screened, with the levers that count in this arm."""
    if arm != "no-levers":
        return screened
    lever = np.where(screened.view.tier == COMMERCIAL_TIER, 1.0, screened.worth.lever)
    return replace(screened, worth=replace(screened.worth, lever=lever))


def ranked(field: Field, propensity: NDArray[np.float64], arm: str) -> Field:
    """The columns that arbitration reads, all (k,): in `propensity-only` what is worth its cost ranks by propensity."""
    if arm != "propensity-only":
        return field
    better = (field.tier == COMMERCIAL_TIER) & (field.priority > 0.0)
    return replace(field, priority=np.where(better, propensity, field.priority))


def explored(explore: Exploration, arm: str) -> Exploration:
    """Exploration in this arm; with gamma 0 inverse-gap weighting is the uniform distribution, exactly.

    Where propensity alone ranks, nothing extra goes to the immature and the new: what it costs is told in euros.
    """
    if arm == "random":
        return Exploration.flat(0.0, len(explore.gamma))
    return replace(explore, budget=0.0, launch_boost=None) if arm == "propensity-only" else explore


def used(reasons: Sequence[dict[str, str]], arm: str, tier: str) -> list[dict[str, str]]:
    """The reasons that name what decided in this arm; what is shown at random has none but chance."""
    if tier != "commercial" or arm not in ("random", "propensity-only"):
        return list(reasons)
    return [r for r in reasons if arm != "random" and r["code"] not in _UNRANKED_BY]
