"""Whether a moment happens: its rule over what is known now, as a decision would see it."""

from decisioning.catalogue.actions import EMOTION
from decisioning.catalogue.release import Release
from decisioning.deciding.case import undrawn_case
from decisioning.deciding.ethics import readable
from decisioning.deciding.screening import permissions_of
from decisioning.facts.forms import Ask, Known


def happens(release: Release, ask: Ask, known: Known, now_us: int) -> bool:
    """Tell whether the moment that `ask` names is TRUE; UNKNOWN is not. Raises NotFound if it is not released."""
    rule = release.rule(release.moment(ask.moment or "").when)
    case = undrawn_case(ask, known, release, now_us)
    served = case.facts()
    facts = readable(release, served, permissions_of(case, served).get(EMOTION))
    return rule.truth(facts, case.history) is True
