"""`brain report`: bring the log of decisions up to date, and summarise it for people and for other tools."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from decisioning.errors import NotFound, Refused
from decisioning.times import iso
from features.approvals.door import gone_round
from training.evaluation.localized import fields, localized
from training.learning.context import LearningContext, reads_log
from training.learning.fairness import fairness_guards, fairness_said
from training.learning.rankings import last_rankings
from training.learning.trials import assess
from training.registry import PROPENSITY, Registry, propensity_name
from training.reporting.attention import cannot_tell, look_at
from training.reporting.cards import CARD, of_action
from training.reporting.customers.discounts import discounts
from training.reporting.imported import imported_contacts
from training.reporting.monitoring import watch
from training.reporting.pdstools import write_tables
from training.reporting.registration import Result
from training.reporting.suggestions import suggestions


@reads_log
def report(context: LearningContext, now_us: int) -> Result:
    """Return every section of the report, as plain JSON types."""
    log, release = context.updated_log(now_us), context.release
    champion = context.registry.lineup(PROPENSITY).champion
    sections = {
        "at": iso(now_us),
        "release": release.hash,
        "model": propensity_name(champion),
        **watch(log, release, now_us),
        **imported_contacts(log, release),
        **suggestions(log, release, now_us),
        "fairness": [asdict(g) for g in fairness_guards(log, release, now_us)],
        **fields("fairness_said", fairness_said(log, release, now_us)),
        **discounts(log, release, now_us),
        **_trial(context, now_us),
        **_rankings(context),
        **_card(context.registry, champion),
        "without_approval": gone_round(context.ledger, context.door.environment),
    }
    return {"look_at": look_at(sections), **fields("cannot_tell", cannot_tell(sections)), **sections}


def _trial(context: LearningContext, now_us: int) -> dict[str, Any]:
    if context.registry.lineup(PROPENSITY).trial is None:
        return {}
    verdict, summary = assess(context, now_us)
    said = summary.pop("rests_on", None)  # in shadow there is no figure
    return {"trial": [{**summary, "verdict": verdict.action, "why": verdict.why}], "trial_said": said}


def _rankings(context: LearningContext) -> dict[str, Any]:
    """Return the comparison of the last `brain evaluate` or `brain retrain`: a new one takes a training."""
    last = last_rankings(context.data)
    if not last:
        return {"rankings": [], "uplift": [], **fields("rankings_said", localized("rankings-none"))}
    note = f"{last['uplift_why']}; {last['choices']} choices held out, {last['reward']}, at {last['evaluated_at']}"
    if said := last.get("uplift_said"):  # comparisons of before December 2026 do not have it
        note = f"{note}. {said}"
    return {"rankings": last["rankings"], "uplift": last["uplift"], "rankings_said": note}


def _card(registry: Registry, champion: int | None) -> dict[str, Any]:
    """Return the champion's card; nothing for a champion that was registered before cards existed."""
    if champion is None:
        return {}
    try:
        return {"card": card_of(registry, champion)}
    except NotFound:
        return {}


def card_of(
    registry: Registry, version: int | None = None, action: str | None = None, name: str | None = None
) -> Result:
    """Return the card of a version, by default the champion, else the challenger; of all its actions, or one.

    :param name: the model; by default propensity
    :raises Refused: nothing is trained yet, or the version's release had no such action
    :raises NotFound: there is no such version, or it has no card
    """
    name = name or PROPENSITY
    chosen = version or registry.alias_version(name, "champion") or registry.alias_version(name, "challenger")
    if chosen is None:
        raise Refused(f"{name} has no version yet: run `brain train`{_others(registry, name)}")
    card = {"model": f"{name}@{chosen}", **registry.document(name, chosen, CARD)}
    return card if action is None else of_action(card, action)


def _others(registry: Registry, name: str) -> str:
    """Return that there are other models, as a part of a sentence; empty if there are none."""
    others = sorted(other for other in registry.names() if other != name)
    return f", or look at another model with --model {others[0]}" if others else ""


def for_pdstools(context: LearningContext, now_us: int, folder: Path) -> list[str]:
    """Write the tables that pdstools reads, from the log as it was last updated. Return the paths of the files.

    :raises Refused: they would be empty
    """
    return [str(path) for path in write_tables(context.log, context.release, now_us, folder)]
