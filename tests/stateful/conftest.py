"""One company for all short tests of this folder: every case has people of its own."""

from collections.abc import Iterator

import pytest

from tests.stateful.company import Company


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Return a company that is served until the module's tests are over."""
    with Company(tmp_path_factory.mktemp("company")).open() as opened:
        yield opened
