"""One browser for all tests of pages: they form one piece of work, see tests/conftest.py."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.pages.browser import CHROMIUM, MISSING, chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium. It ends with the last test of this folder: while it runs, asyncio cannot start here."""
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with chromium() as started:
        yield started
