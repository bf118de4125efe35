"""`brain report`: the log brought up to date, looked through, and written down for people and for other tools."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from decisioning.errors import NotFound, Refused
from decisioning.times import iso
from training.learning.rankings import last_rankings
from training.learning.retrain import LearningContext
from training.learning.trials import assess, fairness
from training.registry import PROPENSITY, Registry, propensity_name
from training.reporting.cards import CARD, of_action
from training.reporting.monitoring import watch
from training.reporting.page import write_page
from training.reporting.pdstools import write_tables
from training.reporting.reporting import Result


def report(shop: LearningContext, now_us: int, page: Path) -> Result:
    """What there is to see, and the page that shows it."""
    shop.log.update(shop.ledger, shop.release, now_us)
    champion = shop.registry.lineup(PROPENSITY).champion
    told = {
        "release": shop.release.hash,
        "model": propensity_name(champion),
        **watch(shop.log, shop.release, now_us),
        "fairness": [asdict(g) for g in fairness(shop.log, shop.release, now_us)],
        **_trial(shop, now_us),
        **_rankings(shop),
        **_card(shop, champion),
    }
    return {**told, "page": str(write_page(page, told, iso(now_us)))}


def _trial(shop: LearningContext, now_us: int) -> dict[str, Any]:
    if shop.registry.lineup(PROPENSITY).trial is None:
        return {}
    verdict, told = assess(shop.log, shop.registry, shop.release, now_us)
    return {"trial": [{**told, "verdict": verdict.action, "why": verdict.why}]}


def _rankings(shop: LearningContext) -> dict[str, Any]:
    """Of the last `brain evaluate` or `brain retrain`: a comparison takes a training, and is not made for a page."""
    found = last_rankings(shop.data)
    if not found:
        return {"rankings": [], "uplift": [], "rankings_said": "nothing was compared yet: run `brain evaluate`"}
    said = f"{found['uplift_why']}; {found['choices']} choices held out, {found['reward']}, at {found['evaluated_at']}"
    return {"rankings": found["rankings"], "uplift": found["uplift"], "rankings_said": said}


def _card(shop: LearningContext, champion: int | None) -> dict[str, Any]:
    """Of the champion; of one from before there were cards, nothing."""
    if champion is None:
        return {}
    try:
        return {"card": card_of(shop.registry, champion)}
    except NotFound:
        return {}


def card_of(registry: Registry, version: int | None = None, action: str | None = None) -> Result:
    """The card of a version: the one named, else the champion, else the challenger; of all its actions, or one.

    :raises Refused: nothing is trained yet, or the version's release had no such action
    :raises NotFound: there is no such version, or it has no card
    """
    found = (
        version or registry.alias_version(PROPENSITY, "champion") or registry.alias_version(PROPENSITY, "challenger")
    )
    if found is None:
        raise Refused(f"{PROPENSITY} has no version yet: run `brain train`")
    card = {"model": f"{PROPENSITY}@{found}", **registry.document(PROPENSITY, found, CARD)}
    return card if action is None else of_action(card, action)


def for_pdstools(shop: LearningContext, now_us: int, folder: Path) -> list[str]:
    """The files that were written."""
    return [str(path) for path in write_tables(shop.log, shop.release, now_us, folder)]
