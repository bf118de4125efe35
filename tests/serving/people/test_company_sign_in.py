"""Customers who sign in with the company's own provider: who gets in, what only they may do, and who does not."""

import json
from collections.abc import Callable, Iterator

import pytest
from joserfc.jwk import RSAKey

from decisioning.errors import ConfigError
from serving.access.people import attempts
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving.people.browser import Answer, Browser
from tests.serving.people.openid import CLIENT, SECRET, OpenId, provider
from tests.serving.people.own_page import code_for, entered, heading, press
from tests.serving.people.test_provider import sent_back
from tests.serving.workspaces import Client, small_workspace, welcome


@pytest.fixture(scope="module")
def openid() -> Iterator[OpenId]:
    with provider() as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, openid: OpenId) -> Iterator[Client]:
    workspace = small_workspace(tmp_path_factory.mktemp("company") / "shop")
    file = workspace.catalogue / "settings.yaml"
    text = "description: {nl: Wij mogen u aanbiedingen doen., en: We may show you offers.}"
    file.write_text(file.read_text().replace("{id: marketing, ", f"{{id: marketing, {text}, "))
    releasing.release(workspace, "test")
    (workspace.keys / "site").touch(0o600)
    (workspace.keys / "site").write_text(SECRET)
    settings = {"issuer": openid.issuer, "client_id": CLIENT, "client_secret_file": "keys/site", "claim": "shop.number"}
    (workspace.root / "brain.yaml").write_text(json.dumps({"customer_sign_in": settings}))
    brain = Brain(Workspace.open(workspace.root))
    yield Client(brain)
    brain.close()


@pytest.fixture(autouse=True)
def _honest(openid: OpenId) -> Iterator[None]:
    openid.claims = {"sub": "u-1", "shop": {"number": "c-1"}}
    yield
    openid.lies, openid.signing_key, openid.is_down = {}, openid.key, False


def way_back(browser: Browser) -> str:
    """Go to the provider; return where it sends the browser back to."""
    status, headers, text = browser.get("/me/sign-in")
    assert status == 303, text
    return sent_back(headers["location"])


def sign_in(browser: Browser) -> Answer:
    return press(browser, way_back(browser), "enter")


@pytest.mark.promise("me.sign-in")
def test_a_customer_signs_in_and_may_allow_download_and_erase(shop: Client) -> None:
    welcome(shop, "c-1", purposes=())
    browser = Browser(shop)
    assert 'href="me/sign-in"' in browser.get("/me?lang=en")[2]
    back = way_back(browser)
    for _ in range(2):
        assert heading(browser.get(back)) == "Open your page", "who opens what came back uses nothing up"
    assert press(browser, back, "enter")[1]["location"] == "/me"
    assert heading(browser.get("/me")) == "Your data and choices"
    last = shop.brain.ledger.scan(["access"])[-1].body
    assert last == {"what": "signed in", "who": "customer", "role": "customer"}
    fields = browser.fields("/me")
    assert "With “Allow” you say yes to this: “We may show you offers.”" in browser.get("/me")[2]
    status, headers, _ = press(browser, "/me", "allow")
    assert (status, headers["location"]) == (303, "/me?done=allowed#choices")
    (told,) = (c for c in shop("GET", "/v1/customers/c-1")[1]["consents"] if c["status"] == "granted")
    assert (told["source"], bool(told["notice_version"])) == ("own-page", True)
    for wrong in ({"purpose": "nothing"}, {"channel": "nowhere"}, {"version": "another"}, {"version": ""}):
        asked = {"purpose": "marketing", "channel": "web", "version": told["notice_version"]}
        assert browser.post("/me/allow", {**fields, **asked, **wrong})[0] == 422
    assert json.loads(press(browser, "/me", "export")[2])["customer_id"] == "c-1"
    assert heading(press(browser, "/me/erase", "erase")) == "Everything is erased"
    gone = sign_in(browser)
    assert (gone[0], heading(gone)) == (410, "Everything about you is erased")


@pytest.mark.promise("me.sign-in")
def test_a_link_alone_allows_downloads_and_erases_nothing_and_says_what_to_do(shop: Client) -> None:
    welcome(shop, "c-2", purposes=())
    browser = entered(shop, "c-2")
    page = browser.get("/me?lang=en")[2]
    assert 'action="me/allow"' not in page
    assert 'href="me/sign-in"' in page
    fields = browser.fields("/me")
    before = shop("GET", "/v1/customers/c-2")[1]["consents"]
    for act in ("allow", "export", "erase"):
        status, _, text = browser.post(f"/me/{act}", {**fields, "purpose": "marketing", "channel": "web"})
        assert (status, heading((status, {}, text))) == (403, "First show that it is you")
        assert "your link is not enough. Sign in with us" in text
    assert shop("GET", "/v1/customers/c-2")[1]["consents"] == before
    assert press(browser, "/me", "confirm", code=code_for(shop, "c-2"))[0] == 303
    assert 'action="me/allow"' in browser.get("/me")[2], "a one-time code is as good"


@pytest.mark.promise("me.sign-in")
@pytest.mark.parametrize(
    "lie",
    [
        lambda openid: openid.lies.update(aud="another-workspace"),
        lambda openid: openid.lies.update(iss="https://another.example.com"),
        lambda openid: openid.lies.update(nonce="of another sign-in"),
        lambda openid: openid.lies.update(exp=1_700_000_000),
        lambda openid: openid.claims.update(shop={}),
        lambda openid: openid.claims.update(shop={"number": 7}),
        lambda openid: openid.claims.update(shop={"number": "null"}),
        lambda openid: setattr(openid, "signing_key", RSAKey.generate_key(2048, {"kid": openid.key.kid})),
    ],
    ids=["audience", "issuer", "nonce", "expired", "nobody", "a number", "no id", "forged"],
)
def test_what_the_provider_did_not_say_of_a_customer_for_us_lets_nobody_in(
    shop: Client, openid: OpenId, lie: Callable[[OpenId], None]
) -> None:
    lie(openid)
    browser = Browser(shop)
    refused = sign_in(browser)
    assert (refused[0], "Nothing was changed" in refused[2] or "niets veranderd" in refused[2]) == (401, True)
    assert "me/sign-in" in refused[2]
    assert not any(name.endswith("-me") for name in browser.cookies)


@pytest.mark.promise("me.sign-in")
def test_a_sign_in_counts_once_soon_and_in_the_browser_in_which_it_began(
    shop: Client, openid: OpenId, monkeypatch: pytest.MonkeyPatch
) -> None:
    openid.claims = {"sub": "u-2", "shop": {"number": "c-3"}}
    browser = Browser(shop)
    kept = way_back(browser)
    cookies = dict(browser.cookies)
    assert press(Browser(shop), kept, "enter")[0] == 401, "a link of another's sign-in"
    assert press(browser, kept, "enter")[0] == 303
    again = Browser(shop, **cookies)
    assert press(again, kept, "enter")[0] == 401, "replayed, with the cookies of then"
    late, now_us = way_back(browser), attempts.now_us
    monkeypatch.setattr(attempts, "now_us", lambda: now_us() + 600_000_001)
    assert press(browser, late, "enter")[0] == 401
    openid.is_down = True
    assert press(Browser(shop), "/me/signed-in?state=x&code=y", "enter")[0] == 401
    assert heading(browser.get("/me?lang=en")) == "Your data and choices", "who is in stays in"


def test_signing_in_as_another_ends_the_visit_before_and_both_settings_go_together(
    shop: Client, openid: OpenId
) -> None:
    browser = entered(shop, "c-4")
    (cookie,) = (value for name, value in browser.cookies.items() if name.endswith("-me"))
    (name,) = (name for name in browser.cookies if name.endswith("-me"))
    openid.claims = {"sub": "u-5", "shop": {"number": "c-5"}}
    assert sign_in(browser)[0] == 303
    assert "lang" in browser.get("/me?lang=en")[2]
    assert heading(Browser(shop, **{name: cookie}).get("/me?lang=en")) == "Sign in to see your page"
    (shop.brain.workspace.root / "brain.yaml").write_text(json.dumps({"customer_sign_in": {"issuer": openid.issuer}}))
    with pytest.raises(ConfigError, match="go together"):
        Workspace.open(shop.brain.workspace.root)
