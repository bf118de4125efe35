"""A workspace of marked customers and a client of its brain, one for each module."""

from collections.abc import Iterator

import pytest

from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.promises.marked_customers import marked_workspace
from tests.serving.workspaces import Client


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return marked_workspace(tmp_path_factory.mktemp("promises") / "ws")


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[Client]:
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()
