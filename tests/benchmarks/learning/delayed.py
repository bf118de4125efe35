"""A world as in practice: gates stop a third of the actions, and outcomes are up to 2,000 decisions late."""

from collections.abc import Mapping

from tests.benchmarks.learning.parts import Figures, Line, Part, Run, mean_with_interval
from tests.benchmarks.learning.peers import OURS, PLAYERS
from tests.training.simulator.delays import Delays
from tests.training.simulator.worlds import draws, gated, lost_share, world

PEERS = ("greedy LightGBM", "LinUCB")
SEEDS = range(3)
STOPPED = 1 / 3
MEAN, WINDOW = 700.0, 2_000
"""In decisions. One outcome in 17 would be later than its window, and is never recorded."""
LAST_FIFTH = 80_000


def play(player: str, seed: int) -> Figures:
    """Return the shares of the permitted oracle's advantage lost over the last fifth and over all decisions."""
    x, p = world("mixed", seed)
    p = gated(x, p, STOPPED, seed)
    choices = PLAYERS[player](x, p, draws(seed), seed, Delays(MEAN, WINDOW, seed))
    return {"last_fifth": lost_share(p, choices, LAST_FIFTH), "all": lost_share(p, choices, 0)}


def _lines(results: Mapping[str, Figures]) -> list[Line]:
    lines = []
    for key, what in (("last_fifth", "last fifth"), ("all", "all decisions")):
        for name in (OURS, *PEERS):
            lost = [f[key] for run, f in results.items() if run.startswith(f"{name}/")]
            if lost:
                lines.append(Line(f"mixed, gates and delays, {name}: advantage lost, {what}", mean_with_interval(lost)))
    return lines


DELAYED = Part([Run(f"{name}/{s}", play, (name, s)) for name in (OURS, *PEERS) for s in SEEDS], _lines)
