"""Harm that shows after a promotion: decisions of the trial are watched until no complaint about them counts."""

import json
from dataclasses import asdict, dataclass

from features.decisions.labels import longest_window_us
from training.learning.context import LearningContext
from training.learning.trials import Compared, drawn_decisions, harm_guards
from training.registry import PROPENSITY, WATCHED, Registry, Trial, propensity_name


@dataclass(frozen=True, slots=True)
class WatchedTrial:
    """A trial that ended in promotion, the champion before, and until when its decisions are watched."""

    trial: Trial
    before: int
    until_us: int


def watch_after(context: LearningContext, trial: Trial, before: int | None, now_us: int) -> None:
    """Begin to watch the decisions of a trial that ends with its challenger's promotion.

    Where there was no champion before, there is nothing to go back to, and nothing is watched.
    """
    if trial.share == 0.0 or before is None:
        return
    watched = WatchedTrial(trial, before, now_us + longest_window_us(context.release))
    context.registry.write_note(PROPENSITY, trial.version, WATCHED, json.dumps(asdict(watched)))


def watched_trial(registry: Registry, now_us: int) -> WatchedTrial | None:
    """Return the trial from which the champion was promoted, as long as it is watched."""
    champion = registry.alias_version(PROPENSITY, "champion")
    note = None if champion is None else registry.read_note(PROPENSITY, champion, WATCHED)
    if note is None:
        return None
    content = json.loads(note)
    watched = WatchedTrial(Trial(**content["trial"]), content["before"], content["until_us"])
    return watched if now_us < watched.until_us else None


def late_harm(context: LearningContext, watched: WatchedTrial, now_us: int) -> str | None:
    """Return which harm the decisions of a watched trial show by now, or None. The log is taken as it is."""
    compared = Compared(watched.trial, propensity_name(watched.before))
    decisions = drawn_decisions(context.log, context.release, compared, now_us)
    breached = [guard.name for guard in harm_guards(decisions, watched.trial) if guard.state == "breached"]
    return f"breached after its promotion: {', '.join(breached)}" if breached else None
