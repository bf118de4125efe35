"""`brain retrain`: one step of learning. What is on trial is judged; where nothing is, a new challenger is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.times import iso
from features.decisions.log import LOG, DecisionLog, Progress
from features.ledger import Ledger
from training.fitting.propensity import Recipe
from training.learning.promotion import Verdict
from training.learning.trials import assess, begin, promote, roll_back, stage_of
from training.learning.workflow import evaluate, train
from training.registry import PROPENSITY, Registry, Trial
from training.reporting.reporting import Result

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

Rule = Literal["ask", "rule"]


@dataclass(frozen=True)
class LearningContext:
    """What is learned from and what is learned."""

    data: Path
    ledger: Ledger
    release: Release
    history: "History"
    registry: Registry
    secret: bytes

    @property
    def log(self) -> DecisionLog:
        """Of this workspace."""
        return DecisionLog(self.data / LOG)


def retrain(
    shop: LearningContext,
    now_us: int,
    *,
    rule: Rule = "ask",
    share: float = 0.5,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> Result:
    """Exports what the ledger has had since, and takes the next step; rolling back never asks.

    Nothing on trial: train, evaluate, put the challenger in shadow. In shadow for long enough: a share of traffic.
    Shown to be better and to do no harm: champion. `rule` takes the last two, `ask` says how.

    :raises Refused: too little to learn from
    """
    shop.log.update(shop.ledger, shop.release, now_us, progress)
    trial = shop.registry.lineup(PROPENSITY).trial
    if trial is None:
        return _learned(shop, now_us, recipe, progress)
    verdict, told = assess(shop.log, shop.registry, shop.release, now_us)
    did = _did(shop, trial, verdict, now_us, rule, share)
    return {**told, "verdict": verdict.action, "why": verdict.why, "did": did}


def guard(shop: LearningContext, now_us: int) -> Result:
    """Exports what the ledger has had since, and rolls back what is on trial if that does harm; never anything else.

    May be called as often as one likes: each guardrail's evidence holds however often one looks.
    """
    trial = shop.registry.lineup(PROPENSITY).trial
    if trial is None:
        return {"did": "nothing: no challenger is on trial"}
    shop.log.update(shop.ledger, shop.release, now_us)
    verdict, told = assess(shop.log, shop.registry, shop.release, now_us)
    harm = verdict.action == "roll back"
    did = roll_back(shop.registry, trial, verdict.why, now_us) if harm else "nothing"
    return {"at": iso(now_us), "model": told["model"], "stage": told["stage"], "why": verdict.why, "did": did}


def _learned(shop: LearningContext, now_us: int, recipe: Recipe | None, progress: Progress | None) -> Result:
    about = (shop.data, shop.ledger, shop.release, shop.history)
    made = train(*about, shop.registry, now_us=now_us, recipe=recipe, progress=progress)
    try:
        value = evaluate(*about, now_us=now_us, recipe=recipe, progress=progress)
        valued = {"value": value["policies"], "winner": value["winner"], "value_why": value["why"]}
        valued |= {name: value[name] for name in ("rankings", "uplift_why")}
    except Refused as refused:
        valued = {"value": [], "winner": None, "value_why": str(refused), "rankings": [], "uplift_why": str(refused)}
    tried = begin(shop.registry, made["version"], 0.0, now_us)
    return {**made, **valued, "stage": tried["stage"], "did": "trained a challenger and put it in shadow"}


def _did(shop: LearningContext, trial: Trial, verdict: Verdict, now_us: int, rule: Rule, share: float) -> str:
    if verdict.action == "wait":
        return "nothing"
    if verdict.action == "roll back":
        return roll_back(shop.registry, trial, verdict.why, now_us)
    step, command = _STEPS[stage_of(trial)]
    if rule == "ask":
        return f"nothing: run `{command.format(share=share)}` if you agree"
    return step(shop, trial.version, now_us, share)


def _to_share(shop: LearningContext, version: int, now_us: int, share: float) -> str:
    begin(shop.registry, version, share, now_us)
    return f"gave it {share:.0%} of decisions"


def _to_champion(shop: LearningContext, version: int, now_us: int, share: float) -> str:
    made = promote(shop.log, shop.registry, shop.release, now_us, secret=shop.secret, version=version)
    return f"promoted {made['model']}"


_STEPS: dict[str, tuple[Callable[[LearningContext, int, int, float], str], str]] = {
    "shadow": (_to_share, "brain trial --share {share}"),
    "share": (_to_champion, "brain promote"),
}
