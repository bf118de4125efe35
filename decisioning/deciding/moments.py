"""Whether a moment happens: its rule over what is known now, as a decision would see it."""

from decisioning.catalogue.actions import EMOTION
from decisioning.catalogue.release import Release
from decisioning.deciding.contact import history_of
from decisioning.deciding.engine import facts_for, permissions_for
from decisioning.deciding.ethics import readable
from decisioning.facts.forms import Ask, Known


def happens(release: Release, ask: Ask, known: Known, now_us: int) -> bool:
    """Whether the moment that `ask` names is TRUE; unknown is not. Raises NotFound for one that is not released."""
    rule = release.rule(release.moment(ask.moment or "").when)
    felt = permissions_for(ask, known, release, now_us=now_us).get(EMOTION)
    facts = readable(release, facts_for(ask, known, release, now_us), felt)
    return rule.truth(facts, history_of(release, known, now_us)) is True
