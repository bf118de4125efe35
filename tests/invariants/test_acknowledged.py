"""Whatever is answered 2xx can be read back, online and by export; whatever is answered 4xx left no trace."""

from collections.abc import Iterator

import pytest

from serving.brain.runtime import Brain
from tests.invariants.acknowledged import World
from tests.serving.told_help import telling_workspace
from tests.serving.workspaces import Client


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(telling_workspace(tmp_path_factory.mktemp("acknowledged") / "ws"))
    yield Client(brain)
    brain.close()


@pytest.mark.promise("serving.acknowledged")
@pytest.mark.parametrize("seed", range(5))
def test_what_is_acknowledged_can_be_read_back_and_what_is_refused_left_no_trace(client: Client, seed: int) -> None:
    world = World(client, seed)
    for _ in range(25):
        world.step()


@pytest.mark.long
@pytest.mark.promise("serving.acknowledged")
@pytest.mark.parametrize("seed", range(100, 300))
def test_what_is_acknowledged_can_be_read_back_over_long_sequences(client: Client, seed: int) -> None:
    world = World(client, seed)
    for _ in range(60):
        world.step()
