"""The simulated contact centre played as a telephone system would that asks `POST /v1/routing` for advice.

It asks for a customer who begins to wait, and again once another agent who may help them is free, or less is asked for.
It gives the best of all answers away first. Where an answer is late or absent, that customer goes by the system's own
order: to the longest idle who may help.
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
    """What the system remembers of a customer: with which agents free it asked, and when the answer is over."""

    free: set[str] = field(default_factory=set)
    until_s: float = 0.0


class AdvisedRouter(Router):
    """Gives customers to agents by what the function says that answers the route. `late`: the share of no answers."""

    late = 0.1

    def __init__(self, day: Any) -> None:
        super().__init__(day)
        self.asked_for: dict[str, Asked] = {}

    def matched(self, waiting: Sequence[Waiting], staff: Staff, free: Sequence[Any], asked: Sequence[Any]) -> list[Any]:
        """Return (who waits, agent's id) pairs; each agent gets one at a time, as a telephone system does."""
        given: dict[str, tuple[Waiting, str]] = {}
        ranked: list[tuple[float, int, str]] = []
        for row, (who, customer) in enumerate(zip(waiting, asked, strict=True)):
            may = {agent.id for agent in free if agent.takes(customer, self.now_s)}
            answer = self._answer(who, staff, may)
            if answer is not LATE:
                ranked += [(-one["score_s"], row, one["agent_id"]) for one in answer["ranked"]]
            elif own := [agent.id for agent in free if agent.id in may and agent.id not in given]:
                given[own[0]] = who, own[0]
        placed = {who.id for who, _ in given.values()}
        for _, row, agent in sorted(ranked):
            if waiting[row].id not in placed and agent not in given:
                given[agent] = waiting[row], agent
                placed.add(waiting[row].id)
        return list(given.values())

    def _answer(self, who: Waiting, staff: Staff, may: set[str]) -> Any:
        """Ask if something changed for this customer; the answer before holds as long as nothing did."""
        before = self.asked_for.setdefault(who.id, Asked())
        if may <= before.free and self.now_s < before.until_s:
            return {"ranked": []} if not may else ranked_json(who, staff)
        if random.Random(f"{who.id} {staff.now_us}").random() < self.late:
            return LATE
        answer = ranked_json(who, staff)
        relaxes_in_s = answer["relaxes_in_s"]
        self.asked_for[who.id] = Asked(may, 1e9 if relaxes_in_s is None else self.now_s + relaxes_in_s)
        return answer
