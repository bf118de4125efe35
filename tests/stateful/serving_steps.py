"""What one process does of a company: it answers requests, and does of itself what every replica does now and then."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.brain.runtime import Brain
from serving.customers import erasing
from serving.events.moments import Watcher
from serving.settings import Workspace
from tests.serving.workspaces import Client, Json
from tests.stateful.importing import load


class OneLoop(Client):
    """A client that keeps its event loop: a new one for each request costs as much as the request."""

    def __init__(self, brain: Brain) -> None:
        super().__init__(brain)
        self._runner = asyncio.Runner()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Json]:
        return self._runner.run(self.ask(method, path, body, **headers))

    def close(self) -> None:
        """End the event loop."""
        self._runner.close()


class Steps:
    """A replica in this process."""

    def __init__(self, brain: Brain) -> None:
        self.brain = brain
        self.client = OneLoop(brain)
        self.watcher = Watcher(brain)

    def __call__(self, step: tuple[str, str, Any]) -> Any:
        """Return what a step answers: of a request its status and content."""
        method, path, body = step
        if method != "do":
            return self.client(method, path, body)
        return getattr(self, path)(*([] if body is None else [body]))

    def tend(self) -> None:
        """Do what is due for erasures."""
        self.brain.compact()
        erasing.tend(self.brain)

    def refresh(self) -> None:
        """Take up the release that serves now."""
        self.brain.refresh_release()

    def load(self, folder: str) -> None:
        """Import the files of a folder."""
        load(self.brain, Path(folder))

    def look(self) -> None:
        """Decide the moments that are due."""
        self.watcher.decide_due()

    def send(self) -> None:
        """Call the webhook for what is due."""
        self.watcher.send_due()


def steps_of(root: Path) -> Callable[[tuple[str, str, Any]], Any]:
    """Return the steps of a new replica of a workspace."""
    return Steps(Brain(Workspace.open(root)))
