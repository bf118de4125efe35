"""From three public files as they come to a model and a page about it: four commands, and 20 lines of YAML at most."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from decisioning.catalogue.files import load
from features.importing import catalogue_files, make_plan, open_mapping
from features.importing.plan import assign_paths
from tests.features.drafting_help import NOW_US, confirmed, drafted
from tests.training.conftest import shared

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "bank": ("data/bank_marketing", "bank-additional-full.csv", '"yes"', 0.78),
    "churn": ("data/telco_churn", "churn.csv", '"Yes"', 0.83),
    "bandit": ("data/obd_small/random", "all.csv.gz", "1", 0.0),
}
"""Name -> folder, file, the text of the outcome that counts, and the AUC that the model reaches at least."""
CONSENTS = {"churn": "[]"}
"""What a person says of consents where nothing is sold."""
TRAIN = {"churn": ("train", "risk", "--outcome", "churn", "--feature", "churn_risk")}
CARD = {"churn": ("card", "--model", "churn-risk")}


def answers(name: str) -> dict[str, str]:
    """Return what a person says of this file, beside what is said of each."""
    return {"positive": FILES[name][2], **({"consents": CONSENTS[name]} if name in CONSENTS else {})}


def public(name: str) -> Path:
    """Return the file as it comes; the test is skipped where it is absent."""
    folder, file, *_ = FILES[name]
    return shared(folder) / file


def cut(path: Path, to: Path, every: int) -> Path:
    """Write every so many rows of a file to a folder, packed as it was."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt") as file:
        header, *lines = file.readlines()
    with opened(to / path.name, "wt") as file:
        file.writelines([header, *lines[::every]])
    return to / path.name


@pytest.mark.promise("imports.public-files")
@pytest.mark.parametrize("name", FILES)
def test_a_draft_of_a_public_file_needs_at_most_20_lines_of_a_person(name: str, tmp_path: Path) -> None:
    text = drafted(tmp_path, cut(public(name), tmp_path, 20))
    filled, written = confirmed(text, **answers(name))
    (tmp_path / "drafted.yaml").write_text(filled)
    source, folder = open_mapping(str(tmp_path / "drafted.yaml"))
    plan = make_plan(source, assign_paths(source, folder, ()), NOW_US)
    assert written <= 20
    assert sum(len(o.row) for o in plan.contacts[0].outcomes) > 0
    load(catalogue_files(plan))


def brain(folder: Path, *arguments: str) -> dict[str, Any]:
    """Return the result of a command in a process of its own; it must succeed."""
    command = [sys.executable, str(ROOT / "brain.py"), *arguments, "--workspace", str(folder), "--json"]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)  # noqa: PLW1510
    assert run.returncode == 0, run.stdout
    result: dict[str, Any] = json.loads(run.stdout)
    return result


@pytest.mark.long
@pytest.mark.promise("imports.public-files")
@pytest.mark.parametrize("name", FILES)
def test_four_commands_lead_from_a_public_file_to_a_model_and_its_page(name: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    draft = Path(brain(work, "import", "draft", str(public(name)))["draft"])
    filled, written = confirmed(draft.read_text(), **answers(name))
    draft.write_text(filled)
    assert written <= 20
    brain(work, "import", str(draft))
    trained = brain(work, *TRAIN.get(name, ("train",)))
    assert trained["auc"] >= FILES[name][3]
    page = Path(brain(work, *CARD.get(name, ("card",)), "--out", str(tmp_path / "card.html"))["page"])
    assert trained["model"] in page.read_text()
