"""The script that keeps a stream open, in a real browser: ten tabs on one connection, and a connection that is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page
from starlette.types import Receive, Scope, Send

from features.people import read_people
from serving.access.people.cookies import Cookies
from serving.access.people.sign_in import SignIn
from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.events.feed import News, NewsSource
from serving.events.moments import Watcher
from serving.http import guard, routes
from serving.pages.templates import FOLDER, SCRIPT
from tests.serving.server import free_port
from tests.serving.workspaces import Client, small_workspace

TABS = 10
LOST = "connection lost {s} s ago"
PAGE = f"""<!doctype html><html lang="en"><title>Live</title>
<body data-live="/v1/live" data-topics="%s" data-after="board:%d"><p hidden data-connection-lost="{LOST}"></p>
<script src="/static/live.js"></script>"""
NOTING = "window.got = []; document.addEventListener('live', event => window.got.push(event.detail.seq))"


class Board:
    """A source of news that a test tells."""

    def __init__(self) -> None:
        self.rows: list[News] = []

    def tell(self, *topics: str, times: int = 1) -> None:
        for _ in range(times):
            self.rows.append(News("board", len(self.rows) + 1, "told", frozenset(topics), None))

    def source(self) -> NewsSource:
        return NewsSource("board", lambda: len(self.rows), self._page, lambda news, viewer: b'{"text": "<b>&"}')

    def _page(self, after: int, topics: frozenset[str] | None, limit: int) -> list[News]:
        return [row for row in self.rows[after:] if topics is None or row.topics & topics][:limit]


def _signed_in(brain: Brain) -> tuple[str, str]:
    """Return name and value of the cookie of a person who signed in."""
    sign_in = SignIn(brain.workspace, brain.ledger)
    (person,) = read_people(brain.ledger)
    header = Cookies(sign_in.signer, secure=False).set("session", sign_in.sessions.start(person).cookie)
    name, _, value = header.partition(";")[0].partition("=")
    return name, value


class Site:
    """The product with a page that has the script and nothing else, on a port that stays the same over restarts."""

    def __init__(self, brain: Brain, board: Board) -> None:
        self.board, self.brain, self.port = board, brain, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.watchers: list[Watcher] = []
        self.cookie = _signed_in(brain)
        with patch.object(routes, "Watcher", self._watcher):
            self._app = Client(brain).app
        self.start()

    def _watcher(self, brain: Brain, *_: object) -> Watcher:
        self.watchers.append(Watcher(brain, (self.board.source(),)))
        return self.watchers[-1]

    @property
    def streams(self) -> int:
        return self.watchers[-1].feed._open

    def tell(self, *topics: str, times: int = 1) -> None:
        self.board.tell(*topics, times=times)
        self.watchers[-1].feed.wake()

    def start(self) -> None:
        config = uvicorn.Config(self._answer, port=self.port, log_level="error", lifespan="off", interface="asgi3")
        config.timeout_graceful_shutdown = 1
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith("/page/"):
            await self._app(scope, receive, send)
            return
        topic = scope["path"].removeprefix("/page/").replace("+", " ")
        after = int(scope["query_string"] or len(self.board.rows))
        headers = [*guard._LIVE_PAGE, (b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": (PAGE % (topic, after)).encode()})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    workspace = small_workspace(tmp_path_factory.mktemp("live") / "shop")
    brain = Brain(workspace)
    people.add(workspace, "ann", ["agent"], "correct horse battery", "root")
    with ThreadPoolExecutor(1) as beside:  # in this thread the browser runs
        site = beside.submit(Site, brain, Board()).result()
    yield site
    site.stop()
    brain.close()


@pytest.fixture
def window(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """A window of an agent who signed in."""
    window = browser.new_context()
    window.add_cookies([{"name": site.cookie[0], "value": site.cookie[1], "url": site.address}])
    yield window
    window.close()


def opened(window: BrowserContext, site: Site, topics: str) -> Page:
    page = window.new_page()
    page.add_init_script(NOTING)
    page.goto(f"{site.address}/page/{topics}")
    return page


def got(page: Page) -> list[int]:
    numbers: list[int] = page.evaluate("window.got")
    return numbers


def until(page: Page, condition: Callable[[], Any], within_s: float = 10.0) -> bool:
    """Wait for a condition, while the browser goes on."""
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    return bool(condition())


def state(page: Page) -> tuple[str, str]:
    """Return the state of the connection, and what the page says of it."""
    return page.evaluate("document.documentElement.dataset.connection"), page.inner_text("p")


@pytest.mark.long
@pytest.mark.promise("streams.tabs")
def test_ten_tabs_share_one_stream_and_go_on_when_the_one_that_has_it_is_closed(
    window: BrowserContext, site: Site
) -> None:
    tabs = [opened(window, site, "queue" if n % 2 else "queue+customer:c-9") for n in range(TABS)]
    assert until(tabs[0], lambda: site.streams == 1)
    tabs[0].wait_for_timeout(200)
    first = len(site.board.rows)
    site.tell("queue")
    assert until(tabs[0], lambda: all(got(tab) == [first + 1] for tab in tabs))
    assert site.streams == 1
    assert tabs[1].evaluate("fetch('/v1/channels').then(answer => answer.status)") == 200, "connections are left"
    tabs[0].close()
    site.tell("queue", times=2)
    assert until(tabs[1], lambda: all(got(tab) == [first + n for n in (1, 2, 3)] for tab in tabs[1:]))
    assert [state(tab)[0] for tab in tabs[1:]] == ["live"] * (TABS - 1)
    late = opened(window, site, f"queue?{first}")
    assert until(late, lambda: len(got(late)) == 3), "a page that is behind is told what it misses"
    site.tell("customer:c-9", "queue")
    assert until(late, lambda: all(len(got(tab)) == 4 for tab in (late, *tabs[1:])))
    assert [got(tab) for tab in (late, *tabs[1:])] == [[first + n for n in (1, 2, 3, 4)]] * TABS, "and nobody twice"
    assert site.streams == 1


@pytest.mark.promise("streams.tabs", "streams.sequence")
def test_a_page_says_that_it_lost_the_connection_and_is_told_all_that_it_missed(
    window: BrowserContext, site: Site
) -> None:
    page = opened(window, site, "queue")
    assert until(page, lambda: site.streams == 1)
    first = len(site.board.rows)
    assert state(page) == ("live", "")
    window.set_offline(True)
    assert until(page, lambda: state(page)[0] == "stale")
    assert state(page)[1].startswith("connection lost ")
    assert until(page, lambda: site.streams == 0)
    site.tell("queue", times=200)
    window.set_offline(False)
    assert until(page, lambda: len(got(page)) == 200)
    assert got(page) == list(range(first + 1, first + 201))
    assert state(page) == ("live", "")


@pytest.mark.long
@pytest.mark.promise("streams.tabs", "streams.sequence")
def test_pages_go_on_after_a_server_that_was_away(window: BrowserContext, site: Site) -> None:
    tabs = [opened(window, site, "queue") for _ in range(3)]
    assert until(tabs[0], lambda: site.streams == 1)
    first = len(site.board.rows)
    site.stop()
    assert until(tabs[0], lambda: [state(tab)[0] for tab in tabs] == ["stale"] * 3)
    site.board.tell("queue", times=5)
    site.start()
    assert until(tabs[0], lambda: all(len(got(tab)) == 5 for tab in tabs), 40)
    assert [got(tab) for tab in tabs] == [list(range(first + 1, first + 6))] * 3


@pytest.mark.long
@pytest.mark.promise("streams.tabs")
def test_a_tab_takes_the_place_of_one_that_sleeps(window: BrowserContext, site: Site) -> None:
    first, second = (opened(window, site, "queue") for _ in range(2))
    assert until(second, lambda: site.streams == 1)
    second.wait_for_timeout(500)
    before = len(site.board.rows)
    first.on("dialog", lambda dialog: None)  # nobody answers it, and the script of that tab does nothing meanwhile
    first.evaluate("setTimeout(() => alert('asleep'))")
    site.tell("queue", times=3)
    assert until(second, lambda: state(second)[0] == "stale", 30)
    assert until(second, lambda: len(got(second)) == 3, 30)
    assert (got(second), state(second)[0]) == ([before + n for n in (1, 2, 3)], "live")


def test_the_script_is_short_and_a_file_of_our_own() -> None:
    assert len((FOLDER / SCRIPT).read_text().splitlines()) <= 150
