"""How customers who wait come to people: `python -m tests.benchmarks.routing days [FIRST LAST]` or `... match`.

`days` plays the simulated days of both kinds with the seeds FIRST to LAST (0 to 5) by the product's routing in both
modes, with a tenth of the answers late or absent in `advise`, beside the longest idle. It takes half a minute a day and
mode, and returns 1 if a mean misses its bound. `match` gives 10,000 who wait to 500 agents with room for up to three,
and asks for advice while those agents are on shift.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from decisioning.routing.matching import assign, auction, values_of
from decisioning.routing.people import Agent
from serving.brain.runtime import Brain
from serving.people.forms import RoutingIn, WaitingIn
from serving.people.routing import advise
from tests.decisioning.routing.test_matching import largest_sum, staff_of
from tests.serving.handovers.days import BOUNDS, KINDS, Beside, compared, means, missed
from tests.serving.handovers.test_agents import add
from tests.serving.workspaces import Client, small_workspace

_ADVICE = 100
_CONSOLE = Console(width=150)


def days(seeds: Sequence[int]) -> int:
    """Play the days, print what each came to and the means of each mode, and return 1 if a mean misses its bound."""
    table = Table("day", "mode", *Beside.__dataclass_fields__, "missed", title="Beside the longest idle")
    found: dict[str, list[Beside]] = {"own": [], "advise": []}
    for kind in KINDS:
        for seed in seeds:
            for mode, figures in compared(kind, seed).items():
                found[mode].append(figures)
                _add(table, f"{kind} {seed}", mode, figures)
                told = " ".join(f"{name}={value:.3f}" for name, value in asdict(figures).items())
                sys.stderr.write(f"{kind} {seed} {mode}: {told}; misses {', '.join(missed(figures)) or 'nothing'}\n")
    for mode, each in found.items():
        table.add_section()
        _add(table, "mean", mode, means(each))
    table.add_row("bounds", "", *(_bound(name) for name in Beside.__dataclass_fields__), "")
    _CONSOLE.print(table)
    return int(any(missed(means(each)) for each in found.values()))


def _add(table: Table, day: str, mode: str, figures: Beside) -> None:
    table.add_row(day, mode, *(f"{value:.2f}" for value in asdict(figures).values()), ", ".join(missed(figures)))


def _bound(name: str) -> str:
    least, most = BOUNDS.get(name, (0.0, float("inf")))
    return "" if name not in BOUNDS else f"{least:g} to {most:g}"


def match() -> int:
    """Print the processor time and the value of one large matching, and the processor time of one piece of advice."""
    waiting, staff = staff_of(500, 10_000, 0)
    start_s = time.process_time()
    pairs = assign(waiting, staff)
    assigned_s = time.process_time() - start_s
    start_s = time.process_time()
    values = values_of(waiting, staff, range(500))
    units = [presence.room("chat") for presence in staff.presences]
    given = auction(values, units)
    auction_s = time.process_time() - start_s
    start_s = time.process_time()
    best = largest_sum(values, units)
    dense_s = time.process_time() - start_s
    _CONSOLE.print(f"10,000 who wait, calls and chats, given to 500 agents: {len(pairs)} pairs in {assigned_s:.2f} s")
    share = sum(values[pair] for pair in given) / best
    _CONSOLE.print(f"as if all were chats: {auction_s:.2f} s, value {share:.6f} of the optimum of a dense solver")
    _CONSOLE.print(f"the dense solver alone: {dense_s:.2f} s")
    advice_ms = _advice_ms(staff.roster.agents)
    _CONSOLE.print(f"advice for one who waits, 500 agents: {np.median(advice_ms):.1f} ms, at most {max(advice_ms):.1f}")
    return int(assigned_s >= 2 or auction_s >= 2 or share < 0.99)


def _advice_ms(agents: Sequence[Agent]) -> list[float]:
    """Return the processor time of each piece of advice, with the reading of all agents from the ledger."""
    with tempfile.TemporaryDirectory() as folder:
        brain = Brain(small_workspace(Path(folder) / "shop"))
        client = Client(brain)
        for agent in agents:
            stated = {"languages": sorted(agent.languages), "proficiency": agent.proficiency}
            add(client, agent.id, **stated, trained=sorted(agent.trained), capacity=dict(agent.capacity))
        found = [_asked_ms(brain, f"call-{n}") for n in range(_ADVICE)]
        brain.close()
    return found


def _asked_ms(brain: Brain, conversation: str) -> float:
    waiting = WaitingIn(conversation_id=conversation, channel="voice", skill="a", language="nl")
    start_s = time.process_time()
    advise(brain, RoutingIn(waiting=waiting))
    return 1e3 * (time.process_time() - start_s)


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for and return the exit code: 1 if a bound is missed, 2 if nothing of that name is known."""
    if arguments[:1] == ["match"] and len(arguments) == 1:
        return match()
    if arguments[:1] == ["days"] and len(arguments) in {1, 3} and all(word.isdigit() for word in arguments[1:]):
        first, last = (int(word) for word in arguments[1:] or ("0", "5"))
        return days(range(first, last + 1))
    sys.stderr.write("usage: python -m tests.benchmarks.routing days [FIRST LAST] | match\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
