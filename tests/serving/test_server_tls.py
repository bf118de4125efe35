"""`brain serve` with a certificate, asked as a user asks it, with curl."""

import json
import re
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from serving.commands.access import people
from serving.settings import Workspace
from tests.serving.other_user import reached
from tests.serving.server import Server, product
from tests.serving.test_haproxy_doors import certificate
from tests.serving.workspaces import ask

pytestmark = [pytest.mark.server, pytest.mark.long]


def curl(server: Server, path: str, *more: str) -> tuple[int, str]:
    """Return the exit code of curl, and what it prints."""
    command = ["curl", "-sS", "--max-time", "10", *more, f"{server.url}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.promise("doors.tls", "people.cookie", "people.sessions-rotation")
def test_a_server_with_a_certificate_is_ready_decides_and_answers_nothing_else(tmp_path: Path) -> None:
    """Its supervisor asks it before it says that it is ready. It does not start again with an expired certificate.

    Sessions of people are tried here, too, with the cookies that only TLS has.
    """
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
        check_key_is_private(server)
        check_sessions_rotate(server, files.certificate)
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


def check_key_is_private(server: Server) -> None:
    """Check that HAProxy's copy of the certificate's key is its user's alone, and that no other user reaches it."""
    temp = Path(json.loads((server.root / "data/run/serve.json").read_text())["temp"])
    copies = [path for path in temp.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert [(path.name, path.stat().st_mode & 0o777) for path in copies] == [("certificate.pem", 0o600)]
    assert reached(temp) == {}


def check_sessions_rotate(server: Server, certificate: str) -> None:
    """Check that a cookie is replaced in time, that a copied one ends its session, and that the secret is rotated."""
    ledger = Workspace.open(server.root).ledger_file
    people.add(Workspace.open(server.root), "ann", ["agent"], "correct horse battery", "root")

    def grow_older() -> None:
        with closing(sqlite3.connect(ledger, timeout=10)) as database, database:
            database.execute("UPDATE sessions SET renewed_us = renewed_us - 960000000")

    def fresh() -> requests.Session:
        session = requests.Session()
        session.verify, session.trust_env = certificate, False
        return session

    def signed_in() -> requests.Session:
        session = fresh()
        token = re.search(r'name="csrf" value="([^"]*)"', session.get(f"{server.url}/sign-in").text)
        assert token is not None
        form = {"csrf": token[1], "next": "", "name": "ann", "password": "correct horse battery"}
        assert "You are signed in" in session.post(f"{server.url}/sign-in", form).text
        return session

    def is_in(session: requests.Session) -> bool:
        return "You are signed in" in session.get(f"{server.url}/sign-in").text

    browser = signed_in()
    (cookie,) = [c for c in browser.cookies if c.name.endswith("-session")]
    assert (cookie.name[:7], cookie.secure) == ("__Host-", True)

    def copied() -> requests.Session:
        session = fresh()
        session.cookies.set(str(cookie.name), cookie.value)
        return session

    grow_older()
    assert is_in(browser)
    assert browser.cookies[str(cookie.name)] != cookie.value
    assert is_in(copied()), "requests under way had it"
    grow_older()
    assert is_in(browser)
    assert not is_in(copied())
    assert not is_in(browser), "an old cookie was copied, so the session ended"
    browser = signed_in()
    server.brain("secret", "rotate", "sessions")
    deadline = time.monotonic() + 10
    while is_in(browser) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_in(browser)
    assert is_in(signed_in())
