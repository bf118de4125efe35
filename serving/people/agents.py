"""Agents: what is stated of them, what they do now, and everything that is held of them."""

from collections.abc import Iterator
from typing import Any, Final

from decisioning.errors import Conflict, Erased, NotFound, OutOfScope, RequestError, Unavailable
from decisioning.facts.handovers import WITH_AGENT
from decisioning.facts.standing_rules import NO_PAST
from decisioning.routing.opening import step_body
from decisioning.routing.work import AgentWork
from decisioning.times import days_us, iso, microseconds
from features.handovers.agents import StatedAgent, find_agent, put_agent, read_agents
from features.handovers.slots import agent_stream, step_entry
from features.ledger import Entry, now_us
from features.ledger.people.rows import step_key
from features.ledger.records import PERISHING
from serving.access.callers import Caller
from serving.brain.runtime import ATTEMPTS, Brain
from serving.people.forms import AgentIn
from serving.people.handovers import fold_of

Json = dict[str, Any]
PAGE: Final = 200
_ANY_AGENT: Final = ("lead", "privacy")
_TIMES: Final = {"shift_starts_us": "shift_starts_at", "shift_ends_us": "shift_ends_at"}


def put(brain: Brain, agent_id: str, asked: AgentIn) -> Json:
    """State what an agent can do, and return what is held of them; raises Erased for one who was erased."""
    if fold_of(brain.ledger, agent_id).erased:
        raise Erased("agent_id", "this agent was erased; give them another id")
    skills = {skill.id for skill in brain.snapshot.release.catalogue.routing.skills}
    if skills and (unknown := sorted(asked.proficiency.keys() - skills)):
        known = ", ".join(sorted(skills))
        raise RequestError("proficiency", f"there is no skill {unknown[0]!r}; the catalogue has {known}")
    shift = {name: getattr(asked, field) for name, field in _TIMES.items()}
    stated = {
        "languages": sorted({*asked.languages}),
        "proficiency": dict(sorted(asked.proficiency.items())),
        "trained": sorted({*asked.trained}),
        "capacity": dict(sorted(asked.capacity.items())),
        **{name: microseconds(at) for name, at in shift.items() if at is not None},
    }
    put_agent(brain.ledger, agent_id, stated, now_us())
    brain.routed.ring()
    return _shown(brain, _stated_agent(brain, agent_id))


def listed(brain: Brain, after: str) -> Json:
    """Return a page of agents, by id: what is stated of each, and what each does now."""
    agents = read_agents(brain.ledger, after, PAGE)
    folds = brain.ledger.read(*(agent.stream for agent in agents), rules=NO_PAST)
    shown = [_as_json(agent, fold.work or AgentWork()) for agent, fold in zip(agents, folds, strict=True)]
    return {"agents": shown, "next": agents[-1].id if len(agents) == PAGE else None}


def show(brain: Brain, agent_id: str, caller: Caller | None) -> Json:
    """Return what is held of an agent, and why they get what they get; raises OutOfScope for another agent's eyes."""
    check_own(agent_id, caller)
    return _shown(brain, _stated_agent(brain, agent_id))


def export(brain: Brain, agent_id: str, after: int, caller: Caller | None) -> Json:
    """Return everything that is held of an agent, a page of records at a time."""
    check_own(agent_id, caller)
    agent = _stated_agent(brain, agent_id)
    rows = list(_some(brain, agent.stream, after))
    records = [
        {"version": r.version, "kind": r.kind, "recorded_at": iso(r.at_us), "occurred_at": iso(r.occurred_us),
         "body": r.body}
        for r in rows
    ]  # fmt: skip
    return {**_shown(brain, agent), "records": records, "next_record": rows[-1].version if len(rows) == PAGE else None}


def _some(brain: Brain, stream: str, after: int) -> Iterator[Any]:
    for n, record in enumerate(brain.ledger.records(stream, after=after), 1):
        yield record
        if n == PAGE:
            return


def give_back(brain: Brain, agent_id: str) -> str:
    """Let what an agent holds wait for others, and return the agent's stream; raises NotFound."""
    stream = agent_stream(brain.ledger, agent_id)
    for _ in range(ATTEMPTS):
        fold = fold_of(brain.ledger, agent_id)
        if fold.erased or (find_agent(brain.ledger, agent_id) is None and not fold.version):
            raise NotFound("agent_id", "there is no such agent, or they were erased")
        try:
            for one in (fold.work or AgentWork()).held:
                free(brain, agent_id, one.handover, "the agent left", by="brain")
        except Conflict:
            continue
        return stream
    raise Unavailable("other requests for this agent kept coming first; try again")


def free(brain: Brain, agent_id: str, handover_id: str, reason: str, by: str, state: str | None = None) -> None:
    """Let a handover wait again that an agent was offered or has; only the agent is freed if it is no longer theirs.

    :param state: of presence, that the agent is in then
    :raises Conflict: somebody else came first
    """
    fold = fold_of(brain.ledger, agent_id)
    held = next((one for one in (fold.work or AgentWork()).held if one.handover == handover_id), None)
    if held is None:
        return
    ended = {"handover_id": handover_id, "channel": held.channel, "held": "ended"}
    entries = [Entry(fold.stream, "assignment", ended, None, fold.version)]
    if state is not None:
        entries.append(Entry(fold.stream, "presence", {"state": state, "agent": agent_id}, None, fold.version))
    opened = brain.ledger.lookup(step_key(handover_id, 0))
    if opened is not None and opened.body is not None:
        (standing,) = brain.ledger.read(opened.stream, rules=NO_PAST)
        handover = next((h for h in standing.handovers if h.id == handover_id), None)
        if handover is not None and handover.agent == agent_id and handover.state in WITH_AGENT:
            back = step_body(handover, "opened", by, reason=reason, due_us=opened.body.get("due_us"))
            entries.insert(0, step_entry(opened.stream, back, standing.version))
    brain.ledger.append(entries)


def forget_presence(brain: Brain) -> int:
    """Overwrite what agents did, and is older than `routing.presence_days`; return how many records that were."""
    before_us = now_us() - days_us(brain.snapshot.release.catalogue.routing.presence_days)
    streams = (agent.stream for agent in read_agents(brain.ledger))
    return sum(brain.ledger.erasures.forget(stream, PERISHING, before_us) for stream in streams)


def check_own(agent_id: str, caller: Caller | None) -> None:
    """Raise OutOfScope for a person who signed in and asks for another agent; keys, and those who lead, reach all."""
    reaches_all = caller is None or caller.kind == "key" or caller.has_any(_ANY_AGENT)
    if caller is not None and not reaches_all and agent_id not in (caller.id, caller.who):
        raise OutOfScope("agent_id", "you reach what is held of yourself; a lead reaches all agents")


def _stated_agent(brain: Brain, agent_id: str) -> StatedAgent:
    agent = find_agent(brain.ledger, agent_id)
    if agent is None:
        raise NotFound("agent_id", "there is no such agent; state them with PUT /v1/agents/{agent_id}")
    return agent


def _shown(brain: Brain, agent: StatedAgent) -> Json:
    fold = fold_of(brain.ledger, agent.id)
    return {**_as_json(agent, fold.work or AgentWork()), "why": list(_why(brain, agent))}


def _as_json(agent: StatedAgent, work: AgentWork) -> Json:
    stated, now = agent.stated, now_us()
    until_us = work.until_us if work.state_at(now) == work.state else None
    return {
        "agent_id": agent.id,
        **{name: stated[name] for name in ("languages", "proficiency", "trained", "capacity")},
        **{field: iso(stated[name]) if name in stated else None for name, field in _TIMES.items()},
        "state": work.shown_at(now),
        "since": iso(work.since_us) if work.since_us else None,
        "until": None if until_us is None else iso(until_us),
        "conversations": work.conversations(),
        "handovers": [one.handover for one in work.held],
        "upset_in_a_row": work.upset_in_a_row,
        "heard_of": iso(agent.heartbeat_us) if agent.heartbeat_us else None,
    }


def _why(brain: Brain, agent: StatedAgent) -> Iterator[str]:
    """Yield in words what decides which customers an agent gets."""
    routing, stated = brain.snapshot.release.catalogue.routing, agent.stated
    skills = ", ".join(f"{name} ({share:g})" for name, share in stated["proficiency"].items())
    spoken = ", ".join(stated["languages"])
    yield f"You get customers who speak {spoken}, about: {skills or 'anything without a skill'}."
    if stated["trained"]:
        yield f"You were trained for {', '.join(stated['trained'])}, and also get customers who need that."
    yield f"You hold at most: {', '.join(f'{n} on {channel}' for channel, n in stated['capacity'].items())}."
    help_s = min(routing.known_agent_s, routing.known_agent_help_s)
    yield f"Customers who know you wait for you up to {routing.known_agent_s:g} s, or {help_s:g} s if they need help."
    yield "Chats come first to whoever can hold several, and who can do much is kept free for what few can."
    yield f"Nobody gets more than {routing.most_upset_in_a_row} upset customers in a row while anyone else may help."
    yield f"In the last {routing.last_new_s:g} s of a shift nothing new is given."
    yield (
        "Among equals whoever was idle longest comes first. What customers are worth, and what became of earlier "
        "conversations, is not read."
    )
