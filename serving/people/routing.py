"""Advice on who should help: agents ranked for one who waits, for a system that has its own queue."""

from collections.abc import Mapping
from typing import Any, Final

from decisioning.facts.standing_rules import NO_PAST
from decisioning.routing.people import Roster, Waiting
from decisioning.routing.ranking import Ranked, Staff, rank, urgency_s
from decisioning.routing.rules import rules_of
from decisioning.routing.staffing import agent_of, presence_of, waiting_of
from decisioning.routing.work import AgentWork
from decisioning.times import microseconds
from features.handovers.agents import read_agents
from features.ledger import now_us
from serving.brain.runtime import Brain
from serving.people.forms import RoutingIn, WaitingIn
from serving.people.handovers import REQUIREMENTS, about_now, row_of

Json = dict[str, Any]
MAX_RANKED: Final = 50
LATE: Final[Json] = {
    "in_time": False,
    "ranked": [],
    "failed": [],
    "relaxes_in_s": None,
    "urgency_s": None,
    "held_for": None,
    "most_upset": [],
}
"""What is answered where no advice came in time: the caller's own order holds."""
_PARTS: Final = {
    "proficiency": "proficient in this skill",
    "known_agent": "knows the customer",
    "idle": "had nothing to do",
    "keep_free": "is kept free for calls",
    "fill": "holds conversations on this channel already",
    "capacity": "holds more or fewer at once on this channel than on others",
    "versatile": "has skills, languages or training that others need",
    "upset_in_a_row": "had upset customers before",
}


def staff_of(brain: Brain, now: int, *, own: bool = False) -> Staff:
    """Return all agents at one moment. `own`: who was not heard of within the stated time gets nothing."""
    routing = brain.snapshot.release.catalogue.routing
    silent_us = now - round(routing.heartbeat_s * 1_000_000)
    agents = read_agents(brain.ledger)
    folds = brain.ledger.read(*(one.stream for one in agents), rules=NO_PAST)
    roster = Roster([agent_of(one.id, one.stated) for one in agents])
    presences = [
        presence_of(agent, fold.work or AgentWork(), now, alive=not own or one.heartbeat_us >= silent_us)
        for agent, one, fold in zip(roster.agents, agents, folds, strict=True)
    ]
    return Staff(roster, presences, now, rules_of(routing))


def advise(brain: Brain, asked: RoutingIn) -> Json:
    """Rank the agents for one who waits, with reasons, and say of each other agent which requirement fails.

    :raises NotFound: there is no such handover
    """
    now = now_us()
    return ranked_json(_who(brain, asked, now), staff_of(brain, now))


def ranked_json(who: Waiting, staff: Staff) -> Json:
    """Return the ranking as JSON types."""
    ranking, held = rank(who, staff), staff.held_for(who)
    lacking = sorted(ranking.lacking.items())
    failed = [{"agent_id": name, "requirement": why, "text": REQUIREMENTS[why]} for name, why in lacking]
    return {
        "in_time": True,
        "ranked": [_ranked(one) for one in ranking.ranked[:MAX_RANKED]],
        "failed": failed,
        "relaxes_in_s": ranking.relaxes_in_s,
        "held_for": None if held is None else staff.roster.agents[held].id,
        "most_upset": [a.id for a, rested in zip(staff.roster.agents, staff.rested, strict=True) if not rested],
        "urgency_s": round(ranking.ranked[0].score_s if ranking.ranked else urgency_s(who, staff), 1),
    }


def _ranked(one: Ranked) -> Json:
    parts = {name: round(seconds, 1) for name, seconds in one.parts.items() if seconds and name in _PARTS}
    reasons = [f"{_PARTS[name]}: {seconds:+g} s" for name, seconds in parts.items()]
    return {"agent_id": one.agent, "score_s": round(one.score_s, 1), "reasons": reasons}


def _who(brain: Brain, asked: RoutingIn, now: int) -> Waiting:
    voice = brain.snapshot.release.catalogue.routing.voice
    if asked.waiting is not None:
        since_us = now if asked.waiting.since is None else min(microseconds(asked.waiting.since), now)
        return waiting_of(asked.waiting.conversation_id, since_us, _about(asked.waiting), voice)
    row = row_of(brain, asked.handover_id or "")
    return waiting_of(row.id, row.waits_us, about_now(brain.ledger, row), voice)


def _about(waiting: WaitingIn) -> Mapping[str, Any]:
    return {**waiting.model_dump(), "no_voice": not waiting.call}
