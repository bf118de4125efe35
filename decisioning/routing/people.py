"""Who waits for a person, and which people may help: what a routing is decided from."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Agent:
    """A person who helps customers, as long as this shift lasts.

    `proficiency`: by skill, 0 to 1; a skill that is absent is not asked of them. `trained`: for what they were
    trained, such as `vulnerable`. `capacity`: by channel, how many conversations they hold at once if all are on it.
    """

    id: str
    languages: frozenset[str]
    proficiency: Mapping[str, float]
    trained: frozenset[str]
    capacity: Mapping[str, int]
    shift_starts_us: int
    shift_ends_us: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conversation that waits for a person. `helps`: it is about service or hardship, not about a sale.

    `needs`: what the agent must be trained for. `knows`: the agent who helped this customer before. `cannot_phone`:
    they cannot hear or phone, and this channel is spoken: nobody may take them there. `first`: they go before others.
    """

    id: str
    since_us: int
    skill: str
    language: str
    channel: str
    helps: bool = True
    upset: bool = False
    needs: frozenset[str] = frozenset()
    knows: str | None = None
    cannot_phone: bool = False
    first: bool = False

    @property
    def kind(self) -> Hashable:
        """What agents are required and preferred by, apart from the time and from whom the customer knows."""
        return self.skill, self.language, self.channel, self.upset, self.needs, self.cannot_phone


@dataclass(frozen=True, slots=True)
class Presence:
    """What an agent is busy with now. `conversations`: by channel. `available`: takes new ones (not on a break)."""

    agent: Agent
    idle_since_us: int
    conversations: Mapping[str, int] = field(default_factory=dict)
    upset_in_a_row: int = 0
    available: bool = True

    @property
    def busy(self) -> bool:
        """Whether the agent holds a conversation."""
        return any(self.conversations.values())

    def room(self, channel: str) -> int:
        """Return how many more conversations on this channel the agent can hold beside those of now.

        Each conversation takes a share of the agent: one divided by the capacity for its channel.
        """
        most = self.agent.capacity.get(channel, 0)
        if not self.available or not most:
            return 0
        share = sum((Fraction(n, self.agent.capacity[c]) for c, n in self.conversations.items() if n), Fraction())
        return int((1 - share) * most)


class Roster:
    """The agents of a shift, and who of them meets every hard requirement of a kind of conversation, found once."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        self.agents = tuple(agents)
        self.place = {agent.id: n for n, agent in enumerate(self.agents)}
        starts_ends = [(a.shift_starts_us, a.shift_ends_us) for a in self.agents]
        self.shifts_us: NDArray[np.int64] = np.asarray(starts_ends, dtype=np.int64).reshape(-1, 2)
        self._qualified: dict[Hashable, NDArray[np.bool_]] = {}

    def qualified(self, waiting: Waiting) -> NDArray[np.bool_]:
        """Return who meets every hard requirement, bool (n_agents,), whatever the time and however busy."""
        mask = self._qualified.get(waiting.kind)
        if mask is None:
            mask = np.asarray([not missing(waiting, agent) for agent in self.agents], dtype=np.bool_)
            self._qualified[waiting.kind] = mask
        return mask


def missing(waiting: Waiting, agent: Agent) -> str | None:
    """Return a hard requirement that this agent does not meet, whatever the time and however busy; None if none."""
    met = {
        "cannot_phone": not waiting.cannot_phone,
        "skill": waiting.skill in agent.proficiency,
        "language": waiting.language in agent.languages,
        "training": waiting.needs <= agent.trained,
        "channel": agent.capacity.get(waiting.channel, 0) > 0,
    }
    return next((name for name, holds in met.items() if not holds), None)
