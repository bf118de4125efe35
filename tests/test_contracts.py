"""Import contracts fail when they are broken: one violation of each, all seven reported."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("decisioning", "features", "training", "serving")
VIOLATIONS = {
    "decisioning/deciding/worth.py": ["import sqlalchemy", "import feast", "import lightgbm", "import features.ledger"],
    "features/matrix.py": ["import ray", "import mlflow"],
    "serving/commands/progress.py": ["import training.propensity"],
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_every_contract_fails_when_it_is_broken(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert _lint(tmp_path).returncode == 0
    for name, lines in VIOLATIONS.items():
        file = tmp_path / name
        file.write_text(file.read_text() + "\n" + "\n".join(lines) + "\n")
    broken = _lint(tmp_path)
    assert broken.returncode == 1
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert [c["name"] for c in contracts if f"{c['name']} BROKEN" not in broken.stdout] == []
