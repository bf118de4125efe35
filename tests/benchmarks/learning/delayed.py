"""A world as it is in practice: gates stop a third of the actions and outcomes come up to 2,000 decisions late."""

from collections.abc import Mapping

from tests.benchmarks.learning.parts import Figures, Line, Part, Run, told
from tests.benchmarks.learning.peers import OURS, PLAYERS
from tests.training.simulator.delays import Delays
from tests.training.simulator.worlds import draws, gated, lost_share, world

PEERS = ("greedy LightGBM", "LinUCB")
SEEDS = range(3)
STOPPED = 1 / 3
MEAN, WINDOW = 700.0, 2_000
"""In decisions: one outcome in 17 would come after its window, and never does."""
LAST_FIFTH = 80_000


def play(player: str, seed: int) -> Figures:
    """Shares of the permitted oracle's advantage that are lost: over the last fifth, and over all decisions."""
    x, p = world("mixed", seed)
    p = gated(x, p, STOPPED, seed)
    chosen = PLAYERS[player](x, p, draws(seed), seed, Delays(MEAN, WINDOW, seed))
    return {"last_fifth": lost_share(p, chosen, LAST_FIFTH), "all": lost_share(p, chosen, 0)}


def _lines(found: Mapping[str, Figures]) -> list[Line]:
    lines = []
    for key, what in (("last_fifth", "last fifth"), ("all", "all decisions")):
        for name in (OURS, *PEERS):
            lost = [f[key] for run, f in found.items() if run.startswith(f"{name}/")]
            if lost:
                lines.append(Line(f"mixed, gates and delays, {name}: advantage lost, {what}", told(lost)))
    return lines


DELAYED = Part([Run(f"{name}/{s}", play, (name, s)) for name in (OURS, *PEERS) for s in SEEDS], _lines)
