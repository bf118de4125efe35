"""The small catalogue: eight actions over all five issues, for whoever tests the core."""

from pathlib import Path

import pytest

from decisioning.catalogue.files import Catalogue, load

SMALL = Path(__file__).parents[1] / "catalogues" / "small"


@pytest.fixture(scope="session")
def small_files() -> dict[str, str]:
    """Relative path -> text."""
    return {path.name: path.read_text("utf-8") for path in sorted(SMALL.glob("*.yaml"))}


@pytest.fixture(scope="session")
def small(small_files: dict[str, str]) -> Catalogue:
    """Loaded."""
    return load(small_files)
