"""Fixtures of the small catalogue: eight actions over all five issues."""

from pathlib import Path

import pytest

from decisioning.catalogue.files import Catalogue, load

SMALL = Path(__file__).parents[1] / "catalogues" / "small"


@pytest.fixture(scope="session")
def small_files() -> dict[str, str]:
    """The small catalogue's files: relative path -> text."""
    return {path.name: path.read_text("utf-8") for path in sorted(SMALL.glob("*.yaml"))}


@pytest.fixture(scope="session")
def small(small_files: dict[str, str]) -> Catalogue:
    """The small catalogue, loaded."""
    return load(small_files)
