"""A second workspace serves on the same machine while the first goes on serving."""

import signal
from pathlib import Path

import pytest

from tests.serving.server import Server, product
from tests.serving.workspaces import ask

pytestmark = [pytest.mark.server, pytest.mark.long]


@pytest.mark.promise("serving.second-workspace")
def test_a_second_workspace_serves_beside_it_and_ctrl_c_leaves_nothing(server: Server, tmp_path: Path) -> None:
    """The second server is stopped by Ctrl-C; the first gets SIGTERM at the end of the run (conftest.py)."""
    second = product(tmp_path / "second")
    second.start()
    try:
        answers = [one("POST", "/v1/decisions", ask("beside-1", "c-beside")) for one in (server, second)]
        assert [status for status, _ in answers] == [200, 200]
        first, other = (answer["decision_id"] for _, answer in answers)
        assert second("GET", f"/v1/decisions/{other}")[0] == 200
        assert second("GET", f"/v1/decisions/{first}")[0] == 404, "two ledgers"
        assert not {p.port for p in server.listeners()} & {p.port for p in second.listeners()}
    finally:
        code = second.stop(signal.SIGINT)
    assert (code, second.pids(), second.listeners()) == (0, [], []), second.output
    assert second.stopped_s < 5
    assert server("GET", "/readyz")[0] == 200
