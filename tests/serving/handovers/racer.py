"""A process that books, takes or lives through handovers; `test_kills.py` runs two, and kills them again and again.

It says when it is ready, begins once it reads a line, and writes a line for each answer that it got, once it got it.

usage: racer.py WORKSPACE SEED HALF book STARTS_AT | take | live

HALF is 0 or 1: the two processes book for different customers, and their agents have different names.
"""

import random
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from decisioning.errors import Unavailable, WrongState
from decisioning.times import datetime_at
from serving.brain.runtime import Brain
from serving.people import call_backs
from serving.people.handover_forms import AppointmentIn, HandoverIn, HandoverStepIn
from serving.people.handovers import listed, open_handover, take_step
from serving.settings import Workspace

TAKERS = 16
"""How many agents of one process want the same handover at once."""
CALENDAR = "desk"


def tell(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def open_ids(brain: Brain, states: Iterable[str]) -> list[str]:
    """Return the ids of all handovers in these states."""
    ids, after = list[str](), ""
    while True:
        page = listed(brain, after, tuple(states))
        ids += [one["handover_id"] for one in page["handovers"]]
        if page["next"] is None:
            return ids
        after = page["next"]


def book(brain: Brain, rng: random.Random, half: int, starts_at: str) -> None:
    """Book the same slot for everybody, and for whom it is full the first one that is free."""
    ids = [name for name in open_ids(brain, ("opened",)) if int(name[-1], 16) % 2 == half]
    for name in rng.sample(ids, len(ids)):
        wanted = AppointmentIn(calendar=CALENDAR, starts_at=datetime.fromisoformat(starts_at))
        while not _booked(brain, name, wanted):
            free = call_backs.first_free(brain, name, [CALENDAR])
            assert free is not None
            wanted = AppointmentIn(calendar=CALENDAR, starts_at=datetime_at(free[1]))


def _booked(brain: Brain, name: str, wanted: AppointmentIn) -> bool:
    with suppress(WrongState, Unavailable):
        shown = call_backs.book(brain, name, wanted, "racer")
        tell(name, shown["due_at"])
        return True
    return False


def take(brain: Brain, rng: random.Random, half: int, _: str) -> None:
    """Let every agent of this process take each handover at once, as long as one waits."""
    with ThreadPoolExecutor(TAKERS) as pool:
        for one in rng.sample(ids := open_ids(brain, ("opened",)), len(ids)):
            list(pool.map(lambda n, one=one: _taken(brain, one, f"p{half}-{n}"), range(TAKERS)))  # type: ignore[misc]


def _taken(brain: Brain, handover: str, agent: str) -> None:
    with suppress(WrongState, Unavailable):
        take_step(brain, handover, HandoverStepIn(state="accepted", agent_id=agent), None)
        tell(handover, agent)


def live(brain: Brain, rng: random.Random, half: int, _: str) -> None:
    """Open handovers, and let each go on by one step after the other, until this process is killed."""
    while True:
        n = rng.getrandbits(64)
        about = {"request_id": f"r-{n}", "customer_id": f"c-{half}-{n % 40}", "conversation_id": f"k-{n}"}
        asked = HandoverIn.model_validate({**about, "channel": "chat", "reason": "help"})
        name = open_handover(brain, asked, "racer")["handover_id"]
        tell(name, "opened")
        for state in ("accepted", "transferred", "accepted", "resolved")[: rng.randint(0, 4)]:
            more = (
                {"agent_id": f"agent-{name}"}
                if state == "accepted"
                else {"note": "on"}
                if state == "transferred"
                else {}
            )
            take_step(brain, name, HandoverStepIn.model_validate({"state": state, **more}), None)
            tell(name, state)


DOES: dict[str, Callable[[Brain, random.Random, int, str], None]] = {"book": book, "take": take, "live": live}


def main(root: str, seed: str, half: str, what: str, about: str = "") -> None:
    brain = Brain(Workspace.open(Path(root)))
    tell("ready")
    sys.stdin.readline()
    DOES[what](brain, random.Random(f"{seed}-{half}"), int(half), about)
    brain.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
