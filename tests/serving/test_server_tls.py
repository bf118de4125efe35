"""`brain serve` with a certificate, asked as a user asks it, with curl."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.serving.server import Server, product
from tests.serving.test_haproxy_doors import certificate
from tests.serving.workspaces import ask

pytestmark = [pytest.mark.server, pytest.mark.long]


def curl(server: Server, path: str, *more: str) -> tuple[int, str]:
    """Return the exit code of curl, and what it prints."""
    command = ["curl", "-sS", "--max-time", "10", *more, f"{server.url}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.promise("doors.tls")
def test_a_server_with_a_certificate_is_ready_decides_and_answers_nothing_else(tmp_path: Path) -> None:
    """Its supervisor asks it before it says that it is ready. It does not start again with an expired certificate."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    server = product(tmp_path / "shop")
    files = certificate(tmp_path)
    server.url = f"https://localhost:{server.port}"
    settings: dict[str, Any] = {"host": "localhost", "port": server.port, "tls": files.model_dump()}
    (server.root / "brain.yaml").write_text(json.dumps({"environment": "test", "http": settings}))
    server.start()
    try:
        trusted = ("--cacert", files.certificate)
        key = ("-H", f"Authorization: Bearer {server.key}")
        code, answer = curl(server, "/v1/decisions", *trusted, *key, "--json", json.dumps(ask("tls-1")))
        assert code == 0, answer
        assert json.loads(answer)["decision_id"]
        assert json.loads(curl(server, "/readyz", *trusted, *key)[1])["status"]
        assert "docs/" in curl(server, "/docs", *trusted)[1]
        code, answer = curl(server, "/healthz")
        assert (code, "self-signed certificate" in answer or "self signed certificate" in answer) == (60, True)
        server.url = f"http://localhost:{server.port}"
        assert curl(server, "/healthz")[0] != 0
    finally:
        code = server.stop()
    assert (code, server.pids(), server.listeners()) == (0, [], []), server.output
    certificate(tmp_path, begins_in=-9)
    again = subprocess.run(server.command(), capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 1
    assert again.stderr.strip().splitlines()[-1].startswith(f"http.tls: {files.certificate} expired on 20")
    assert "Traceback" not in again.stderr
