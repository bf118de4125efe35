"""Whether a moment happens: its rule over what is known now, as a decision would see it."""

from decisioning.contact import history_of
from decisioning.decision import Ask, Known
from decisioning.engine import facts_for
from decisioning.release import Release


def happens(release: Release, ask: Ask, known: Known, now_us: int) -> bool:
    """Whether the moment that `ask` names is TRUE; unknown is not. Raises NotFound for one that is not released."""
    rule = release.rule(release.moment(ask.moment or "").when)
    return rule.truth(facts_for(ask, known, release, now_us), history_of(release, known, now_us)) is True
