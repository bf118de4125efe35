"""Public campaign logs imported by the recipes, whole or in part."""

import csv
from pathlib import Path

from features.importing import ImportPlan, ImportResult, make_plan, open_mapping
from features.ledger import now_us
from tests.features.importing_help import ImportWorkspace
from tests.training.conftest import shared
from training.registry import Registry

FILES = {
    "hillstrom": "data/hillstrom/hillstrom.csv",
    "bank-marketing": "data/bank_marketing/bank-additional-full.csv",
    "telco-churn": "data/telco_churn/churn.csv",
}


def path_of(recipe: str) -> Path:
    """Return the path of the data set's file; skip the test, with what is missing, if there is none."""
    name = Path(FILES[recipe])
    return shared(str(name.parent)) / name.name


def rows_of(recipe: str) -> list[dict[str, str]]:
    """Return the file's rows as Python reads them."""
    with path_of(recipe).open(newline="") as file:
        return list(csv.DictReader(file, delimiter=";" if recipe == "bank-marketing" else ","))


def plan_of(recipe: str, folder: Path, every: int = 1) -> ImportPlan:
    """Return the plan to import every `every`-th row."""
    path, (source, _) = path_of(recipe), open_mapping(recipe)
    if every > 1:
        header, *lines = path.read_text().splitlines(keepends=True)
        path = folder / path.name
        path.write_text(header + "".join(lines[::every]))
    return make_plan(source, {source.mapping.files[0].id: path}, now_us())


class Imported(ImportWorkspace):
    """A workspace with the imported data of a recipe."""

    def __init__(self, recipe: str, folder: Path, every: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        plan = plan_of(recipe, folder, every)
        super().__init__(folder / "data", plan)
        self.plan = plan
        self.registry = Registry(self.data)
        self.written: ImportResult = self.write(plan)
