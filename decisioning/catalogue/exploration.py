"""A channel's settings of exploration: per issue, how often something else than the best is shown, and its limits.

The schedules are those of arbitration: inverse-gap weighting, whose gamma has no unit, over optimistic priorities.
"""

from typing import Literal

from pydantic import Field

from decisioning.spec import Strict

FULL_OPTIMISM_ROWS = 20_000.0
"""The number of rows up to which optimism stays at its full value where exploration fades."""
ExploredIssue = Literal["grow", "retain", "nurture"]
"""The issues that are explored. Help is never left to chance."""


class Schedule(Strict):
    """How the actions of one issue are explored on a channel; None: as the channel says."""

    gamma: float | None = Field(default=None, ge=0)
    gamma_grows: bool | None = None
    optimism: float | None = Field(default=None, ge=0.0, le=3.0)


class ImmatureBudget(Strict):
    """Extra exploration of candidates with little evidence.

    The odds of a slot are 1 - `budget` of what the schedule gives, and `budget` evenly among the candidates whose
    scores rest on fewer than `mature_at` rows. If there are none, the budget is not spent. It is not spent either on
    customers who may not be profiled, on candidates worth nothing or less, or on those whose score was replaced by a
    prior because the model is not transparent enough.
    """

    budget: float = Field(gt=0.0, le=0.2)
    mature_at: float = Field(default=1000.0, gt=0.0, allow_inf_nan=False)


class LaunchBoost(Strict):
    """A start for new actions, which would otherwise reach the customers they suit only slowly.

    For `days` from its `starts_at`, an action is drawn as if it were worth 1 / (1 - `give_up`) times as much. So it may
    replace an action that is expected to bring more, by at most the share `give_up` of that.
    """

    days: float = Field(default=30.0, gt=0.0, allow_inf_nan=False)
    give_up: float = Field(gt=0.0, le=0.5)


class ExplorationSettings(Strict):
    """The part of a channel that is about exploration. `gamma`: the higher, the greedier; `.inf` never explores.

    `gamma_grows`: gamma is multiplied by the square root of the number of rows behind all scored actions, whatever
    their issue, so that exploration fades as evidence grows; beyond `FULL_OPTIMISM_ROWS` rows, optimism falls with the
    same square root. Rows of one customer count as fewer. `optimism`: a propensity is raised for exploration by this
    multiple of the distance to its interval's upper end; not if gamma is infinite. `issues`: the settings that differ
    for the actions of an issue. If candidates of several issues compete for a slot, each candidate's gap is weighted by
    its own gamma.
    """

    gamma: float = Field(default=float("inf"), ge=0)
    gamma_grows: bool = False
    optimism: float = Field(default=0.0, ge=0.0, le=3.0)
    issues: dict[ExploredIssue, Schedule] = Field(default_factory=dict)
    immature: ImmatureBudget | None = None
    launch: LaunchBoost | None = None

    def schedule(self, issue: str) -> tuple[float, bool, float]:
        """Return (gamma, whether it grows, optimism) for the actions of an issue."""
        own = next((s for name, s in self.issues.items() if name == issue), Schedule())
        return (
            self.gamma if own.gamma is None else own.gamma,
            self.gamma_grows if own.gamma_grows is None else own.gamma_grows,
            self.optimism if own.optimism is None else own.optimism,
        )
