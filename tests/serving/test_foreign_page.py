"""A page of another site in a real Chromium, against a server that asks for no key: it reads and changes nothing."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving.server import free_port
from tests.serving.workspaces import Client, consent, small_workspace, welcome

pytestmark = pytest.mark.long

CUSTOMER = "c-jan"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGE = """<!doctype html><meta charset="utf-8"><body><script>
const target = "%s", consent = %s, told = {}
const json = {"Content-Type": "application/json"}
const attempts = {
  read: () => fetch(target + "/v1/customers/c-jan"),
  export: () => fetch(target + "/v1/customers/c-jan/export"),
  health: () => fetch(target + "/healthz"),
  decide: () => fetch(target + "/v1/decisions", {method: "POST", headers: json, body: "{}"}),
  consent: () => fetch(target + "/v1/consents", {method: "POST", headers: json, body: consent}),
  plain: () => fetch(target + "/v1/consents", {method: "POST", mode: "no-cors", body: consent}),
  form: () => fetch(target + "/v1/consents", {method: "POST", mode: "no-cors", body: new URLSearchParams(consent)}),
  beacon: async () => navigator.sendBeacon(target + "/v1/consents", new Blob([consent], {type: "text/plain"})),
  erase: () => fetch(target + "/v1/customers/c-jan", {method: "DELETE"}),
  restrict: () => fetch(target + "/v1/customers/c-jan", {method: "PATCH", headers: json, body: '{"restricted": true}'}),
  script: () => new Promise((done, failed) => {
    const script = document.createElement("script")
    script.src = target + "/v1/customers/c-jan"
    script.onload = () => done(true)
    script.onerror = () => failed(new Error("script"))
    document.head.append(script)
  }),
  frame: () => new Promise((done) => {
    const frame = document.createElement("iframe")
    frame.src = target + "/docs"
    frame.onload = () => { try { done(frame.contentDocument.body.innerHTML) } catch (error) { done(error.name) } }
    document.body.append(frame)
  }),
}
async function attack() {
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      const answer = await attempt()
      told[name] = answer instanceof Response ? [answer.type, answer.status, await answer.text()] : answer
    } catch (error) { told[name] = error.name }
  }
  document.body.textContent = "TOLD" + JSON.stringify(told) + "END"
}
attack()
</script>"""


@contextmanager
def served(brain: Brain, client: Client) -> Iterator[int]:
    """Serve the application over a real socket; yields its port."""
    server = uvicorn.Server(uvicorn.Config(client.app, port=free_port(), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.config.port
    server.should_exit = True
    thread.join()


def shown(url: str, profile: Path, *options: str) -> str:
    """Return the text of a page after its scripts ran in Chromium."""
    assert CHROMIUM is not None
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
    command = [
        CHROMIUM,
        *quiet,
        f"--user-data-dir={profile}",
        "--virtual-time-budget=8000",
        *options,
        "--dump-dom",
        url,
    ]
    return unescape(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")
@pytest.mark.promise("doors.origins")
@pytest.mark.parametrize("listed", [False, True], ids=["a foreign site", "a listed site"])
def test_a_foreign_page_reads_and_changes_nothing(tmp_path: Path, listed: bool) -> None:
    """What a listed site's page can do shows that the attempts are such as work."""
    pages = tmp_path / "pages"
    pages.mkdir()
    foreign = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=pages))
    threading.Thread(target=foreign.serve_forever, args=(0.02,), daemon=True).start()
    site = f"http://127.0.0.1:{foreign.server_port}"
    root = small_workspace(tmp_path / "shop").root
    (root / "brain.yaml").write_text(f"http: {{keys: off, origins: {[site] if listed else []}}}\n")
    brain = Brain(Workspace.open(root))
    client = Client(brain, None)
    welcome(client, CUSTOMER)
    before = client("GET", f"/v1/customers/{CUSTOMER}")
    with served(brain, client) as port:
        withdrawal = json.dumps(json.dumps(consent(CUSTOMER, "marketing", "withdrawn")))
        (pages / "index.html").write_text(PAGE % (f"http://127.0.0.1:{port}", withdrawal))
        text = shown(f"{site}/index.html", tmp_path / "profile")
        rebound = shown(
            f"http://evil.example:{port}/v1/customers/{CUSTOMER}",
            tmp_path / "profile",
            "--host-resolver-rules=MAP evil.example 127.0.0.1",
        )
    told: dict[str, Any] = json.loads(text.partition("TOLD")[2].partition("END")[0])
    assert "wrong-host" in rebound
    assert "marketing" not in rebound
    if listed:
        assert told["read"][1] == told["consent"][1] == told["erase"][1] == 200
    else:
        blocked = {name: answer for name, answer in told.items() if answer == "TypeError"}
        sent = {"decide", "consent", "plain", "form", "erase", "restrict"}
        assert blocked.keys() >= {"read", "export", "health", *sent}, told
        assert "monthly_fee_eur" not in text
        assert "swagger" not in str(told["frame"])
        assert client("GET", f"/v1/customers/{CUSTOMER}") == before
    brain.close()
    foreign.shutdown()
