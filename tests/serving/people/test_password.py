"""Signing in with a password, and sessions: when they end, where they count, and what they may write."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import brain as command_line
from decisioning.errors import NotFound, Refused
from features.ledger import now_us
from features.ledger.tables import METADATA
from features.people import User, count_try, read_people
from serving.access.callers import caller_of_person
from serving.access.people import guesses, passwords, sessions
from serving.access.people.sign_in import own_path
from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.settings import Workspace
from tests.serving.people.browser import Browser
from tests.serving.test_keys import REACH
from tests.serving.workspaces import Client, consent, small_workspace

PASSWORD = "correct horse battery"
S_US = 1_000_000
SECONDS = count()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return small_workspace(tmp_path_factory.mktemp("people") / "shop")


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[Client]:
    brain = Brain(workspace)
    client = Client(brain)
    people.add(workspace, "ann", ["agent"], PASSWORD, "root", team="north", site="Ghent")
    people.add(workspace, "jo", ["admin"], PASSWORD, "root")
    yield client
    brain.close()


@pytest.fixture(autouse=True)
def _slow_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests try more passwords a second than people do."""
    monkeypatch.setattr(guesses, "time", SimpleNamespace(monotonic=SECONDS.__next__))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Yield by how many microseconds the clock of sessions is ahead."""
    ahead = [0]
    for module in (sessions, guesses):
        monkeypatch.setattr(module, "now_us", lambda: now_us() + ahead[0])
    return ahead  # type: ignore[return-value]


def signed_in(client: Client, name: str = "ann") -> Browser:
    browser = Browser(client)
    status, headers, text = browser.sign_in(name, PASSWORD)
    assert (status, headers.get("location")) == (303, "/sign-in"), text
    return browser


def reads(browser: Browser) -> bool:
    return browser.api("GET", "/v1/customers/c-1")[0] == 200


@pytest.mark.promise("people.cookie")
def test_a_person_signs_in_works_and_signs_out(client: Client) -> None:
    browser = Browser(client)
    status, headers, _ = browser.get("/metrics?x=1")
    assert (status, headers["location"]) == (303, "/sign-in?next=%2Fmetrics%3Fx%3D1")
    status, headers, _ = browser.sign_in("ann", PASSWORD, headers["location"])
    assert (status, headers["location"]) == (303, "/metrics?x=1")
    session = next(cookie for cookie in browser.set if "-session=" in cookie)
    assert session.endswith("; Path=/; HttpOnly; SameSite=Lax")
    assert reads(browser)
    status, _, text = browser.get("/metrics")
    assert (status, "Your scopes are agent; this needs operate.</p>" in text) == (403, True)
    page = browser.get("/sign-in")[2]
    assert "north" in page
    assert "Ghent" in page
    kept = dict(browser.cookies)
    assert browser.sign_out()[0] == 303
    assert not reads(browser)
    browser.cookies = kept
    assert not reads(browser), "a cookie of a session that has ended"


@pytest.mark.promise("people.cookie")
def test_cookies_are_secure_where_there_is_tls(tmp_path: Path, client: Client) -> None:
    workspace = small_workspace(tmp_path / "shop")
    (workspace.root / "brain.yaml").write_text("http: {behind_proxy: true, root_path: /brain}\n")
    brain = Brain(Workspace.open(workspace.root))
    people.add(brain.workspace, "ann", ["agent"], PASSWORD, "root")
    browser = Browser(Client(brain))
    status, headers, _ = browser.sign_in("ann", PASSWORD, "/brain/sign-in?next=/metrics")
    assert (status, headers["location"]) == (303, "/brain/metrics")
    for cookie in browser.set:
        assert cookie.startswith("__Host-brain-")
        assert cookie.endswith("; Secure")
    assert not {name.removeprefix("__Host-") for name in browser.cookies} & signed_in(client).cookies.keys()
    brain.close()


def events(client: Client) -> set[str]:
    noted = next(m.kwargs["events"] for m in client.app.user_middleware if "events" in m.kwargs)
    return {kind for kind, _, _ in noted._seen}


@pytest.mark.promise("people.guessing")
def test_nothing_tells_an_unknown_name_from_a_wrong_password(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both cost one check of one hash, and both are answered alike and counted alike."""
    hashes: list[str] = []
    verify = passwords._HASHER.verify

    def counted(kept: str, text: str) -> bool:
        hashes.append(kept)
        return verify(kept, text)

    monkeypatch.setattr(passwords, "_HASHER", SimpleNamespace(verify=counted))
    answers = []
    for name in ("ann", "nobody-here"):
        browser = Browser(client)
        answers.append(browser.sign_in(name, "wrong wrong wrong"))
        assert len(hashes) == len(answers)
    (status, headers, text), (other, other_headers, other_text) = answers
    assert status == other == 401
    assert headers["www-authenticate"] == other_headers["www-authenticate"]
    assert text.replace("ann", "nobody-here").split("csrf")[0] == other_text.split("csrf")[0]
    assert len({kept.rpartition("$")[0].rpartition("$")[0] for kept in hashes}) == 1, "of the same cost"
    assert "sign-in-refused" in events(client)


@pytest.mark.promise("people.guessing")
def test_after_five_wrong_passwords_a_name_waits_but_not_where_the_person_was_before(
    client: Client, workspace: Workspace, clock: list[int]
) -> None:
    known = signed_in(client)
    known.sign_out()
    for name in ("ann", "nobody"):
        stranger = Browser(client)
        statuses = [stranger.sign_in(name, "wrong wrong wrong")[0] for _ in range(7)]
        assert statuses == [401] * 5 + [429] * 2
        status, _, text = stranger.sign_in(name, PASSWORD)
        assert (status, "Try again in 1 min." in text) == (429, True)
    assert known.sign_in("ann", PASSWORD)[0] == 303
    clock[0] = 31 * S_US
    assert Browser(client).sign_in("ann", "wrong wrong wrong")[0] == 401
    assert Browser(client).sign_in("ann", PASSWORD)[0] == 429
    clock[0] = 120 * S_US
    assert Browser(client).sign_in("ann", PASSWORD)[0] == 303
    assert Browser(client).sign_in("ann", "wrong wrong wrong")[0] == 401, "counted anew"
    with closing(sqlite3.connect(workspace.ledger_file)) as db:
        assert "ann" not in str(db.execute("SELECT id FROM wrong_passwords").fetchall())


def test_one_process_checks_few_passwords_a_second(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "time", SimpleNamespace(monotonic=lambda: 1e6))
    process = Client(client.brain)
    names = [f"name-{n}" for n in range(guesses.PER_S + 2)]
    statuses = [Browser(process).sign_in(name, "wrong wrong wrong")[0] for name in names]
    assert statuses == [401] * guesses.PER_S + [429] * 2


@pytest.mark.promise("people.ends")
def test_a_session_ends_when_it_is_idle_and_after_its_longest_time(client: Client, clock: list[int]) -> None:
    minute = 60 * S_US
    browser = signed_in(client)
    clock[0] = 29 * minute
    assert reads(browser)
    clock[0] += 29 * minute
    assert reads(browser), "seen half an hour ago"
    clock[0] += 31 * minute
    assert not reads(browser)
    clock[0] = 0
    busy = signed_in(client)
    for _ in range(12 * 60 // 20 - 1):
        clock[0] += 20 * minute
        assert reads(busy)
    clock[0] += 21 * minute
    assert not reads(busy), "twelve hours after the sign-in"


@pytest.mark.promise("people.ends")
def test_a_session_of_a_clock_that_was_ahead_does_not_last_longer(client: Client, clock: list[int]) -> None:
    clock[0] = 3_600 * S_US
    browser = signed_in(client)
    assert reads(browser)
    clock[0] = 0
    assert not reads(browser)
    clock[0] = 30 * S_US
    soon = signed_in(client)
    clock[0] = 0
    assert reads(soon), "a few seconds ahead is a clock like others"


@pytest.mark.promise("people.cookie")
def test_a_cookie_is_replaced_and_its_copy_ends_the_session(client: Client, clock: list[int]) -> None:
    browser = signed_in(client)
    first = dict(browser.cookies)
    clock[0] = 16 * 60 * S_US
    assert reads(browser)
    assert browser.cookies != first
    copied = Browser(client)
    copied.cookies = dict(first)
    assert reads(copied), "a request that was under way"
    assert copied.cookies == browser.cookies
    copied.cookies = dict(first)
    clock[0] += 61 * S_US
    assert reads(browser)
    assert not reads(copied)
    assert not reads(browser), "whoever copied it, and whoever it was copied from, sign in again"


@pytest.mark.promise("people.cookie")
@given(cookie=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=";,"), max_size=60))
def test_no_other_cookie_opens_a_session(client: Client, cookie: str) -> None:
    browser = signed_in_once(client)
    name, value = next((n, v) for n, v in browser.cookies.items() if n.endswith("-session"))
    id_, generation, mac = value.split(".")
    for forged in (cookie, f"{id_}.1.{mac}", f"{id_}.{generation}.{mac[:-1]}", f"{cookie}.{generation}.{mac}"):
        stranger = Browser(client)
        stranger.cookies = {name: forged}
        assert not reads(stranger), forged
    twice = client.of_scope(None)("GET", "/v1/customers/c-1", cookie=f"{name}={value}; {name}={value}")
    assert twice[0] == 401


@cache
def signed_in_once(client: Client) -> Browser:
    """Return a browser that is signed in as admin, the same for every example."""
    return signed_in(client, "jo")


@pytest.mark.promise("people.replicas")
def test_each_process_knows_at_once_who_signed_in_changed_and_signed_out(client: Client, workspace: Workspace) -> None:
    second_brain = Brain(workspace)
    second = Client(second_brain)
    here = signed_in(client)
    there = here.at(second)
    assert reads(there)
    assert there.get("/metrics")[0] == 403
    people.change(workspace, "ann", ["operate"])
    assert [b.get("/metrics")[0] for b in (here, there)] == [200, 200]
    assert not reads(there)
    people.change(workspace, "ann", ["agent"])
    assert [reads(b) for b in (here, there)] == [True, True]
    kept = dict(here.cookies)
    assert here.sign_out()[0] == 303
    there.cookies = kept
    assert not reads(there)
    for change in (
        lambda: people.set_password(workspace, "ann", PASSWORD),
        lambda: people.remove(workspace, "ann", undo=False),
    ):
        again = signed_in(client)
        change()
        assert not reads(again)
        assert not reads(again.at(second))
    assert Browser(second).sign_in("ann", PASSWORD)[0] == 401
    people.remove(workspace, "ann", undo=True)
    assert reads(signed_in(second))
    second_brain.close()


@pytest.mark.promise("people.cookie")
def test_no_session_of_a_workspace_opens_its_copy(client: Client, workspace: Workspace, tmp_path: Path) -> None:
    browser = signed_in(client)
    shutil.copytree(workspace.root, tmp_path / "copy")
    brain = Brain(Workspace.open(tmp_path / "copy"))
    copy = Client(brain)
    assert reads(browser)
    assert not reads(browser.at(copy))
    assert Browser(copy).sign_in("ann", PASSWORD)[0] == 303
    brain.close()


def rows(workspace: Workspace) -> list[int]:
    """Return how many rows each table of the ledger has."""
    with closing(sqlite3.connect(workspace.ledger_file)) as db:
        return [db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in METADATA.tables]


WRITES = [(method, path, body) for method, path, body, _ in REACH if method != "GET" and path.startswith("/v1/")]
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "x_csrf_token": st.sampled_from(["", "x", "A" * 32]),
        "sec_fetch_site": st.sampled_from(["same-origin", "same-site", "cross-site", "none"]),
        "origin": st.sampled_from(["http://localhost", "null", "https://evil.example"]),
        "content_type": st.sampled_from(["application/json", "text/plain", "application/x-www-form-urlencoded"]),
        "accept": st.sampled_from(["text/html", "application/json"]),
        "x_http_method_override": st.just("GET"),
    },
)


@pytest.mark.promise("people.csrf")
@given(case=st.sampled_from(WRITES), headers=HEADERS, form=st.booleans())
def test_a_cookie_without_the_token_of_its_session_writes_nothing(
    client: Client, workspace: Workspace, case: Any, headers: dict[str, str], form: bool
) -> None:
    """Even where the person may do everything; the token of another session is none."""
    browser, (method, path, body) = signed_in_once(client), case
    before = rows(workspace)
    sent = b"csrf=x&customer_id=c-1" if form else body
    status = browser.api(method, path.replace("{", "").replace("}", ""), sent, **headers)[0]
    assert status == 403
    assert rows(workspace) == before


@pytest.mark.promise("people.csrf")
def test_a_write_carries_the_token_of_its_own_session(client: Client) -> None:
    browser, other = signed_in(client), signed_in(client)
    body = consent("c-1", "marketing")
    for headers, status in (
        ({"x_csrf_token": browser.csrf}, 200),
        ({"x_csrf_token": other.csrf}, 403),
        ({"x_csrf_token": browser.csrf, "sec_fetch_site": "cross-site"}, 403),
        ({"x_csrf_token": browser.csrf, "content_type": "text/plain"}, 415),
    ):
        assert browser.api("POST", "/v1/consents", body, **headers)[0] == status, headers
    assert browser.api("GET", "/v1/customers/c-1", sec_fetch_site="cross-site")[0] == 403
    assert browser.get("/sign-in", sec_fetch_site="cross-site")[0] == 200
    status, _, text = browser.post("/sign-out", {"csrf": other.csrf})
    assert (status, "No token" in text) == (403, True)
    assert browser.post("/sign-out", {})[0] == 403
    assert reads(browser)
    stale = Browser(client).post("/sign-in", {"name": "ann", "password": PASSWORD, "csrf": "x"})
    assert (stale[0], "open too long" in stale[2]) == (403, True)


@pytest.mark.promise("people.redirects")
@given(path=st.text(st.sampled_from("/\\.:@?#%&=abz\t\n\r é"), max_size=12).map("/".__add__))
def test_a_person_is_sent_to_a_path_of_this_server_alone(path: str) -> None:
    sent = own_path(path)
    assert sent.startswith("/")
    assert not sent.startswith(("//", "/\\"))
    assert all(" " < character < "\x7f" and character != "\\" for character in sent)
    assert sent in (path, "/sign-in")


@pytest.mark.promise("people.redirects")
def test_no_redirect_follows_the_host_of_a_request(client: Client) -> None:
    browser = Browser(client)
    for host in ("localhost:1", "127.0.0.1", "LOCALHOST"):
        headers = browser.get("/metrics", host=host, x_forwarded_host="evil.example")[1]
        assert headers["location"] == "/sign-in?next=%2Fmetrics"
    status, headers, _ = browser.sign_in("ann", PASSWORD, "/sign-in?next=//evil.example/x")
    assert (status, headers["location"]) == (303, "/sign-in")
    for asked in ("/https://evil.example", "/javascript:alert(1)", "/metrics"):
        assert f'href="{asked}">Go on' in browser.get(f"/sign-in?next={asked}")[2]
    assert "Go on" not in browser.get("/sign-in?next=https://evil.example")[2]


@pytest.mark.promise("people.last-admin")
def test_the_last_admin_cannot_be_locked_out(client: Client, workspace: Workspace) -> None:
    for change in (
        lambda: people.remove(workspace, "jo", undo=False),
        lambda: people.change(workspace, "jo", ["agent"]),
    ):
        with pytest.raises(Refused, match="nobody else with a password has the scope admin"):
            change()
    assert next(p.scopes for p in read_people(client.brain.ledger) if p.name == "jo") == "admin"
    people.add(workspace, "kim", ["admin", "publish"], PASSWORD, "root")
    people.change(workspace, "jo", ["admin"], team="north")
    people.remove(workspace, "kim", undo=False)


def test_what_a_person_may_do_is_what_all_their_scopes_may() -> None:
    person = User("p-1", "", "ann", "Ann", "agent,consent,publish", "north", None, "root", 1)
    caller = caller_of_person(person)
    assert (caller.who, caller.audience, caller.team) == ("person:p-1", "company", "north")
    assert caller.has_any(("consent", "signal"))
    assert not caller.has_any(("privacy",))


@pytest.mark.promise("people.command")
def test_a_password_is_asked_for_and_never_an_argument(workspace: Workspace, client: Client) -> None:
    where = ("--workspace", str(workspace.root))

    def run(*arguments: str, line: str = "", expect: int = 0) -> str:
        result = CliRunner().invoke(command_line.main, ["user", *arguments, *where], input=line)
        assert result.exit_code == expect, result.output
        return result.output

    run("add", "bo", "--scope", "lead", "--scope", "agent", "--team", "south", line=PASSWORD + "\n")
    assert signed_in(client, "bo")
    assert PASSWORD not in run("list")
    assert "bo" in run("list")
    run("password", "bo", line="another long phrase\n")
    assert Browser(client).sign_in("bo", PASSWORD)[0] == 401
    for name, line, message in (
        ("bo", PASSWORD, "bo is there already"),
        ("Bo!", PASSWORD, "a name has 2 to 64"),
        ("di", "short", "12 to 256 characters"),
        ("di", "aaaaaaaaaaaaaaa", "easy to guess"),
        ("dirk", "dirk-is-the-best", "easy to guess"),
    ):
        assert message in run("add", name, "--scope", "agent", line=line + "\n", expect=1)
    assert "no scope agnet" in run("add", "di", "--scope", "agnet", line=PASSWORD + "\n", expect=1)
    run("remove", "bo")
    assert "--undo" in run("add", "bo", "--scope", "agent", line=PASSWORD + "\n", expect=1)
    with pytest.raises(NotFound):
        people.remove(workspace, "p-none", undo=False)


def test_tries_of_a_clock_ahead_keep_nobody_out_for_longer(client: Client) -> None:
    ledger, ahead_us = client.brain.ledger, now_us() + 3_600 * S_US
    for n in range(6):
        assert count_try(ledger, "row", ahead_us, lambda tries, last: 0) == 0, n
    wait_us = count_try(ledger, "row", now_us(), lambda tries, last_us: last_us + 30 * S_US)
    assert 0 < wait_us <= 30 * S_US
