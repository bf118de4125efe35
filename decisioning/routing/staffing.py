"""Agents and who waits for them, made of what is stated and recorded of them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from decisioning.routing.people import Agent, Presence, Waiting
from decisioning.routing.work import AgentWork

ANY: Final = ""
"""The skill and the language of who waits for just anybody; every agent has both."""
_ALWAYS_US: Final = (0, 2**62)


def agent_of(agent_id: str, stated: Mapping[str, Any]) -> Agent:
    """Return an agent as they are stated; one whose shift is not stated is always on shift."""
    starts_us, ends_us = (stated.get("shift_starts_us"), stated.get("shift_ends_us"))
    return Agent(
        agent_id,
        frozenset((ANY, *stated.get("languages", ()))),
        {ANY: 0.0, **stated.get("proficiency", {})},
        frozenset(stated.get("trained", ())),
        stated.get("capacity", {}),
        _ALWAYS_US[0] if starts_us is None else starts_us,
        _ALWAYS_US[1] if ends_us is None else ends_us,
    )


def presence_of(agent: Agent, work: AgentWork, now_us: int, *, alive: bool = True) -> Presence:
    """Return what an agent is busy with. `alive`: their screen was heard of lately."""
    available = alive and work.state_at(now_us) == "available"
    return Presence(agent, work.idle_since_us, work.conversations(), work.upset_in_a_row, available)


def waiting_of(name: str, since_us: int, about: Mapping[str, Any], voice: Collection[str]) -> Waiting:
    """Return who waits, of what the record of a handover says. `voice`: the channels on which people speak."""
    return Waiting(
        name,
        since_us,
        about.get("skill") or ANY,
        (about.get("language") or ANY).partition("-")[0],
        about["channel"],
        helps=bool(about.get("helps")),
        upset=bool(about.get("upset")),
        needs=frozenset(about.get("needs", ())),
        knows=about.get("knows"),
        cannot_phone=bool(about.get("no_voice")) and about["channel"] in voice,
        first=bool(about.get("first")),
    )


def room_beside(agent: Agent, held: Iterable[str], channel: str) -> int:
    """Return how many more conversations on a channel an agent can hold beside others, on these channels."""
    counts: dict[str, int] = {}
    for one in held:
        counts[one] = counts.get(one, 0) + 1
    return Presence(agent, 0, counts).room(channel)
