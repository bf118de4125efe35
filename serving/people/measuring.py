"""How many wait for a person, for how long, and how many agents are free: measured for facts of source `routing`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from decisioning.catalogue.people.routing import Routing
from decisioning.facts.handovers import WAITS
from decisioning.facts.schema import Feature, RoutingMeasure, Value
from decisioning.routing.ranking import Staff
from decisioning.routing.staffing import ANY
from decisioning.times import DAY_US
from features.handovers.measured import Measured
from features.handovers.queues import QueueState, told_queues
from features.ledger.tables import HANDOVERS
from serving.brain.runtime import Brain
from serving.people.handovers import about_now
from serving.people.routing import staff_of

POLL_S: Final = 3.0
"""How often a replica measures, if its release declares features of source `routing`."""
_MOST: Final = 10_000
_OLDEST_US: Final = DAY_US
"""What was told of a queue of an earlier time is not read."""
_WAITING: Final = select(HANDOVERS).where(HANDOVERS.c.state.in_(sorted(WAITS))).limit(_MOST)


@dataclass(frozen=True, slots=True)
class _Queued:
    skill: str
    channel: str
    since_us: int


def measure(brain: Brain) -> None:
    """Measure what the release's features of source `routing` ask for.

    Each replica measures by itself, of tables that all share, so their values differ by no more than what happened
    within POLL_S; a decision records those that it was made with.

    With `mode: advise` the queue is another system's: how many wait and for how long is what that system told of it
    (`queue.state`), else unknown. Which agents are free is what it told, else it follows from what it tells of them.
    """
    release = brain.snapshot.release
    if not (features := release.schema.of_routing):
        return
    now, own = brain.ledger.clock(), release.catalogue.routing.mode == "own"
    if own:
        queue = [_queued(brain, row) for row in brain.ledger.select(_WAITING)]
        brain.measured = measured(features, queue, staff_of(brain, now, own=True), release.catalogue.routing)
        return
    free = [f for f in features if f.routing and f.routing.measure == "free_agents"]
    routing = release.catalogue.routing
    counted = measured(free, [], staff_of(brain, now), routing) if free else Measured({}, now)
    brain.measured = with_told(counted, features, told_queues(brain.ledger, now - _OLDEST_US), routing)


def _queued(brain: Brain, row: Any) -> _Queued:
    about = about_now(brain.ledger, row)
    return _Queued(about.get("skill") or ANY, about["channel"], row.waits_us)


def measured(features: Sequence[Feature], queue: Sequence[_Queued], staff: Staff, routing: Routing) -> Measured:
    """Return the value of each feature; none of a wait that nobody on shift could end."""
    values: dict[str, Value] = {}
    for feature in features:
        value = (
            None
            if feature.routing is None
            else _value(feature.routing, _skills(feature.routing, routing), queue, staff)
        )
        if value is not None:
            values[feature.name] = float(value) if feature.dtype == "float" else int(value)
    return Measured(values, staff.now_us)


def _skills(asked: RoutingMeasure, routing: Routing) -> frozenset[str] | None:
    """Return the skills that a feature is measured of; None: all."""
    if asked.issue is not None:
        return frozenset(skill.id for skill in routing.skills if skill.issue == asked.issue)
    return None if asked.skill is None else frozenset((asked.skill,))


def with_told(
    counted: Measured, features: Sequence[Feature], queues: Sequence[QueueState], routing: Routing
) -> Measured:
    """Return what was measured, and in place of it what another system told of its queues no longer ago than stated."""
    values, told_us = dict(counted.values), dict[str, int]()
    for feature in features:
        reported = (
            None if feature.routing is None else _reported(feature.routing, _skills(feature.routing, routing), queues)
        )
        oldest_us = counted.at_us - (feature.max_age_s or 0) * 1_000_000
        if reported is not None and reported[1] >= oldest_us:
            values[feature.name] = float(reported[0]) if feature.dtype == "float" else int(reported[0])
            told_us[feature.name] = reported[1]
    return Measured(values, counted.at_us, told_us)


def _reported(
    asked: RoutingMeasure, skills: frozenset[str] | None, queues: Sequence[QueueState]
) -> tuple[float, int] | None:
    """Return what was told of a queue and of which time; None if it was not.

    A queue of several skills or channels that was not told as such is added up of those that were: who waits is their
    sum, how long the longest, and how many are free at least the most of one of them, as an agent may serve several. Of
    an issue every skill must have been told.
    """
    exact = (asked.skill or ANY, asked.channel or ANY)
    channels = None if asked.channel is None else (asked.channel,)
    parts = [one for one in queues if (one.skill, one.channel) == exact and asked.issue is None] or [
        one for one in queues if _is_part(one.skill, skills) and _is_part(one.channel, channels)
    ]
    if asked.issue is not None and frozenset(one.skill for one in parts) != skills:
        return None
    values = [value for one in parts if (value := getattr(one, asked.measure)) is not None]
    if not values or len(values) < len(parts):
        return None
    whole = sum(values) if asked.measure == "waiting" else max(values)
    return whole, min(one.at_us for one in parts)


def _is_part(name: str, asked: Collection[str] | None) -> bool:
    return name != ANY if asked is None else name in asked


def _value(
    asked: RoutingMeasure, skills: frozenset[str] | None, queue: Sequence[_Queued], staff: Staff
) -> float | None:
    of_skill = [one for one in queue if skills is None or one.skill in skills]
    own = [one for one in of_skill if asked.channel in (None, one.channel)]
    if asked.measure == "waiting":
        return len(own)
    able = [
        n for n, presence in enumerate(staff.presences) if _may_help(asked, skills, presence.agent, staff.on_shift[n])
    ]
    if asked.measure == "free_agents":
        return sum(_has_room(asked, staff.presences[n]) for n in able)
    if not any(staff.presences[n].available for n in able):
        return None
    return max(((staff.now_us - one.since_us) / 1e6 for one in own), default=0.0)


def _may_help(asked: RoutingMeasure, skills: frozenset[str] | None, agent: Any, on_shift: Any) -> bool:
    channels = [asked.channel] if asked.channel else list(agent.capacity)
    is_able = not agent.proficiency.keys().isdisjoint((ANY,) if skills is None else skills)
    return bool(on_shift) and is_able and any(map(agent.capacity.get, channels))


def _has_room(asked: RoutingMeasure, presence: Any) -> bool:
    channels = [asked.channel] if asked.channel else list(presence.agent.capacity)
    return any(presence.room(channel) > 0 for channel in channels)
