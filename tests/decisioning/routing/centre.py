"""The simulated contact centre under `../shared`, played with the product's routing."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from decisioning.routing.matching import assign
from decisioning.routing.people import Agent, Presence, Roster, Waiting
from decisioning.routing.ranking import Staff
from decisioning.routing.rules import RoutingRules
from tests.training.conftest import shared


def contact_centre() -> ModuleType:
    """Return the module of the simulated day; its dataclasses look for themselves among the imported modules."""
    name = "contact_centre"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, shared("worlds") / "contact_centre.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


class Router:
    """Routes as the product does. Agents without room are not told of, and count as on shift."""

    def __init__(self, day: Any, rules: RoutingRules | None = None) -> None:
        self.rules = rules or RoutingRules()
        self.roster = Roster([_agent(a) for a in day.agents])
        self.without_room = [Presence(a, 0, available=False) for a in self.roster.agents]
        self.presences = self.without_room
        self.told = day.agents
        self.now_s = 0.0
        self.avoidable = 0
        """How often an agent got a fifth upset customer in a row though somebody else on shift might have helped."""

    def __call__(self, now_s: float, waiting: Sequence[Any], agents: Sequence[Any]) -> list[tuple[Any, Any]]:
        self.presences = list(self.without_room)
        for agent in agents:
            place = self.roster.place[agent.id]
            self.presences[place] = _presence(self.roster.agents[place], agent)
        staff = Staff(self.roster, self.presences, _us(now_s), self.rules)
        customers, free = {c.id: c for c in waiting}, {a.id: a for a in agents}
        self.now_s = now_s
        given = self.matched([_waiting(c) for c in waiting], staff, agents, waiting)
        for who, agent in given:
            self.avoidable += self._is_avoidable(who, customers[who.id], agent, now_s)
            self._count(who, agent)
        return [(customers[who.id], free[agent]) for who, agent in given]

    def matched(self, waiting: Sequence[Waiting], staff: Staff, free: Sequence[Any], asked: Sequence[Any]) -> list[Any]:
        """Return (who waits, agent's id) pairs. `free` and `asked`: agents and customers of the simulated day."""
        return [(who, presence.agent.id) for who, presence in assign(waiting, staff)]

    def _is_avoidable(self, who: Waiting, customer: Any, agent: str, now_s: float) -> bool:
        if not who.upset or self.presences[self.roster.place[agent]].upset_in_a_row < 4:
            return False
        others = (a for a in self.told if a.may(customer) and a.from_s <= now_s < a.until_s)
        return any(self.presences[self.roster.place[a.id]].upset_in_a_row < 4 for a in others)

    def _count(self, who: Waiting, agent: str) -> None:
        """Count a customer who was given to an agent, who may not have room, and be told of, before others come."""
        place = self.roster.place[agent]
        streak = self.presences[place].upset_in_a_row + 1 if who.upset else 0
        self.presences[place] = replace(self.presences[place], upset_in_a_row=streak)
        self.without_room[place] = replace(self.without_room[place], upset_in_a_row=streak)


def _us(seconds: float) -> int:
    return int(seconds * 1e6)


def _agent(told: Any) -> Agent:
    capacity = {"chat": told.chats, "voice": 1}
    shift = _us(told.from_s), _us(told.until_s)
    return Agent(told.id, told.languages, told.proficiency, told.trained, capacity, *shift)


def _presence(agent: Agent, told: Any) -> Presence:
    held = {"voice": 1} if told.calling else {"chat": told.busy}
    return Presence(agent, _us(told.idle_since_s), held, told.upset_in_a_row)


def helps(told: Any) -> bool:
    """Tell whether a customer of the simulated day needs help, rather than something to buy."""
    return told.issue in {"fault", "payment", "complaint"} or "vulnerable" in told.needs


def _waiting(told: Any) -> Waiting:
    return Waiting(
        told.id,
        _us(told.at_s),
        told.issue,
        told.language,
        told.channel,
        helps=helps(told),
        upset=told.upset,
        needs=told.needs,
        knows=told.knows,
    )
