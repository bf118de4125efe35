"""`brain retrain`: one step of learning. A trial is judged; without a trial, a new challenger is trained."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from decisioning.errors import Refused
from decisioning.times import iso
from features.decisions.log import Progress
from training.fitting.propensity import Recipe
from training.learning.context import LearningContext, reads_log
from training.learning.evidence import Verdict
from training.learning.late_harm import watched_trial
from training.learning.promotion import go_back_from_harm, promote
from training.learning.trials import assess, begin, roll_back, stage_of
from training.learning.workflow import evaluate, train
from training.registry import PROPENSITY, Trial, propensity_name
from training.reporting.registration import Result

Rule = Literal["ask", "rule"]
"""Who takes the next step of a trial: with `rule` a challenger goes on by itself once it may; with `ask` the command to
run is returned instead."""


@reads_log
def retrain(
    context: LearningContext,
    now_us: int,
    *,
    rule: Rule = "ask",
    share: float = 0.5,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> Result:
    """Bring the log of decisions up to date, and take the next step of learning. Rolling back never asks, and nor does
    the end of a trial that is not worth going on with, after which the next step trains anew.

    Without a trial, a challenger is trained, evaluated and put in shadow. After long enough in shadow it gets a share
    of decisions. Once it is shown to be better and to do no harm, it becomes the champion.

    :param share: the share of decisions that a challenger gets after its time in shadow
    :raises Refused: there is too little to learn from; or groups fare too differently to promote it
    """
    context.updated_log(now_us, progress)
    trial = context.registry.lineup(PROPENSITY).trial
    if trial is None:
        return _new_challenger(context, now_us, recipe, progress)
    verdict, summary = assess(context, now_us)
    step = _next_step(context, trial, verdict, now_us, rule, share)
    return {**summary, "verdict": verdict.action, "why": verdict.why, "did": step}


def guard(context: LearningContext, now_us: int) -> Result:
    """Bring the log of decisions up to date, and roll back what does harm: the trial, or a champion whose own trial
    shows harm after its promotion. Change nothing else.

    May be called as often as one likes: each guardrail's evidence holds however often one looks.
    """
    registry = context.registry
    if registry.lineup(PROPENSITY).trial is None and watched_trial(registry, now_us) is None:
        return {"did": "nothing: no challenger is on trial"}
    context.updated_log(now_us)
    champion = propensity_name(registry.lineup(PROPENSITY).champion)
    if why := go_back_from_harm(context, now_us):
        back = f"rolled back: {propensity_name(registry.lineup(PROPENSITY).champion)} serves again"
        return {"at": iso(now_us), "model": champion, "stage": "champion", "why": why, "did": back}
    trial = registry.lineup(PROPENSITY).trial
    if trial is None:
        return {"at": iso(now_us), "model": champion, "stage": "champion", "why": "no harm is shown", "did": "nothing"}
    verdict, summary = assess(context, now_us)
    harm = verdict.action == "roll back"
    step = roll_back(context.registry, trial, verdict.why, now_us) if harm else "nothing"
    return {"at": iso(now_us), "model": summary["model"], "stage": summary["stage"], "why": verdict.why, "did": step}


def _new_challenger(context: LearningContext, now_us: int, recipe: Recipe | None, progress: Progress | None) -> Result:
    trained = train(context, now_us=now_us, recipe=recipe, progress=progress)
    try:
        value = evaluate(context, now_us=now_us, recipe=recipe, progress=progress)
        valued = {"value": value["policies"], "winner": value["winner"], "value_why": value["why"]}
        valued |= {name: value[name] for name in ("rankings", "uplift_why")}
    except Refused as refused:
        valued = {"value": [], "winner": None, "value_why": str(refused), "rankings": [], "uplift_why": str(refused)}
    trial = begin(context.registry, trained["version"], 0.0, now_us)
    return {**trained, **valued, "stage": trial["stage"], "did": "trained a challenger and put it in shadow"}


def _next_step(context: LearningContext, trial: Trial, verdict: Verdict, now_us: int, rule: Rule, share: float) -> str:
    """Take the step that the verdict allows, and return in words what was done."""
    if verdict.action == "wait":
        return "nothing"
    if verdict.action in ("roll back", "end"):
        said = "rolled back" if verdict.action == "roll back" else "ended"
        return roll_back(context.registry, trial, verdict.why, now_us, said)
    step, command = _STEPS[stage_of(trial)]
    if why := context.why_not(PROPENSITY, trial.version):
        return f"nothing: {why}"
    if rule == "ask":
        return f"nothing: run `{command.format(share=share)}` if you agree"
    return step(context, trial.version, now_us, share)


def _give_share(context: LearningContext, version: int, now_us: int, share: float) -> str:
    begin(context.registry, version, share, now_us, partial(context.permit, PROPENSITY))
    return f"gave it {share:.0%} of decisions"


def _make_champion(context: LearningContext, version: int, now_us: int, share: float) -> str:
    promoted = promote(context, now_us, version=version)
    return f"promoted {promoted['model']}"


_STEPS: dict[str, tuple[Callable[[LearningContext, int, int, float], str], str]] = {
    "shadow": (_give_share, "brain trial --share {share}"),
    "share": (_make_champion, "brain promote"),
}
"""By stage: the step that comes next, and the command that takes it."""
