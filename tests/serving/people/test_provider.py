"""Signing in with an OpenID provider that runs: what is believed, what is not, and what changes in a session."""

import html
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from joserfc.jwk import RSAKey

from decisioning.errors import ConfigError, Refused
from features.people import read_people
from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.http.routes import build_app
from serving.settings import Workspace
from tests.serving.people.browser import Answer, Browser
from tests.serving.people.openid import CLIENT, SECRET, OpenId, provider
from tests.serving.workspaces import Client, small_workspace

Tampered = Callable[[str], str]


@pytest.fixture(scope="module")
def openid() -> Iterator[OpenId]:
    with provider() as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, openid: OpenId) -> Iterator[Client]:
    workspace = small_workspace(tmp_path_factory.mktemp("provider") / "shop")
    (workspace.keys / "sign-in").touch(0o600)
    (workspace.keys / "sign-in").write_text(SECRET + "\n")
    settings = {
        "issuer": openid.issuer,
        "client_id": CLIENT,
        "client_secret_file": "keys/sign-in",
        "roles": {"agents": ["agent"], "leads": ["agent", "lead"]},
        "team_claim": "org.team",
        "site_claim": "site",
        "check_min": 0.01,
    }
    (workspace.root / "brain.yaml").write_text(json.dumps({"sign_in": settings}))
    brain = Brain(Workspace.open(workspace.root))
    yield Client(brain)
    brain.close()


@pytest.fixture(autouse=True)
def _honest(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the provider be as it was before the test."""
    openid: OpenId | None = request.getfixturevalue("openid") if "openid" in request.fixturenames else None
    yield
    if openid is not None:
        openid.claims = {"sub": "u-1", "name": "Ann de Vries", "groups": ["agents"]}
        openid.lies, openid.signing_key = {}, openid.key
        openid.is_down, openid.allows, openid.gives_refresh_tokens = False, True, True
        openid.has_sign_out = True


def sent_back(address: str) -> str:
    """Return where the provider sends a browser, without the server's address."""
    place = urlparse(address)
    connection = http.client.HTTPConnection(place.netloc)
    connection.request("GET", f"{place.path}?{place.query}")
    location = urlparse(connection.getresponse().headers["Location"])
    assert location.netloc == "localhost:8000"
    connection.close()
    return f"{location.path}?{location.query}"


def come_back(browser: Browser, then: str = "", tamper: Tampered = lambda path: path) -> Answer:
    """Go to the provider, and come back."""
    status, headers, text = browser.get(f"/sign-in/provider{then}")
    assert status == 303, text
    return browser.get(tamper(sent_back(headers["location"])), sec_fetch_site="cross-site")


def notice(text: str) -> str:
    return text.partition('role="alert">')[2].partition("<")[0]


@pytest.mark.promise("people.provider")
def test_a_person_signs_in_with_the_provider_and_gets_the_scopes_of_their_roles(shop: Client, openid: OpenId) -> None:
    openid.claims |= {"groups": ["leads", "cooks"], "org": {"team": "north"}, "site": ["Ghent", "Lyon"]}
    browser = Browser(shop)
    assert "company account" in browser.get("/sign-in")[2]
    status, headers, _ = come_back(browser, "?next=%2Fmetrics%3Fx%3D1")
    assert (status, headers["location"]) == (303, "/metrics?x=1")
    page = browser.get("/sign-in")[2]
    assert all(text in page for text in ("Ann de Vries", "agent, lead", "north", "Ghent"))
    assert browser.api("GET", "/v1/customers/c-1")[0] == 200
    assert browser.get("/metrics")[0] == 403
    person = next(p for p in read_people(shop.brain.ledger) if p.subject == "u-1")
    assert (person.scopes, person.made_by, person.password) == ("agent,lead", openid.issuer, None)


@pytest.mark.promise("people.sign-out")
def test_who_signs_out_is_signed_out_at_the_provider_too(shop: Client, openid: OpenId) -> None:
    browser = Browser(shop)
    come_back(browser)
    assert openid.is_signed_in
    status, headers, text = browser.sign_out()
    assert status == 200, text
    assert browser.api("GET", "/v1/customers/c-1")[0] == 401, "before the provider answers"
    address = headers["refresh"].removeprefix("0; url=")
    assert f'href="{html.escape(address)}"' in text
    assert "ey" not in address, "no token is in an address"
    path = sent_back(address)
    assert not openid.is_signed_in
    for other, wrong in ((Browser(shop), path), (browser, "/sign-out"), (browser, f"{path}x")):
        assert (other.get(wrong)[0], other.get(wrong)[1]["location"]) == (303, "/sign-in"), wrong
    assert "signed out here and of your company account" in browser.get(path)[2]
    assert browser.get(path)[0] == 303, "once"


@pytest.mark.promise("people.sign-out")
@pytest.mark.parametrize("is_down", [True, False], ids=["it does not answer", "it has no such place"])
def test_who_cannot_be_signed_out_at_the_provider_is_told_so(shop: Client, openid: OpenId, is_down: bool) -> None:
    came = Browser(shop)
    come_back(came)
    openid.is_down, openid.has_sign_out = is_down, False
    browser = came.at(Client(shop.brain))  # it knows nothing of the provider yet
    status, headers, text = browser.sign_out()
    assert (status, "refresh" in headers, "may still be signed in" in text) == (200, False, True)
    assert browser.api("GET", "/v1/customers/c-1")[0] == 401


@pytest.mark.promise("people.provider")
def test_what_came_back_counts_once_and_only_where_it_began(shop: Client) -> None:
    browser, paths = Browser(shop), []
    assert come_back(browser, tamper=lambda path: paths.append(path) or path)[0] == 303  # type: ignore[func-returns-value]
    kept = dict(browser.cookies)
    status, headers, _ = Browser(shop).get("/sign-in/provider")
    other = sent_back(headers["location"])
    for path, cookies in (
        (paths[0], kept),
        (paths[0], {}),
        (other, {}),
        (other, kept),
        (paths[0].replace("state=", "state=x"), kept),
        ("/sign-in/callback", kept),
    ):
        status, _, text = Browser(shop, **cookies).get(path) if not cookies else with_cookies(shop, cookies).get(path)
        assert (status, notice(text)[:24]) == (401, "This sign-in is no longer"[:24]), path


def with_cookies(shop: Client, cookies: dict[str, str]) -> Browser:
    browser = Browser(shop)
    browser.cookies = {name: value for name, value in cookies.items() if not name.endswith("session")}
    return browser


@pytest.mark.promise("people.provider")
def test_another_state_lets_nobody_in_and_uses_nothing_up(shop: Client) -> None:
    browser = Browser(shop)
    path = sent_back(browser.get("/sign-in/provider")[1]["location"])
    for wrong in (path.replace("state=", "state=x"), path.partition("state=")[0], path.replace("state=", "x=")):
        assert browser.get(wrong)[0] == 401
    assert browser.get(path)[0] == 303


@pytest.mark.promise("people.provider")
def test_a_replayed_state_counts_nowhere_and_a_code_counts_once(shop: Client, openid: OpenId) -> None:
    """Also where the browser still has the cookie of the attempt: the state is used up before the code is shown."""
    browser = Browser(shop)
    path = sent_back(browser.get("/sign-in/provider")[1]["location"])
    attempt = dict(browser.cookies)
    assert browser.get(path)[0] == 303
    asked = openid.requests.count("/token")
    again = Browser(shop)
    again.cookies = attempt
    assert again.get(path)[0] == 401
    assert openid.requests.count("/token") == asked
    fresh = Browser(shop)
    state = parse_qs(urlparse(fresh.get("/sign-in/provider")[1]["location"]).query)["state"][0]
    code = parse_qs(urlparse(path).query)["code"][0]
    status, _, text = fresh.get(f"/sign-in/callback?state={state}&code={code}")
    assert (status, notice(text)) == (401, "The sign-in provider did not confirm this sign-in. Start again.")


LIES: list[dict[str, Any]] = [
    {"nonce": "another"},
    {"nonce": None},
    {"aud": "another-client"},
    {"aud": "another-client", "azp": CLIENT},
    {"aud": ["another-client", CLIENT], "azp": "another-client"},
    {"aud": None},
    {"iss": "https://evil.example"},
    {"iss": None},
    {"exp": int(time.time()) - 3_600},
    {"exp": None},
    {"iat": int(time.time()) + 3_600},
    {"sub": ""},
    {"sub": "x" * 256},
    {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
]


@pytest.mark.promise("people.provider")
@pytest.mark.parametrize("lies", LIES, ids="-".join)  # no time: both workers name them alike
def test_a_token_that_is_not_for_this_sign_in_lets_nobody_in(shop: Client, openid: OpenId, lies: Any) -> None:
    openid.lies = lies
    browser = Browser(shop)
    status, _, text = come_back(browser)
    assert (status, "sign-in provider" in notice(text)) == (401, True), text
    assert not any(name.endswith("session") for name in browser.cookies)


@pytest.mark.promise("people.provider")
def test_a_token_that_another_key_signed_lets_nobody_in(shop: Client, openid: OpenId) -> None:
    openid.signing_key = RSAKey.generate_key(2048, {"kid": "k-1"})
    assert come_back(Browser(shop))[0] == 401


def test_a_clock_a_little_ahead_at_the_provider_is_fine(shop: Client, openid: OpenId) -> None:
    openid.lies = {"iat": int(time.time()) + 30, "nbf": int(time.time()) + 30}
    assert come_back(Browser(shop))[0] == 303


@pytest.mark.promise("people.provider")
def test_whoever_has_no_role_is_told_so_and_gets_no_session(shop: Client, openid: OpenId) -> None:
    for groups in ([], ["cooks"], None, {"agents": True}, [["agents"]]):
        openid.claims["groups"] = groups
        status, _, text = come_back(browser := Browser(shop))
        assert (status, "none of the roles" in notice(text)) == (401, True)
        assert browser.api("GET", "/v1/customers/c-1")[0] == 401
    openid.allows = False
    assert "did not let you in" in notice(come_back(Browser(shop))[2])


@pytest.mark.promise("people.down")
def test_a_provider_that_is_away_is_told_in_a_sentence(shop: Client, openid: OpenId) -> None:
    browser = Browser(shop)
    path = sent_back(browser.get("/sign-in/provider")[1]["location"])
    openid.is_down = True
    status, _, text = browser.get(path)
    assert (status, notice(text)) == (
        503,
        "The sign-in provider does not answer. Try again in a minute, or tell who runs it.",
    )
    assert "Traceback" not in text


@pytest.mark.promise("people.down")
def test_an_admin_with_a_password_gets_in_while_the_provider_is_away(shop: Client, openid: OpenId) -> None:
    root = shop.brain.workspace
    people.add(root, "jo", ["admin"], "correct horse battery", "root")
    people.add(root, "kim", ["agent"], "correct horse battery", "root")
    openid.is_down = True
    assert Browser(shop).sign_in("kim", "correct horse battery")[0] == 401, "agents sign in with the provider"
    browser = Browser(shop)
    assert browser.sign_in("jo", "correct horse battery")[0] == 303
    assert browser.get("/metrics")[0] == 200


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that a thread of the server brings about."""
    end_s = time.monotonic() + 5
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.02)
    assert condition()


@pytest.mark.promise("people.roles")
@pytest.mark.parametrize("refresh", [True, False])
def test_a_role_that_changes_at_the_provider_changes_a_session(shop: Client, openid: OpenId, refresh: bool) -> None:
    """Whether the provider gives refresh tokens, or has the roles in what it tells whoever shows an access token."""
    openid.gives_refresh_tokens = refresh
    openid.claims |= {"org": {"team": "north"}} if refresh else {}
    openid.lies = {} if refresh else {"groups": None}
    browser = Browser(shop)
    assert come_back(browser)[0] == 303
    openid.claims["groups"] = ["leads"]
    time.sleep(0.61)
    until(lambda: browser.api("GET", "/v1/customers/c-1")[0] == 200 and "agent, lead" in browser.get("/sign-in")[2])
    openid.is_down = True
    time.sleep(0.61)
    assert browser.api("GET", "/v1/customers/c-1")[0] == 200, "a provider that is away ends no session"
    openid.is_down, openid.claims["groups"] = False, []
    until(lambda: browser.api("GET", "/v1/customers/c-1")[0] == 401)


@pytest.mark.promise("people.roles")
def test_a_session_ends_once_the_provider_says_no(shop: Client, openid: OpenId) -> None:
    browser = Browser(shop)
    assert come_back(browser)[0] == 303
    openid.revoke()
    time.sleep(0.61)
    until(lambda: browser.api("GET", "/v1/customers/c-1")[0] == 401)


@pytest.mark.promise("people.removed")
def test_a_person_of_the_provider_who_was_removed_here_stays_out(shop: Client, openid: OpenId) -> None:
    openid.claims |= {"sub": "u-2", "name": "Bo"}
    browser = Browser(shop)
    assert come_back(browser)[0] == 303
    person = next(p for p in read_people(shop.brain.ledger) if p.subject == "u-2")
    people.remove(shop.brain.workspace, person.id, undo=False)
    assert browser.api("GET", "/v1/customers/c-1")[0] == 401
    status, _, text = come_back(Browser(shop))
    assert (status, "any more" in notice(text)) == (401, True)
    with pytest.raises(Refused, match=r"comes from the sign-in provider"):
        people.change(shop.brain.workspace, person.id, ["admin"])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"issuer": "http://login.example.com", "client_id": "b", "roles": {"a": ["agent"]}}, "begins with https://"),
        ({"issuer": "https://login.example.com"}, "it needs `client_id`, and `roles`"),
        ({"client_secret": "x"}, "there is no such setting"),
        ({"address": "http://brain.example.com"}, "begins with https://"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(tmp_path: Path, section: Any, message: str) -> None:
    (tmp_path / "brain.yaml").write_text(json.dumps({"sign_in": section}))
    with pytest.raises(ConfigError, match=message):
        Workspace.open(tmp_path)


def test_a_secret_that_others_may_read_and_a_scope_that_is_none_do_not_start(shop: Client, tmp_path: Path) -> None:
    root, brain = shop.brain.workspace.root, shop.brain
    settings = json.loads((root / "brain.yaml").read_text())["sign_in"]
    for change, message in (
        ({"roles": {"agents": ["agnet"]}}, "there is no scope agnet"),
        ({"client_secret_file": "keys/none"}, "it holds a secret"),
        ({"client_secret_file": "brain.yaml"}, "others may read"),
    ):
        (tmp_path / "brain.yaml").write_text(json.dumps({"sign_in": {**settings, **change}}))
        (root / "brain.yaml").chmod(0o644)
        (tmp_path / "keys").mkdir(exist_ok=True)
        wrong = Workspace.open(tmp_path)
        brain.workspace.settings, kept = wrong.settings, brain.workspace.settings
        try:
            with pytest.raises(Refused, match=message):
                build_app(brain)
        finally:
            brain.workspace.settings = kept
