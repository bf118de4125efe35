"""The simulated contact centre played as a telephone system would that asks `POST /v1/routing` for advice.

It asks for everybody who waits, and gives the best of all answers away first. Where an answer is late or absent, it
goes by its own order: the longest idle who may help.
"""

import random
from collections.abc import Sequence
from typing import Any

from decisioning.routing.people import Waiting
from decisioning.routing.ranking import Staff
from serving.people.routing import ranked_json
from tests.decisioning.routing.centre import Router


class AdvisedRouter(Router):
    """Gives customers to agents by what the function says that answers the route. `late`: the share of no answers."""

    late = 0.1

    def matched(self, waiting: Sequence[Waiting], staff: Staff, free: Sequence[Any], asked: Sequence[Any]) -> list[Any]:
        """Return (who waits, agent's id) pairs; each agent gets one at a time, as a telephone system does."""
        told: list[tuple[float, int, str]] = []
        given: dict[int, str] = {}
        chance = random.Random(f"{staff.now_us}")
        for row, who in enumerate(waiting):
            if chance.random() < self.late:
                own = next((a.id for a in free if a.id not in given.values() and a.takes(asked[row], self.now_s)), None)
                given.update({} if own is None else {row: own})
            else:
                answer = ranked_json(who, staff)
                told += [(-one["score_s"], row, one["agent_id"]) for one in answer["ranked"]]
        for _, row, agent in sorted(told):
            if row not in given and agent not in given.values():
                given[row] = agent
        return [(waiting[row], agent) for row, agent in given.items()]
