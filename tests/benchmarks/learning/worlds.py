"""The fixed worlds: the share of the oracle's advantage that is lost, and the response to a new action and to drift."""

from collections.abc import Mapping

import numpy as np

from tests.benchmarks.learning.parts import Figures, Line, Part, Run, mean_and_half_width, mean_with_interval
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
    """Return the shares of the oracle's advantage lost over the last fifth and over all decisions."""
    x, p = world(kind, seed)
    choices = PLAYERS[player](x, p, draws(seed), seed)
    return {"last_fifth": lost_share(p, choices, LAST_FIFTH), "all": lost_share(p, choices, 0)}


def meet_new_action(seed: int) -> Figures:
    """Return the share of customers with the new action as best who get it, 10,000 and 20,000 decisions later."""
    x, p = world("new_action", seed)
    choices = PLAYERS[OURS](x, p, draws(seed), seed)
    best = np.nanargmax(p, axis=1) == p.shape[1] - 1
    placed = {}
    for after in (10_000, 20_000):
        rows = slice(HALF + after, HALF + after + 4_000)
        placed[f"after_{after}"] = float((choices[rows] == p.shape[1] - 1)[best[rows]].mean())
    return placed


def drift(seed: int) -> Figures:
    """Return the regained share of the value lost by the change, over 4,000 decisions: after two refits, and later.

    A learner that leaves out most of the log is refitted more often; the two refits counted are those of one that does
    not. The loss by the change is measured before the first of them.
    """
    x, p = world("drift", seed)
    choices = PLAYERS[OURS](x, p, draws(seed), seed)
    first, second = [t for t in refit_times(N, p.shape[1]) if t > HALF][:2]
    before = lost_share(p[:HALF], choices[:HALF], HALF - 4_000)
    after_change = _lost(p, choices, HALF, first)
    back = {
        name: (after_change - _lost(p, choices, at, at + 4_000)) / (after_change - before)
        for name, at in (("back", second), *((f"back_{n}", HALF + n) for n in LATER))
    }
    return {"before": before, "fallen": after_change, **back}


def _lost(p: Floats, choices: Ints, start: int, end: int) -> float:
    return lost_share(p[start:end], choices[start:end], 0)


def _world_lines(results: Mapping[str, Figures]) -> list[Line]:
    lines = []
    for kind in STATIONARY:
        lost = {name: _by_seed(results, kind, name) for name in PLAYERS}
        ours = lost[OURS]
        for name, by_seed in lost.items():
            if by_seed:
                goal, met = (
                    (f"≤ {LOST_GOAL}", mean_and_half_width(list(by_seed.values()))[0] <= LOST_GOAL)
                    if name == OURS
                    else ("", None)
                )
                lines.append(
                    Line(
                        f"{kind}, {name}: advantage lost, last fifth",
                        mean_with_interval(list(by_seed.values())),
                        goal,
                        met,
                    )
                )
        lines.extend(
            _comparison(kind, name, ours, by_seed) for name, by_seed in lost.items() if name != OURS and by_seed
        )
    return lines


def _comparison(kind: Kind, name: str, ours: Mapping[int, float], theirs: Mapping[int, float]) -> Line:
    """Return the paired difference over seeds; the goal is met unless the peer is better by more than chance."""
    more = [theirs[s] - ours[s] for s in sorted(ours.keys() & theirs.keys())]
    if len(more) < 2:
        return Line(f"{kind}: {name} loses more than ours", "too few seeds")
    centre, half = mean_and_half_width(more)
    return Line(f"{kind}: {name} loses more than ours", mean_with_interval(more), "not less", centre + half >= 0.0)


def _by_seed(results: Mapping[str, Figures], kind: Kind, name: str) -> dict[int, float]:
    return {s: results[f"{kind}/{name}/{s}"]["last_fifth"] for s in SEEDS if f"{kind}/{name}/{s}" in results}


def _change_lines(results: Mapping[str, Figures]) -> list[Line]:
    lines = []
    for after, goal in ((10_000, 0.6), (20_000, 0.8)):
        values = [f[f"after_{after}"] for name, f in results.items() if name.startswith("new_action")]
        if values:
            what = f"new action: rightly placed {after:,} decisions after it appears"
            lines.append(Line(what, mean_with_interval(values), f"≥ {goal}", mean_and_half_width(values)[0] >= goal))
    back = [f["back"] for name, f in results.items() if name.startswith("drift")]
    if back:
        lines.append(
            Line(
                "drift: lost value back after two retrains",
                mean_with_interval(back),
                "≥ 0.9",
                mean_and_half_width(back)[0] >= 0.9,
            )
        )
    for n in LATER:
        later = [f[f"back_{n}"] for f in results.values() if f"back_{n}" in f]
        if later:
            lines.append(Line(f"drift: lost value back after {n:,} decisions", mean_with_interval(later)))
    return lines


WORLDS = Part(
    [Run(f"{kind}/{name}/{s}", play, (kind, name, s)) for name in PLAYERS for kind in STATIONARY for s in SEEDS],
    _world_lines,
)
CHANGES = Part(
    [Run(f"{f.__name__}/{s}".replace("meet_", ""), f, (s,)) for f in (meet_new_action, drift) for s in SEEDS],
    _change_lines,
)
