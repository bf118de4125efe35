"""A process that takes handovers for an agent until none waits; `test_taking_races.py` runs several, and kills some.

It writes a line after each step.

usage: taker.py WORKSPACE AGENT SEED
"""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from decisioning.errors import NotFound, WrongState
from serving.brain.runtime import Brain
from serving.contract import HandoverStepIn
from serving.people.handovers import listed, take_step
from serving.settings import Workspace


def main(root: str, agent: str, seed: int) -> None:
    brain, rng = Brain(Workspace.open(Path(root))), random.Random(seed)
    while handovers := listed(brain, "")["handovers"]:
        for one in rng.sample(handovers, len(handovers)):
            mine = one["state"] == "accepted" and one["agent_id"] == agent
            step = "resolved" if mine and rng.random() < 0.5 else "accepted"
            try:
                take_step(brain, one["handover_id"], HandoverStepIn(state=step, agent_id=agent), None)
                sys.stdout.write(f"{step}\n")
                sys.stdout.flush()
            except (WrongState, NotFound):
                time.sleep(0.001)
    brain.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
