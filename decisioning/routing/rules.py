"""What a workspace states about routing. Weights are in seconds of waiting, so that they can be compared and told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from decisioning.catalogue.people.routing import Routing


@dataclass(frozen=True, slots=True)
class Ring:
    """From `after_s` of waiting on, an agent needs at least this proficiency."""

    after_s: float
    min_proficiency: float


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """How agents are ranked.

    `rings`: by skill, in the order of their times. `known_agent_s`: for how long a customer waits for the agent whom
    they know, if that agent is on shift and may help; `known_agent_help_s`: the same for who needs help, if it is less.
    `last_new_s`: how long before the end of a shift nothing new is given. `most_upset_in_a_row`: of upset customers for
    one agent, while anyone else may help. `help_weight`: by how much faster the wait of someone who needs help counts
    than that of a sale. `head_start_s`: added to the wait, by what the customer needs. `known_s` and `proficiency_s`:
    seconds that it is worth to give a customer the agent whom they know, and a proficiency of 1 instead of 0.
    `keep_free_s`: by channel, seconds that it is worth to keep an agent who holds no conversation free for a call.
    `fill_s`: by channel, seconds for each conversation on it that the agent holds, so that chats gather and others stay
    free. `capacity_s`: seconds for each conversation that an agent with nothing to do holds at once on this channel
    beyond those on their others, so that chats come to who holds many. `versatile_s`: seconds against an agent for each
    skill, language and training that the customer does not need. `idle_weight`: seconds a second that the agent was
    idle, up to `most_idle_s`. `upset_s`: seconds that each upset customer in a row before counts against the next.
    """

    rings: Mapping[str, Sequence[Ring]] = field(default_factory=dict)
    known_agent_s: float = 320.0
    known_agent_help_s: float = 165.0
    last_new_s: float = 0.0
    most_upset_in_a_row: int = 4
    help_weight: float = 1.6
    head_start_s: Mapping[str, float] = field(default_factory=lambda: {"vulnerable": 60.0})
    known_s: float = 300.0
    proficiency_s: float = 110.0
    keep_free_s: Mapping[str, float] = field(default_factory=lambda: {"chat": 80.0})
    fill_s: Mapping[str, float] = field(default_factory=lambda: {"chat": 20.0})
    capacity_s: float = 20.0
    versatile_s: float = 10.0
    idle_weight: float = 0.15
    most_idle_s: float = 600.0
    upset_s: float = 4.0

    def waits_for_known_s(self, *, helps: bool) -> float:
        """Return for how long a customer waits for the agent whom they know."""
        return min(self.known_agent_s, self.known_agent_help_s) if helps else self.known_agent_s

    def min_proficiency(self, skill: str, waited_s: float) -> float:
        """Return which proficiency an agent needs after this wait."""
        reached = [ring.min_proficiency for ring in self.rings.get(skill, ()) if waited_s >= ring.after_s]
        return reached[-1] if reached else 0.0

    def relaxes_in_s(self, skill: str, waited_s: float) -> float | None:
        """Return in how many seconds the next ring begins; None after the last."""
        later = [ring.after_s - waited_s for ring in self.rings.get(skill, ()) if ring.after_s > waited_s]
        return min(later, default=None)


def rules_of(routing: Routing) -> RoutingRules:
    """Return the rules that a catalogue states."""
    rings = {s.id: tuple(Ring(ring.after_s, ring.min_proficiency) for ring in s.rings) for s in routing.skills}
    return RoutingRules(
        rings=rings,
        known_agent_s=routing.known_agent_s,
        known_agent_help_s=routing.known_agent_help_s,
        last_new_s=routing.last_new_s,
        most_upset_in_a_row=routing.most_upset_in_a_row,
    )
