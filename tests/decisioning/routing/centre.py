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
        self.presences = [Presence(a, 0, available=False) for a in self.roster.agents]

    def __call__(self, now_s: float, waiting: Sequence[Any], agents: Sequence[Any]) -> list[tuple[Any, Any]]:
        self.presences = [replace(p, available=False) for p in self.presences]
        for agent in agents:
            place = self.roster.place[agent.id]
            self.presences[place] = _presence(self.roster.agents[place], agent)
        staff = Staff(self.roster, self.presences, _us(now_s), self.rules)
        customers, free = {c.id: c for c in waiting}, {a.id: a for a in agents}
        given = assign([_waiting(c) for c in waiting], staff)
        return [(customers[who.id], free[presence.agent.id]) for who, presence in given]


def _us(seconds: float) -> int:
    return int(seconds * 1e6)


def _agent(told: Any) -> Agent:
    capacity = {"chat": told.chats, "voice": 1}
    shift = _us(told.from_s), _us(told.until_s)
    return Agent(told.id, told.languages, told.proficiency, told.trained, capacity, *shift)


def _presence(agent: Agent, told: Any) -> Presence:
    held = {"voice": 1} if told.calling else {"chat": told.busy}
    return Presence(agent, _us(told.idle_since_s), held, told.upset_in_a_row)


def _waiting(told: Any) -> Waiting:
    helps = told.issue in {"fault", "payment", "complaint"} or "vulnerable" in told.needs
    return Waiting(
        told.id,
        _us(told.at_s),
        told.issue,
        told.language,
        told.channel,
        helps=helps,
        upset=told.upset,
        needs=told.needs,
        knows=told.knows,
    )
