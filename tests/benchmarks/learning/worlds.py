"""The fixed worlds: what share of the oracle's advantage is lost, how a new action is found, and drift survived."""

from collections.abc import Mapping

import numpy as np

from tests.benchmarks.learning.parts import Figures, Line, Part, Run, spread, told
from tests.benchmarks.learning.peers import OURS, PLAYERS
from tests.training.simulator.bandit import refit_times
from tests.training.simulator.worlds import Kind, draws, lost_share, world
from training.model.frame import Floats, Ints

STATIONARY: tuple[Kind, ...] = ("linear", "thresholds", "mixed")
SEEDS = range(6)
N, LAST_FIFTH = 100_000, 80_000
LOST_GOAL = 0.13
HALF = N // 2
LATER = (20_000, 40_000)


def play(kind: Kind, player: str, seed: int) -> Figures:
    """Shares of the oracle's advantage that are lost: over the last fifth, and over all decisions."""
    x, p = world(kind, seed)
    chosen = PLAYERS[player](x, p, draws(seed), seed)
    return {"last_fifth": lost_share(p, chosen, LAST_FIFTH), "all": lost_share(p, chosen, 0)}


def meet_new_action(seed: int) -> Figures:
    """Of those for whom the new action is best, the share that gets it from 10,000 and from 20,000 decisions on."""
    x, p = world("new_action", seed)
    chosen = PLAYERS[OURS](x, p, draws(seed), seed)
    best = np.nanargmax(p, axis=1) == p.shape[1] - 1
    placed = {}
    for after in (10_000, 20_000):
        rows = slice(HALF + after, HALF + after + 4_000)
        placed[f"after_{after}"] = float((chosen[rows] == p.shape[1] - 1)[best[rows]].mean())
    return placed


def drift(seed: int) -> Figures:
    """What share of the value that the change cost is back, over 4,000 decisions: after two refits, and later.

    Who finds that most of the log no longer holds is fitted again more often; the two refits are those of who does not.
    What the change cost is told from before the first of them.
    """
    x, p = world("drift", seed)
    chosen = PLAYERS[OURS](x, p, draws(seed), seed)
    first, second = [t for t in refit_times(N, p.shape[1]) if t > HALF][:2]
    before = lost_share(p[:HALF], chosen[:HALF], HALF - 4_000)
    fallen = _lost(p, chosen, HALF, first)
    back = {
        name: (fallen - _lost(p, chosen, at, at + 4_000)) / (fallen - before)
        for name, at in (("back", second), *((f"back_{n}", HALF + n) for n in LATER))
    }
    return {"before": before, "fallen": fallen, **back}


def _lost(p: Floats, chosen: Ints, start: int, end: int) -> float:
    return lost_share(p[start:end], chosen[start:end], 0)


def _world_lines(found: Mapping[str, Figures]) -> list[Line]:
    lines = []
    for kind in STATIONARY:
        lost = {name: _by_seed(found, kind, name) for name in PLAYERS}
        ours = lost[OURS]
        for name, by_seed in lost.items():
            if by_seed:
                goal, met = (
                    (f"≤ {LOST_GOAL}", spread(list(by_seed.values()))[0] <= LOST_GOAL) if name == OURS else ("", None)
                )
                lines.append(
                    Line(f"{kind}, {name}: advantage lost, last fifth", told(list(by_seed.values())), goal, met)
                )
        lines.extend(_against(kind, name, ours, by_seed) for name, by_seed in lost.items() if name != OURS and by_seed)
    return lines


def _against(kind: Kind, name: str, ours: Mapping[int, float], theirs: Mapping[int, float]) -> Line:
    """The paired difference over seeds; met unless the peer is better beyond chance."""
    more = [theirs[s] - ours[s] for s in sorted(ours.keys() & theirs.keys())]
    if len(more) < 2:
        return Line(f"{kind}: {name} loses more than ours", "too few seeds")
    centre, half = spread(more)
    return Line(f"{kind}: {name} loses more than ours", told(more), "not less", centre + half >= 0.0)


def _by_seed(found: Mapping[str, Figures], kind: Kind, name: str) -> dict[int, float]:
    return {s: found[f"{kind}/{name}/{s}"]["last_fifth"] for s in SEEDS if f"{kind}/{name}/{s}" in found}


def _change_lines(found: Mapping[str, Figures]) -> list[Line]:
    lines = []
    for after, goal in ((10_000, 0.6), (20_000, 0.8)):
        values = [f[f"after_{after}"] for name, f in found.items() if name.startswith("new_action")]
        if values:
            what = f"new action: rightly placed {after:,} decisions after it appears"
            lines.append(Line(what, told(values), f"≥ {goal}", spread(values)[0] >= goal))
    back = [f["back"] for name, f in found.items() if name.startswith("drift")]
    if back:
        lines.append(Line("drift: lost value back after two retrains", told(back), "≥ 0.9", spread(back)[0] >= 0.9))
    for n in LATER:
        later = [f[f"back_{n}"] for f in found.values() if f"back_{n}" in f]
        if later:
            lines.append(Line(f"drift: lost value back after {n:,} decisions", told(later)))
    return lines


WORLDS = Part(
    [Run(f"{kind}/{name}/{s}", play, (kind, name, s)) for name in PLAYERS for kind in STATIONARY for s in SEEDS],
    _world_lines,
)
CHANGES = Part(
    [Run(f"{f.__name__}/{s}".replace("meet_", ""), f, (s,)) for f in (meet_new_action, drift) for s in SEEDS],
    _change_lines,
)
