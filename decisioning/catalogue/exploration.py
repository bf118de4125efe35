"""What a channel says of exploration: how seldom something else than the best is shown, by issue, and what it may cost.

The schedules are those of arbitration: inverse-gap weighting, whose gamma has no unit, over hopeful priorities.
"""

from typing import Literal

from pydantic import Field

from decisioning.spec import Strict

FULL_OPTIMISM_ROWS = 20_000.0
"""Rows until which optimism stays whole where exploration fades."""
ExploredIssue = Literal["grow", "retain", "nurture"]
"""The issues that are explored: help is never left to chance."""


class Schedule(Strict):
    """How the actions of one issue are explored on a channel; None: as the channel says."""

    gamma: float | None = Field(default=None, ge=0)
    gamma_grows: bool | None = None
    optimism: float | None = Field(default=None, ge=0.0, le=3.0)


class ImmatureBudget(Strict):
    """Extra exploration of what too little is known of.

    `budget`: the share of a slot's probability that all candidates with fewer than `mature_at` rows behind their score
    get together, evenly, on top of what the schedule gives them.
    """

    budget: float = Field(gt=0.0, le=0.2)
    mature_at: float = Field(default=1000.0, gt=0.0, allow_inf_nan=False)


class LaunchBoost(Strict):
    """A start for what is new, which the customers it suits are otherwise slow to get.

    For `days` from its `starts_at`, an action is drawn as if it were worth 1 / (1 - `give_up`) as much: it may take the
    place of one that is expected to bring more, by at most this share of it.
    """

    days: float = Field(default=30.0, gt=0.0, allow_inf_nan=False)
    give_up: float = Field(gt=0.0, le=0.5)


class ExplorationSettings(Strict):
    """The part of a channel that is about exploration. `gamma`: the higher the greedier; `.inf` never explores.

    `gamma_grows`: gamma is multiplied by the square root of the rows behind the scores, so that exploration fades as
    evidence comes in, and from `FULL_OPTIMISM_ROWS` rows on optimism is divided by it. `optimism`: how many times the
    way to the upper end of its interval a propensity is raised for exploration. `issues`: what differs for the actions
    of an issue.
    """

    gamma: float = Field(default=float("inf"), ge=0)
    gamma_grows: bool = False
    optimism: float = Field(default=0.0, ge=0.0, le=3.0)
    issues: dict[ExploredIssue, Schedule] = Field(default_factory=dict)
    immature: ImmatureBudget | None = None
    launch: LaunchBoost | None = None

    def schedule(self, issue: str) -> tuple[float, bool, float]:
        """Gamma, whether it grows, and optimism, for the actions of an issue."""
        own = next((s for name, s in self.issues.items() if name == issue), Schedule())
        return (
            self.gamma if own.gamma is None else own.gamma,
            self.gamma_grows if own.gamma_grows is None else own.gamma_grows,
            self.optimism if own.optimism is None else own.optimism,
        )
