"""What the commands that learn work on: the stores of one workspace, the release that serves and the models."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from decisioning.catalogue.files import read, unpack
from decisioning.catalogue.release import Release
from decisioning.review.approval import Permit
from features.approvals.door import Door
from features.decisions.log import LOG, DecisionLog, Progress
from features.ledger import Ledger
from training.evaluation.policies import Reward
from training.registry import Registry
from training.rows.logged import ReleaseOf

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

Asked = ParamSpec("Asked")
Returned = TypeVar("Returned")


@dataclass(frozen=True, slots=True)
class TrialRules:
    """How trials are judged.

    `reward`: `value_eur` compares what decisions earn in euros, `outcome` how many lead to a positive outcome; of
    either, only what is commercial counts. A trial ends once it is shown that the challenger does not bring
    `worthwhile_gain` (a share of what the champion brings) more, or when the windows of the decisions of `longest_days`
    have closed and nothing is shown.
    """

    reward: Reward = "value_eur"
    worthwhile_gain: float = 0.05
    longest_days: float = 60.0


@dataclass(frozen=True)
class LearningContext:
    """Everything that training, evaluation, trials, promotion and reports read from or write to.

    `data` is the workspace's data folder, `release` the one that serves, and `secret` the workspace's key, with which
    justifications are signed. `rules`: how trials are judged. `door`: what a model passes before it makes decisions.
    """

    data: Path
    ledger: Ledger
    release: Release
    history: "History"
    registry: Registry
    secret: bytes
    rules: TrialRules = TrialRules()
    door: Door = field(kw_only=True)

    def permit(self, name: str, version: int, *, against_verdict: bool = False, from_harm: bool = False) -> Permit:
        """Return the permit that a version makes decisions; raises Refused with what to do if it is not approved.

        Parameters as of `Door.for_model`.
        """
        model, content = f"{name}@{version}", self.registry.content(name, version)
        return self.door.for_model(model, content, against_verdict=against_verdict, from_harm=from_harm)

    def why_not(self, name: str, version: int) -> str | None:
        """Return why a version may not make decisions yet, and what to do, or None; whoever asks first proposed it."""
        return self.door.why_not_model(f"{name}@{version}", self.registry.content(name, version))

    @cached_property
    def log(self) -> DecisionLog:
        """The workspace's log of decisions, as it was last updated."""
        return DecisionLog(self.data / LOG)

    @cached_property
    def release_of(self) -> ReleaseOf:
        """Return a stored release by its hash, unchecked: an old release need not meet today's checks."""
        return lru_cache(lambda digest: Release(read(unpack(self.ledger.get_release(digest))), digest))

    def updated_log(self, now_us: int, progress: Progress | None = None) -> DecisionLog:
        """Bring the log of decisions up to date with the ledger, and return it."""
        self.log.update(self.ledger, self.release, now_us, progress)
        return self.log


def reads_log(
    work: Callable[Concatenate[LearningContext, Asked], Returned],
) -> Callable[Concatenate[LearningContext, Asked], Returned]:
    """Let the queries of a step of learning share what each would otherwise make anew, see `DecisionLog.reading`."""

    @wraps(work)
    def reading(context: LearningContext, /, *args: Asked.args, **named: Asked.kwargs) -> Returned:
        with context.log.reading():
            return work(context, *args, **named)

    return reading
