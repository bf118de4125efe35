"""The simulated contact centre played as a telephone system would that asks `POST /v1/routing` for advice.

It asks for a customer who begins to wait, and again once another agent who may help them is free, or less is asked for.
Of all answers the pair of customer and agent with the highest score goes first. Where an answer is late or absent, that
customer goes by the system's own order: by the wait, to the longest idle who may help, as far as the answers before do
not forbid it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from decisioning.routing.people import Waiting
from decisioning.routing.ranking import Staff
from serving.people.routing import LATE, ranked_json
from tests.decisioning.routing.centre import Router


@dataclass
class Asked:
    """What the system remembers of the last answer for a customer: who was free, who may not help, and until when."""

    free: set[str] = field(default_factory=set)
    barred: set[str] = field(default_factory=set)
    held_for: str | None = None
    until_s: float = 0.0


class AdvisedRouter(Router):
    """Gives customers to agents by what the function says that answers the route. `late`: the share of no answers."""

    late = 0.1

    def __init__(self, day: Any) -> None:
        super().__init__(day)
        self.asked_for: dict[str, Asked] = {}
        self.most_upset: frozenset[str] = frozenset()
        """Agents of whom the last answer said that they get no upset customer."""

    def matched(self, waiting: Sequence[Waiting], staff: Staff, free: Sequence[Any], asked: Sequence[Any]) -> list[Any]:
        """Return (who waits, agent's id) pairs; each agent gets one at a time, as a telephone system does."""
        pairs: list[tuple[float, int, int, str]] = []
        for row, (who, customer) in enumerate(zip(waiting, asked, strict=True)):
            own = [agent.id for agent in free if agent.takes(customer, self.now_s)]
            answer = self._answer(who, staff, set(own))
            if answer is LATE:
                scores = {name: self.now_s - customer.at_s for name in own if self._may(who, name)}
            else:
                scores = {one["agent_id"]: one["score_s"] for one in answer["ranked"]}
            pairs += [(-score_s, row, place, name) for place, (name, score_s) in enumerate(scores.items())]
        given: dict[str, int] = {}
        for _, row, _, agent in sorted(pairs):
            if agent not in given and row not in given.values():
                given[agent] = row
        return [(waiting[row], agent) for agent, row in given.items()]

    def _answer(self, who: Waiting, staff: Staff, may: set[str]) -> Any:
        """Ask if something changed for this customer; the answer before holds as long as nothing did."""
        before = self.asked_for.setdefault(who.id, Asked())
        if may <= before.free and self.now_s < before.until_s:
            return {"ranked": []} if not may else self._asked(who, staff)
        if random.Random(f"{who.id} {staff.now_us}").random() < self.late:
            return LATE
        answer = self._asked(who, staff)
        relaxes_in_s = answer["relaxes_in_s"]
        barred = {one["agent_id"] for one in answer["failed"] if one["requirement"] not in ("room", "shift")}
        until_s = 1e9 if relaxes_in_s is None else self.now_s + relaxes_in_s
        self.asked_for[who.id] = Asked(may, barred, answer["held_for"], until_s)
        return answer

    def _asked(self, who: Waiting, staff: Staff) -> Any:
        answer = ranked_json(who, staff)
        self.most_upset = frozenset(answer["most_upset"])
        return answer

    def _may(self, who: Waiting, agent: str) -> bool:
        """Tell whether an agent may help by the last answer, which holds for as long as it said."""
        before = self.asked_for[who.id]
        if who.upset and agent in self.most_upset:
            return False
        return self.now_s >= before.until_s or (agent not in before.barred and before.held_for in {None, agent})
