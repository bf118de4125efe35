"""In the customer's interest: what may be computed about them, and the layer that lets emotion help but never sell.

The protections (hardship, vulnerability, complaint, …) are deny gates of the release; see `release._gates`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from decisioning.actions import PROFILING
from decisioning.arbitration import NOTHING, Pick
from decisioning.consent import Permission
from decisioning.release import Release, View
from decisioning.rules import History
from decisioning.schema import Facts


@dataclass(frozen=True)
class Mood:
    """What the emotion layer asks for: no sales, a tone, a person to take over."""

    silence_sales: bool = False
    tone: str | None = None
    handover: str | None = None


def may_profile(permissions: Mapping[str, Permission], facts: Facts) -> bool:
    """Whether a personal score may be computed: profiling is allowed, and no Global Privacy Control forbids it."""
    allowed = permissions.get(PROFILING)
    return allowed is not None and allowed.allowed and facts.get("gpc") is not True


def mood(release: Release, facts: Facts, history: History) -> Mood:
    """What the release's emotion rules say; a rule that is not TRUE says nothing."""
    felt = [rule for rule, when in release.emotion if when.truth(facts, history) is True]
    return Mood(
        silence_sales=any(r.silence_sales for r in felt),
        tone=next((r.tone for r in felt if r.tone), None),
        handover=next((r.handover for r in felt if r.handover), None),
    )


def apply(felt: Mood, picks: Sequence[Pick], view: View) -> list[Pick]:
    """The slate after the emotion layer: it takes sales out, adds none, and leaves everything computed as it was."""
    if not felt.silence_sales:
        return list(picks)
    return [Pick(p.slot, NOTHING, p.probability) if _sells(p, view) else p for p in picks]


def _sells(pick: Pick, view: View) -> bool:
    return pick.candidate != NOTHING and bool(view.commercial[pick.candidate])
