"""What an erasure leaves behind while a real server runs: in the workspace, in Ray's folder and in the current one."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from serving.settings import Workspace
from tests.promises.marked_customers import Marks, marked_workspace, store_everything
from tests.serving.server import Server
from tests.serving.workspaces import Json
from tests.stateful.searching import traces

WITHIN_S = 20


class Asking:
    """Requests to a server in the form that `store_everything` takes."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Json]:
        return self._server(method, path, body)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that is not started, of a workspace with recognisable fields, whose current folder is `here`."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    workspace = marked_workspace(tmp_path / "workspace")
    server = Server(workspace.root)
    settings = workspace.root / "brain.yaml"
    settings.write_text(settings.read_text().replace("test", "dev") + f"erasure: {{within_s: {WITHIN_S}}}\n")
    return server


@pytest.mark.long
def test_while_ray_serves_nothing_of_the_erased_is_left_in_any_folder(server: Server, tmp_path: Path) -> None:
    one, other = Marks("zxqservedw"), Marks("zxqstaysw")
    server.start()
    try:
        ray = Path(json.loads((Workspace(server.root, None).run / "serve.json").read_text())["temp"])  # type: ignore[arg-type]
        folders = [tmp_path, ray]
        for marks in (one, other):
            asyncio.run(store_everything(Asking(server), marks))  # type: ignore[arg-type]
        server.brain("export", one.customer, "--out", "exported.json")
        assert traces(folders, {one.mark, one.email}, set())
        assert server("DELETE", f"/v1/customers/{one.customer}")[0] == 200
        time.sleep(WITHIN_S)
        assert traces(folders, {one.mark, one.email}, set()) == []
        assert traces(folders, {other.mark}, set())
    finally:
        server.stop()
