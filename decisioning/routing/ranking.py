"""Which agents may help who waits, and in which order.

Requirements come first and are never traded. Among those who may help, the order is by a score in seconds of waiting,
whose parts are its reasons. Nothing in it is about what a customer is worth.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisioning.lazy import lazy_property
from decisioning.routing.people import Presence, Roster, Waiting
from decisioning.routing.rules import RoutingRules

_US = 1e6
FIRST_S = 86_400.0
"""The head start, in seconds of waiting, of who goes before all others."""


@dataclass(frozen=True)
class Staff:
    """All agents at one moment. `presences`: of each agent of the roster, in its order."""

    roster: Roster
    presences: Sequence[Presence]
    now_us: int
    rules: RoutingRules

    @lazy_property
    def on_shift(self) -> NDArray[np.bool_]:
        """Bool (n_agents,): whose shift began, and lasts long enough for something new."""
        starts_us, ends_us = self.roster.shifts_us.T
        on: NDArray[np.bool_] = (starts_us <= self.now_us) & (self.now_us < ends_us - int(self.rules.last_new_s * _US))
        return on

    @lazy_property
    def rested(self) -> NDArray[np.bool_]:
        """Bool (n_agents,): who had fewer upset customers in a row than the most."""
        return np.asarray([p.upset_in_a_row < self.rules.most_upset_in_a_row for p in self.presences], dtype=np.bool_)

    def waited_s(self, waiting: Waiting) -> float:
        """Return for how long somebody has waited, in seconds."""
        return (self.now_us - waiting.since_us) / _US

    def held_for(self, waiting: Waiting) -> int | None:
        """Return the place of the agent whom a customer knows and waits for; None if they take whoever may help."""
        place = self.roster.place.get(waiting.knows or "")
        longest_s = self.rules.waits_for_known_s(helps=waiting.helps)
        if place is None or self.waited_s(waiting) >= longest_s or not self.on_shift[place]:
            return None
        return place if self.roster.qualified(waiting)[place] else None

    def too_many_upset(self, waiting: Waiting) -> NDArray[np.bool_] | None:
        """Return who is not given another upset customer as somebody else on shift may help; None if nobody is."""
        if not waiting.upset:
            return None
        fresh = self.roster.qualified(waiting) & self.on_shift & self.rested
        return ~self.rested if fresh.any() else None

    def lacking(self, waiting: Waiting, places: Iterable[int]) -> Iterator[str | None]:
        """Yield of each of these agents why they do not get this customer now; None if they may."""
        missing, too_many_upset = self.roster.missing(waiting), self.too_many_upset(waiting)
        least = self.rules.min_proficiency(waiting.skill, self.waited_s(waiting))
        for place in places:
            presence = self.presences[place]
            if missing[place]:
                yield missing[place]
            elif presence.agent.proficiency[waiting.skill] < least:
                yield "proficiency"
            elif not self.on_shift[place]:
                yield "shift"
            elif not presence.room(waiting.channel):
                yield "room"
            else:
                yield "upset_in_a_row" if too_many_upset is not None and too_many_upset[place] else None


@dataclass(frozen=True, slots=True)
class Ranked:
    """An agent who may help. `parts`: of the score, in seconds, by what they are for."""

    agent: str
    parts: Mapping[str, float]

    @property
    def score_s(self) -> float:
        """Return the sum of the parts."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class RankedAgents:
    """Agents who may help now, best first; why not each of the others; in how many seconds less is asked for."""

    ranked: tuple[Ranked, ...]
    lacking: Mapping[str, str]
    relaxes_in_s: float | None


def rank(waiting: Waiting, staff: Staff) -> RankedAgents:
    """Rank all agents for one who waits. Agents with equal scores come in the order of their ids."""
    held = staff.held_for(waiting)
    lacking: dict[str, str] = {}
    ranked = []
    places = range(len(staff.presences))
    for place, presence, requirement in zip(places, staff.presences, staff.lacking(waiting, places), strict=True):
        reason = requirement or ("known_agent" if held not in {None, place} else None)
        if reason:
            lacking[presence.agent.id] = reason
        else:
            ranked.append(
                Ranked(presence.agent.id, {"wait": urgency_s(waiting, staff), **fit(waiting, presence, staff)})
            )
    waited_s = staff.waited_s(waiting)
    relaxes = staff.rules.relaxes_in_s(waiting.skill, waited_s)
    if held is not None:
        relaxes = min(staff.rules.waits_for_known_s(helps=waiting.helps) - waited_s, relaxes or np.inf)
    return RankedAgents(tuple(sorted(ranked, key=lambda r: (-r.score_s, r.agent))), lacking, relaxes)


def urgency_s(waiting: Waiting, staff: Staff) -> float:
    """Return the wait in seconds, weighted by whether help is needed, with the head start of what is needed."""
    start_s = max((staff.rules.head_start_s.get(need, 0.0) for need in waiting.needs), default=0.0)
    start_s += FIRST_S if waiting.first else 0.0
    return (staff.rules.help_weight if waiting.helps else 1.0) * staff.waited_s(waiting) + start_s


def fit(waiting: Waiting, presence: Presence, staff: Staff) -> dict[str, float]:
    """Return what speaks for giving who waits to this agent rather than to another, in seconds of waiting."""
    rules = staff.rules
    idle_s = 0.0 if presence.busy else min((staff.now_us - presence.idle_since_us) / _US, rules.most_idle_s)
    keeps_free_s = 0.0 if presence.busy else rules.keep_free_s.get(waiting.channel, 0.0)
    agent = presence.agent
    return {
        "proficiency": rules.proficiency_s * agent.proficiency[waiting.skill],
        "known_agent": rules.known_s * (agent.id == waiting.knows),
        "idle": rules.idle_weight * idle_s,
        "keep_free": -keeps_free_s,
        "fill": rules.fill_s.get(waiting.channel, 0.0) * presence.conversations.get(waiting.channel, 0),
        "capacity": 0.0 if presence.busy else rules.capacity_s * agent.room_beyond_others(waiting.channel),
        "versatile": -rules.versatile_s * agent.not_asked_by(waiting),
        "upset_in_a_row": -rules.upset_s * presence.upset_in_a_row * waiting.upset,
    }
