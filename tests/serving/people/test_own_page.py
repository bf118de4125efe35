"""How customers come to their own page: links and codes that work once, and what nobody gets by them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.ledger.tables import CUSTOMER_CODES, CUSTOMER_SESSIONS
from serving.access.people.cookies import Cookies
from serving.access.people.signing import CookieSigner
from serving.brain.runtime import Brain
from serving.customers.rights import entering
from serving.pages.me.words import words
from tests.serving.people.browser import Browser
from tests.serving.people.own_page import code_for, entered, heading, link_for, press
from tests.serving.workspaces import Client, small_workspace, welcome


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("own") / "shop"))
    client = Client(brain)
    welcome(client, "c-1")
    yield client
    brain.close()


@pytest.mark.promise("me.links")
def test_a_link_opens_the_page_once_and_only_when_its_button_is_pressed(client: Client) -> None:
    link, scanner, customer = link_for(client, "c-1"), Browser(client), Browser(client)
    for _ in range(3):
        assert heading(scanner.get(link)) == "Open your page"
    assert press(customer, link, "enter")[0] == 303
    assert heading(customer.get("/me")) == "Your data and choices"
    cookie = next(one for one in customer.cookies if one.endswith("-me"))
    assert heading(scanner.get("/me?lang=en")) == "You need a link"
    replayed = press(scanner, link, "enter")
    assert (replayed[0], heading(replayed)) == (410, "This link was used before")
    again = press(customer, link, "enter")
    assert "Go to your page" in again[2]
    assert press(customer, "/me", "leave")[0] == 200
    assert cookie not in customer.cookies
    assert heading(customer.get("/me")) == "You need a link"


@pytest.mark.promise("me.links")
def test_links_that_are_forged_expired_or_revoked_let_nobody_in_and_say_what_to_do(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = link_for(client, "c-1")
    browser = Browser(client)
    forged = press(browser, other.replace("code=", "code=x"), "enter")
    assert (forged[0], heading(forged)) == (401, "This link does not exist")
    visitor = entered(client, "c-1")
    assert client("DELETE", "/v1/customers/c-1/links")[1]["revoked"] >= 1
    revoked = press(browser, other, "enter")
    assert (revoked[0], heading(revoked)) == (410, "This link was withdrawn")
    assert heading(visitor.get("/me")) == "You need a link", "revoking ends visits, too"
    late, now_us = link_for(client, "c-1", hours=1), entering.now_us
    monkeypatch.setattr(entering, "now_us", lambda: now_us() + 3_601_000_000)
    expired = press(browser, late, "enter")
    assert (expired[0], heading(expired)) == (410, "This link is too old")
    assert "Ask us for a new one" in expired[2]


@pytest.mark.promise("me.links")
def test_no_code_and_no_id_of_a_customer_is_kept_or_sent_on(client: Client) -> None:
    link, digits = link_for(client, "c-secret"), code_for(client, "c-secret")
    code = link.partition("code=")[2].partition("&")[0]
    rows = [
        *client.brain.ledger.select(CUSTOMER_CODES.select()),
        *client.brain.ledger.select(CUSTOMER_SESSIONS.select()),
    ]
    key = client.brain.ledger.scan(["access"])[0].body["who"].partition(":")[2]  # type: ignore[index]
    records = list(client.brain.ledger.records(client.brain.subject_stream("c-secret")))
    kept = repr([tuple(row) for row in rows]) + repr([record.body for record in records])
    assert all(secret not in kept for secret in (code, digits, "c-secret"))
    assert [record.body for record in records if record.body] == [
        {"what": "link made", "who": f"key:{key}", "role": "admin"},
        {"what": "code made", "who": f"key:{key}", "role": "admin"},
    ]
    browser = Browser(client)
    status, headers, _ = browser.get(link)
    assert (status, headers["referrer-policy"], headers["cache-control"]) == (200, "no-referrer", "no-store")
    assert "script-src" not in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'none'")
    _, headers, _ = press(browser, link, "enter")
    assert headers["location"] == "/me"
    cookie = next(line for line in browser.set if "-me=" in line)
    assert {"Path=/me", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))


def test_a_form_of_another_browser_and_a_session_that_is_over_change_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, browser = link_for(client, "c-1"), Browser(client)
    fields = browser.fields(link)
    assert heading(Browser(client).post("/me/enter", fields, accept_language="en-GB")) == "This form was open too long"
    assert browser.post("/me/enter", fields)[0] == 303
    assert heading(browser.post("/me/leave", {"csrf": "x"})) == "This form was open too long"
    assert heading(browser.get("/me")) == "Your data and choices"
    (name, cookie) = next((n, c) for n, c in browser.cookies.items() if n.endswith("-me"))
    assert heading(Browser(client, **{name: cookie}).get("/me?lang=en")) == "Your data and choices"
    forged = f"{cookie[:-1]}{'A' if cookie[-1] != 'A' else 'B'}"
    for other in (forged, cookie.partition(".")[0], "", f"x{cookie}"):
        assert heading(Browser(client, **{name: other}).get("/me?lang=en")) == "You need a link"
    now_us = entering.now_us
    monkeypatch.setattr(entering, "now_us", lambda: now_us() + (entering.IDLE_MIN + 1) * 60_000_000)
    assert heading(browser.get("/me")) == "You need a link"


def test_nobody_comes_in_for_who_was_erased(client: Client) -> None:
    waiting, inside = link_for(client, "c-gone"), entered(client, "c-gone")
    stream = client.brain.subject_stream("c-gone")
    client.brain.ledger.bar(stream)  # what an erasure does first, before anything is deleted
    assert heading(inside.get("/me")) == "You need a link"
    assert client("DELETE", "/v1/customers/c-gone")[0] == 200
    assert heading(inside.get("/me")) == "You need a link"
    assert press(Browser(client), waiting, "enter")[0] in (401, 410)
    assert client("POST", "/v1/customers/c-gone/links", {})[0] == 410
    assert [row for row in client.brain.ledger.select(CUSTOMER_CODES.select()) if row.stream == stream] == []


def test_over_tls_and_under_a_path_the_cookie_goes_to_the_own_page_alone() -> None:
    cookies = Cookies(CookieSigner(b"k" * 32), secure=True, root="/brain")
    for kind in ("me", "language"):
        set_cookie = cookies.set(kind, "v").split("; ")  # type: ignore[arg-type]
        assert set_cookie[0].startswith("__Secure-brain-")
        assert {"Path=/brain/me", "HttpOnly", "SameSite=Strict", "Secure"} <= set(set_cookie)
    assert cookies.set("session", "v").startswith("__Host-brain-"), "those of people are as before"


def test_every_text_is_there_in_both_languages_and_is_used() -> None:
    english, dutch = words("en"), words("nl")
    assert english.keys() == dutch.keys()
    files = [file.read_text() for file in Path("serving/pages/me").iterdir() if file.suffix in (".py", ".html")]
    families = ("about-", "because-", "by-", "channel-", "held-", "link-", "off-", "purpose-", "state-", "sure-")
    families += ("was-",)
    code = "\n".join(files)
    unused = [name for name in english if not name.startswith(families) and name.removesuffix("-text") not in code]
    assert unused == []
    named = set(re.findall(r't\["([\w*-]+)"\]', code))
    assert named <= english.keys()
