"""`brain import draft` and `--check`, as a person runs them: in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.features.drafting_help import confirmed

ROOT = Path(__file__).resolve().parents[1]
ROWS = "customer_id,age,plan,clicked\n" + "".join(f"c{n},{20 + n % 50},basic,{n % 3 == 0}\n" for n in range(200))


PROGRAM = """
import sys
import brain
try:
    brain.main(prog_name="brain")
finally:
    print({name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def brain(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; the last line of its errors holds the libraries that it loaded."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "people.csv").write_text(ROWS)
    made = brain(folder, "import", "draft", "people.csv", "--workspace", "shop")
    assert made.returncode == 0, made.stderr
    assert "next: write what is true in place of each FILL_IN" in made.stdout
    return folder / "shop"


@pytest.mark.promise("imports.draft")
def test_no_draft_replaces_a_file(shop: Path) -> None:
    before = (shop / "people.yaml").read_bytes()
    again = brain(shop, "import", "draft", "../people.csv")
    assert (again.returncode, again.stderr.splitlines()[-2].endswith("or name another with --out")) == (1, True)
    assert (shop / "people.yaml").read_bytes() == before


@pytest.mark.promise("imports.check")
def test_a_check_tells_all_at_once_and_loads_nothing_heavy(shop: Path) -> None:
    """Blanks, a column that the file does not have and a protection that is missing, each with its line."""
    text = (shop / "people.yaml").read_text()
    (shop / "blank.yaml").write_text(text.replace("column: age,", "column: agee,"))
    files = sorted(path.name for path in shop.rglob("*"))
    checked = brain(shop, "import", "blank.yaml", "--check")
    *said, loaded = checked.stderr.splitlines()
    assert checked.returncode == 1
    assert len([line for line in said if "is blank (" in line]) == text.count("FILL_IN") - 1
    assert any("has no column `agee`" in line and "did you mean `age`?" in line for line in said)
    assert not any(f"'{heavy}'" in loaded for heavy in ("pandas", "feast", "lightgbm", "mlflow", "ray", "sklearn"))
    assert sorted(path.name for path in shop.rglob("*")) == files


@pytest.mark.promise("imports.check")
def test_a_check_finds_what_the_catalogue_would_refuse(shop: Path) -> None:
    filled, _ = confirmed((shop / "people.yaml").read_text(), positive='"True"')
    (shop / "filled.yaml").write_text(filled)
    assert "nothing is missing" in brain(shop, "import", "filled.yaml", "--check").stdout
    (shop / "filled.yaml").write_text(filled.replace("protects: [hardship, arrears]", "protects: hardship"))
    refused = brain(shop, "import", "filled.yaml", "--check")
    assert "there is no protection of kind `arrears`" in refused.stderr
