"""Signing in and out in a real browser, by keyboard alone, and what a page of another origin can do meanwhile."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.settings import Workspace
from tests.pages.browser import SCHEMES, focus_order, opened, overflow, violations
from tests.serving.people.openid import CLIENT, SECRET, OpenId, provider
from tests.serving.server import free_port
from tests.serving.workspaces import Client, consent, small_workspace, welcome

PASSWORD = "correct horse battery"
DOINGS = ("consent", "look", "tombstone")
"""What a page of another origin would have recorded."""
ATTACK = """async ([target, consent]) => {
  const cookies = {credentials: "include"}, told = {}
  const json = {...cookies, headers: {"Content-Type": "application/json"}, body: consent}
  const attempts = {
    read: () => fetch(target + "/v1/customers/c-jan", cookies),
    look: () => fetch(target + "/v1/customers/c-jan", {...cookies, mode: "no-cors"}),
    consent: () => fetch(target + "/v1/consents", {...json, method: "POST"}),
    plain: () => fetch(target + "/v1/consents", {...cookies, method: "POST", mode: "no-cors", body: consent}),
    erase: () => fetch(target + "/v1/customers/c-jan", {...cookies, method: "DELETE"}),
    leave: () => fetch(target + "/sign-out",
      {...cookies, method: "POST", mode: "no-cors", body: new URLSearchParams({csrf: "x"})}),
  }
  for (const [name, attempt] of Object.entries(attempts)) {
    try { told[name] = (await attempt()).type } catch (error) { told[name] = error.name }
  }
  return told }"""


@dataclass(frozen=True)
class Site:
    """The pages of a workspace as a server of this process serves them."""

    address: str
    brain: Brain
    openid: OpenId


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A workspace with a provider, in which `jo` is an admin with a password."""
    workspace = small_workspace(tmp_path_factory.mktemp("sign-in") / "shop")
    (workspace.keys / "sign-in").touch(0o600)
    (workspace.keys / "sign-in").write_text(SECRET)
    with provider() as openid, serving(workspace.root, openid) as served:
        yield served


@contextmanager
def serving(root: Path, openid: OpenId) -> Iterator[Site]:
    """Serve a workspace on a port of this machine, with `openid` as its provider."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {
        "issuer": openid.issuer,
        "client_id": CLIENT,
        "client_secret_file": "keys/sign-in",
        "address": address,
        "roles": {"agents": ["agent"]},
    }
    openid.back = f"{address}/sign-out"
    (root / "brain.yaml").write_text(json.dumps({"sign_in": settings}))
    brain = Brain(Workspace.open(root))
    client = Client(brain)
    with ThreadPoolExecutor(1) as beside:  # in this thread the browser runs
        beside.submit(welcome, client, "c-jan").result()
    people.add(brain.workspace, "jo", ["admin"], PASSWORD, "root")
    server = uvicorn.Server(uvicorn.Config(client.app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Site(address, brain, openid)
    server.should_exit = True
    thread.join()
    brain.close()


@contextmanager
def signed_in(browser: Browser, site: Site) -> Iterator[Page]:
    """Yield the page of a person who signed in with the provider, in a browser of their own."""
    window = browser.new_context()
    page = window.new_page()
    page.goto(f"{site.address}/sign-in")
    page.get_by_role("link", name="Sign in with your company account").click()
    expect(page.get_by_role("heading")).to_have_text("You are signed in")
    yield page
    window.close()


@pytest.mark.promise("people.pages")
def test_the_page_is_accessible_in_light_and_dark_and_needs_no_sideways_scrolling(browser: Browser, site: Site) -> None:
    for scheme in SCHEMES:
        with opened(browser, f"{site.address}/sign-in", width=320, color_scheme=scheme) as page:
            page.get_by_text("Sign in with a password").click()
            assert (violations(page), overflow(page)) == ([], []), scheme


@pytest.mark.long
@pytest.mark.promise("people.pages")
def test_a_person_signs_in_and_out_by_keyboard_alone(browser: Browser, site: Site) -> None:
    window = browser.new_context()
    page = window.new_page()
    page.goto(f"{site.address}/sign-in")
    page.get_by_text("Sign in with a password").focus()
    keys(page, "Enter", "Tab", "jo", "Tab", "wrong", "Enter")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    assert violations(page) == []
    page.get_by_label("Password").focus()
    keys(page, PASSWORD, "Enter")
    expect(page.get_by_role("heading")).to_have_text("You are signed in")
    assert violations(page) == []
    assert focus_order(page)[-1] == "button Sign out"
    page.get_by_role("button", name="Sign out").focus()
    keys(page, "Enter")
    expect(page.get_by_role("heading")).to_have_text("Sign in")
    window.close()


def keys(page: Page, *typed: str) -> None:
    """Press the keys that are named, and type all else."""
    for text in typed:
        if text in ("Enter", "Tab"):
            page.keyboard.press(text)
        else:
            page.keyboard.type(text)


@pytest.mark.promise("people.sign-out")
def test_a_browser_that_signs_out_is_signed_out_at_the_provider_and_comes_back(browser: Browser, site: Site) -> None:
    with signed_in(browser, site) as page:
        assert site.openid.is_signed_in
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are signed out here and of your company account.")).to_be_visible()
        assert not site.openid.is_signed_in
        assert violations(page) == []
        page.get_by_role("link", name="Sign in again").click()
        expect(page.get_by_role("heading")).to_have_text("Sign in")


@pytest.mark.promise("doors.origins")
def test_a_page_of_another_origin_does_nothing_in_the_name_of_who_is_signed_in(
    browser: Browser, site: Site, tmp_path: Path
) -> None:
    """It is of the same machine, so the browser sends the session's cookie along."""
    (tmp_path / "index.html").write_text("<!doctype html><title>Foreign</title>")
    foreign = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
    threading.Thread(target=foreign.serve_forever, args=(0.02,), daemon=True).start()
    with signed_in(browser, site) as page:
        before = site.brain.ledger.scan(DOINGS)
        other = page.context.new_page()
        other.goto(f"http://127.0.0.1:{foreign.server_port}/index.html")
        told = other.evaluate(ATTACK, [site.address, json.dumps(consent("c-jan", "marketing"))])
        assert set(told.values()) == {"TypeError"}, "the browser let it read nothing"
        assert site.brain.ledger.scan(DOINGS) == before
        page.reload()
        expect(page.get_by_role("heading")).to_have_text("You are signed in")
    foreign.shutdown()
