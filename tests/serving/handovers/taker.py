"""A process that takes handovers for an agent until none waits; `test_taking_races.py` runs several, and kills some.

It writes a line after each step, and after so many steps it does nothing more until it is killed.

usage: taker.py WORKSPACE AGENT SEED STEPS
"""

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from decisioning.errors import NotFound, WrongState
from serving.brain.runtime import Brain
from serving.people.handover_forms import HandoverStepIn
from serving.people.handovers import listed, take_step
from serving.settings import Workspace


def steps(brain: Brain, agent: str, rng: random.Random) -> Iterator[str]:
    """Take or resolve handovers in any order, and yield each step."""
    while handovers := listed(brain, "")["handovers"]:
        for one in rng.sample(handovers, len(handovers)):
            mine = one["state"] == "accepted" and one["agent_id"] == agent
            step = "resolved" if mine and rng.random() < 0.5 else "accepted"
            try:
                take_step(brain, one["handover_id"], HandoverStepIn(state=step, agent_id=agent), None)
                yield step
            except (WrongState, NotFound):
                time.sleep(0.001)


def main(root: str, agent: str, seed: int, most: int) -> None:
    brain = Brain(Workspace.open(Path(root)))
    for n, step in enumerate(steps(brain, agent, random.Random(seed)), 1):
        sys.stdout.write(f"{step}\n")
        sys.stdout.flush()
        if n == most:
            time.sleep(600)
    brain.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
