"""The real server, from outside: none of its secrets is where somebody else, or a log's reader, comes across it."""

import base64
import http.client
import json
import re
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest

from serving.access.files import read_key_file
from serving.brain.active import open_ledger
from serving.events.webhooks import signing_secrets
from serving.lifecycle import processes
from serving.settings import Workspace
from tests.serving.server import Server, until
from tests.serving.test_keys import REACH, SCOPES

pytestmark = pytest.mark.server


def secrets_of(server: Server) -> dict[str, list[bytes]]:
    """Return each secret of a workspace that serves, by name, in the forms in which it might be written."""
    workspace = Workspace.open(server.root)
    with open_ledger(workspace) as ledger:
        (webhook,) = signing_secrets(workspace, ledger)
    found = {f"key {scope}": [read_key_file(workspace, scope).encode()[12:]] for scope in SCOPES}
    for name, secret in (("secret", workspace.secret()), ("webhook", webhook)):
        found[name] = [secret, secret.hex().encode(), base64.b64encode(secret)]
    temp = Path(json.loads((server.root / "data/run/serve.json").read_text())["temp"])
    found["ray-token"] = [(temp / "ray-token").read_bytes().strip()]
    return found


def told_in(secrets: dict[str, list[bytes]], places: dict[str, bytes]) -> list[tuple[str, str]]:
    """Return which secret is told where."""
    forms = [(name, form) for name, forms in secrets.items() for form in forms]
    return [(name, where) for where, text in places.items() for name, form in forms if form in text]


def answers(server: Server) -> dict[str, bytes]:
    """Return the answers of every route to a right key and to a wrong one, also where the URL holds a key."""
    found = {}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for key in (server.key, server.key[:-1] + "-"):
        headers = {**server.headers, "Authorization": f"Bearer {key}", "Cookie": f"key={server.key}"}
        for method, route, body, _ in REACH:
            path = re.sub(r"\{\w+\}", "x", route) + f"?channel=none&key={server.key}"
            sent = body if isinstance(body, bytes) or body is None else json.dumps(body)
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            found[f"{method} {route} {answer.status}"] = str(answer.headers).encode() + answer.read()
        connection.request("GET", f"/v1/customers/{server.key}", headers=headers)  # an answer says whom it is about
        connection.getresponse().read()
    connection.close()
    assert until(lambda: _is_let_in(server), within_s=10), "so many wrong keys are refused for a second"
    return found


def of_own_page(server: Server) -> dict[str, list[bytes]]:
    """Return the code of a link by which a customer opened their own page, and the cookie that they got for it."""
    link = urlsplit(server("POST", "/v1/customers/c-own/links", {})[1]["url"])
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", f"{link.path}?{link.query}", headers={"Accept": "text/html"})
    shown = connection.getresponse()
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', shown.read().decode()))
    cookie = str(shown.headers["Set-Cookie"]).partition(";")[0]
    form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie, "Accept": "text/html"}
    statuses = []
    while len(statuses) < 2:  # the second one is refused
        connection.request("POST", link.path, urlencode(fields), form)
        entered = connection.getresponse()
        entered.read()
        if entered.status == 429:  # other tests signed in just now, from this address
            time.sleep(int(entered.headers["Retry-After"]))
            continue
        statuses.append(entered.status)
        cookie = str(entered.headers["Set-Cookie"] or cookie).partition(";")[0]
    connection.close()
    assert statuses == [303, 410]
    return {"link": [fields["code"].encode()], "visit": [cookie.partition("=")[2].encode()]}


def _is_let_in(server: Server) -> bool:
    with suppress(OSError), urlopen(f"{server.url}/openapi.json") as answer:
        return bool(answer.status == 200)
    return False


@pytest.mark.promise("keys.nothing-told", "me.links")
def test_no_secret_is_in_a_process_list_an_environment_a_log_or_an_answer(server: Server) -> None:
    """A caller puts its key into paths and queries, too, and Ray, HAProxy and the replica write their logs."""
    secrets, places = {**secrets_of(server), **of_own_page(server)}, answers(server)
    for pid in processes.all_pids():
        with suppress(OSError):
            places[f"command of {pid}"] = Path(f"/proc/{pid}/cmdline").read_bytes()
    for pid in server.pids():
        places[f"environment of {pid}"] = Path(f"/proc/{pid}/environ").read_bytes()
    run = json.loads((server.root / "data/run/serve.json").read_text())
    private = {"ray-token", "secret"}
    for folder in (server.root / "data/run", Path(run["temp"])):
        written = [path for path in folder.rglob("*") if path.is_file() and path.name not in private]
        assert written
        places.update({str(path): path.read_bytes() for path in written})
    places["terminal"] = server.output.encode()
    assert told_in(secrets, places) == []
    planted = {name: b"x" + forms[-1] + b"x" for name, forms in secrets.items()}
    assert told_in(secrets, planted) == [(name, name) for name in planted], "it would be found"
