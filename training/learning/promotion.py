"""Promotion: the one way in which a version of a model becomes the champion that serves."""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.times import iso
from features.matrix import FeatureMatrix
from features.messages.hearing.model import KIND as HEARING
from training.fitting.frozen import check_frozen
from training.fitting.terms import check_terms
from training.learning.context import LearningContext, reads_log
from training.learning.evidence import Verdict
from training.learning.fairness import standing_guards
from training.learning.late_harm import late_harm, watch_after, watched_trial
from training.learning.trials import assess, begin, last_rollback, note_rollback, stage_of
from training.model.model import PropensityModel
from training.registry import PROPENSITY, SENTIMENT, Registry, Trial
from training.reporting.registration import Result

JUSTIFIED = "justification"
"""The tag under which a justification is kept with a version."""
SERVED = "served"
"""The tag under which a version keeps that it was champion, so that one can go back to it at any time."""
_FIRST = 3
"""Guards that a refusal names."""
_FREE = Verdict("promote", "it replaces nothing that has to be compared with it")


@dataclass(frozen=True, slots=True)
class Justification:
    """Why a version may serve against its verdict, or although groups fare differently. `by`: who says so."""

    by: str
    text: str

    def signed(self, about: str, verdict: Verdict, breached: Sequence[str], at_us: int, secret: bytes) -> str:
        """Return the JSON record that is kept with the version: the reason, what it is about, and a signature."""
        judged = {"verdict": verdict.action, "why": verdict.why, "breached": sorted(breached)}
        record = {"about": about, "by": self.by, "at": iso(at_us), "text": self.text, **judged}
        return json.dumps({**record, "signature": _signature(record, secret)})


def genuine(record: str, secret: bytes) -> bool:
    """Tell whether the record of a justification is unchanged since it was signed."""
    content = json.loads(record)
    return hmac.compare_digest(content.pop("signature"), _signature(content, secret))


def _signature(content: Mapping[str, object], secret: bytes) -> str:
    return hmac.digest(secret, json.dumps(dict(content), sort_keys=True).encode(), "sha256").hex()


@reads_log
def promote(
    context: LearningContext,
    now_us: int,
    *,
    name: str = PROPENSITY,
    version: int | None = None,
    justification: Justification | None = None,
) -> Result:
    """Make a version the champion, by default the challenger, and end its trial.

    Every promotion comes through here: by command, after a trial, a first champion, or right after training. A
    propensity model must pass the fairness guards, on the log of decisions as it is now, and its own verdict. Whoever
    promotes it nevertheless says why; that is kept with the version.

    :raises Refused: there is no challenger; it serves already; its verdict is not to promote it, or groups fare too
        differently, and nobody justifies it; nobody else approved it, where that is asked for; the release does not
        declare what the model reads, or asks for another one; or a model of messages does not beat the built-in scorer
    :raises NotFound: there is no such version
    """
    registry = context.registry
    chosen = version if version is not None else _challenger(registry, name)
    before = registry.alias_version(name, "champion")
    if chosen == before:
        raise Refused(f"{name}@{chosen} serves already: there is nothing to promote")
    _check_model(registry, context.release, name, chosen)
    breached = breached_groups(context, now_us, chosen) if name == PROPENSITY else []
    if breached and justification is None:
        raise _unfair(breached)
    verdict = _verdict(context, now_us, chosen) if name == PROPENSITY else _FREE
    if verdict.action != "promote" and justification is None:
        raise _not_shown_better(f"{name}@{chosen}", verdict)
    permit = context.permit(name, chosen, against_verdict=bool(breached) or verdict.action != "promote")
    if justification is not None:
        record = justification.signed(f"{name}@{chosen}", verdict, breached, now_us, context.secret)
        registry.write_note(name, chosen, JUSTIFIED, record)
    trial = registry.lineup(name).trial
    if trial is not None and name == PROPENSITY and trial.version == chosen and verdict.action != "roll back":
        watch_after(context, trial, before, now_us)
    registry.set_alias(name, "champion", chosen, permit)
    for served in (chosen, *([] if before is None else [before])):
        registry.write_note(name, served, SERVED, iso(now_us))
    if name == PROPENSITY and trial is not None:
        _end_or_begin_anew(registry, trial, chosen, now_us)
    return {"model": f"{name}@{chosen}", "name": name, "version": chosen, "before": before}


def _verdict(context: LearningContext, now_us: int, version: int) -> Verdict:
    """Return what is shown of a propensity version that would replace the champion, on the log as it was last updated.

    A first champion replaces only the catalogue's priors, and one can always go back to a version that served.
    """
    registry = context.registry
    lineup = registry.lineup(PROPENSITY)
    if lineup.champion is None or registry.read_note(PROPENSITY, version, SERVED) is not None:
        return _FREE
    if lineup.trial is None or lineup.trial.version != version:
        if ended := last_rollback(registry, version):
            return Verdict("roll back", ended)
        return Verdict("wait", "it has not been tried beside the champion (brain trial --share 0.5)")
    verdict, _ = assess(context, now_us)
    if verdict.action == "promote" and stage_of(lineup.trial) == "shadow":
        return Verdict("wait", "it has been in shadow alone, where it decided nothing (brain trial --share 0.5)")
    return verdict


def _not_shown_better(model: str, verdict: Verdict) -> Refused:
    return Refused(
        f"the verdict on {model} is `{verdict.action}`: {verdict.why}; leave the champion, or give a reason that is "
        'kept with your name: brain promote --justify "…"'
    )


def _unfair(breached: Sequence[str]) -> Refused:
    return Refused(
        f"groups fare too differently ({'; '.join(breached[:_FIRST])}; between 0.80 and 1.25 is fair): change what "
        'causes it, or give a reason that is kept with your name: brain promote --justify "…"'
    )


def _challenger(registry: Registry, name: str) -> int:
    version = registry.alias_version(name, "challenger")
    if version is None:
        raise Refused(f"{name} has no challenger: train one, or name a version")
    return version


def breached_groups(context: LearningContext, now_us: int, version: int) -> list[str]:
    """Return the breached fairness guards of a propensity version, each with its ratio.

    The log of decisions is brought up to date first. A version that has decided too little to be told apart, such as a
    first champion, is judged by all recent decisions, whoever made them.
    """
    log = context.updated_log(now_us)
    guards = standing_guards(log, context.release, now_us, f"{PROPENSITY}@{version}")
    return [f"{g.name} {g.value:.2f}" for g in guards if g.state == "breached"]


def _check_model(registry: Registry, release: Release, name: str, version: int) -> None:
    if name == HEARING:
        if not registry.load_hearing(version).is_of_these_words:
            raise Refused(f"{name}@{version} was trained by an earlier version, which listed other words: train again")
        return
    if name.startswith(f"{SENTIMENT}-"):
        if not registry.load_sentiment(name, version).wins:
            raise Refused(f"{name}@{version} does not beat the built-in scorer: label more messages and train again")
        return
    declared, model = set(FeatureMatrix(release.schema).names), registry.load(name, version)
    missing = [f for f in model.feature_names if f not in declared]
    if missing:
        few = ", ".join(missing[:5])
        raise Refused(f"{name}@{version} reads what this release does not declare ({few}): train again")
    if name == PROPENSITY:
        check_terms(model, release, f"{name}@{version}")
        check_frozen(model, champion_model(registry), release, f"{name}@{version}")


def champion_model(registry: Registry) -> PropensityModel | None:
    """Return the propensity model that serves, or None before the first champion."""
    version = registry.alias_version(PROPENSITY, "champion")
    return None if version is None else registry.load(PROPENSITY, version)


def _end_or_begin_anew(registry: Registry, trial: Trial, champion: int, now_us: int) -> None:
    """End the trial of a version that serves now; begin that of another one anew, as it has another champion beside
    it."""
    if trial.version == champion:
        registry.set_trial(PROPENSITY, None)
    else:
        begin(registry, trial.version, trial.share, now_us)


def go_back_from_harm(context: LearningContext, now_us: int) -> str | None:
    """Let the champion before serve again if its successor's trial turns out to have done harm. Return why, or None.

    Complaints come for weeks, so decisions of a trial go on being watched after it ended in promotion, until no
    complaint about them counts any more.
    """
    registry = context.registry
    watched = watched_trial(registry, now_us)
    if watched is None:
        return None
    why = late_harm(context, watched, now_us)
    if why is None:
        return None
    registry.set_alias(
        PROPENSITY, "champion", watched.before, context.permit(PROPENSITY, watched.before, from_harm=True)
    )
    note_rollback(registry, watched.trial.version, why, now_us)
    if (trial := registry.lineup(PROPENSITY).trial) is not None:
        _end_or_begin_anew(registry, trial, watched.before, now_us)
    return why
