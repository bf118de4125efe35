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

    def room_beyond_others(self, channel: str) -> int:
        """Return how many more conversations they hold at once on this channel than on the best of their others."""
        others = [most for name, most in self.capacity.items() if name != channel and most]
        return self.capacity.get(channel, 0) - max(others) if others else 0

    def not_asked_by(self, waiting: "Waiting") -> int:
        """Return how many of their skills, languages and trainings this customer does not need."""
        needed = (waiting.skill in self.proficiency) + (waiting.language in self.languages)
        return len(self.proficiency) + len(self.languages) - needed + len(self.trained - waiting.needs)


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

        Each conversation takes a share of the agent: one divided by the capacity for its channel, and the whole agent
        if they have none for it.
        """
        most = self.agent.capacity.get(channel, 0)
        if not self.available or not most:
            return 0
        held = {name: n for name, n in self.conversations.items() if n}
        if not held.keys() - {channel}:
            return max(most - held.get(channel, 0), 0)
        share = sum((Fraction(n, self.agent.capacity.get(name) or 1) for name, n in held.items()), Fraction())
        return max(int((1 - share) * most), 0)


class Roster:
    """The agents of a shift, and who of them meets every hard requirement of a kind of conversation, found once."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        self.agents = tuple(agents)
        self.place = {agent.id: n for n, agent in enumerate(self.agents)}
        starts_ends = [(a.shift_starts_us, a.shift_ends_us) for a in self.agents]
        self.shifts_us: NDArray[np.int64] = np.asarray(starts_ends, dtype=np.int64).reshape(-1, 2)
        self._missing: dict[Hashable, tuple[tuple[str | None, ...], NDArray[np.bool_]]] = {}

    def qualified(self, waiting: Waiting) -> NDArray[np.bool_]:
        """Return who meets every hard requirement, bool (n_agents,), whatever the time and however busy."""
        return self._of_kind(waiting)[1]

    def missing(self, waiting: Waiting) -> tuple[str | None, ...]:
        """Return of each agent a hard requirement that they do not meet; None if they meet all."""
        return self._of_kind(waiting)[0]

    def _of_kind(self, waiting: Waiting) -> tuple[tuple[str | None, ...], NDArray[np.bool_]]:
        if waiting.kind not in self._missing:
            reasons = tuple(missing(waiting, agent) for agent in self.agents)
            self._missing[waiting.kind] = reasons, np.asarray([reason is None for reason in reasons], dtype=np.bool_)
        return self._missing[waiting.kind]


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
