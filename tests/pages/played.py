"""The demo with its conversations played up to a point: an agent has one customer, and two wait."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, Page

from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.commands.demo import people
from serving.commands.demo.asking import Json, Send, sender
from serving.commands.demo.play import Play
from serving.people.queue import Queue
from serving.settings import Workspace
from tests.serving.server import Server, free_port
from tests.serving.workspaces import Client
from training.simulator import telecom


@dataclass(frozen=True)
class Played:
    """The demo as it is served, with the handover that the agent has.

    `own_link` is what follows `/me/` in the link of its customer.
    """

    address: str
    workspace: Workspace
    handover: str
    own_link: str

    def signed_in(self, browser: Browser, name: str, path: str, width: int, height: int) -> Page:
        """Return a page as a person of the demo sees it."""
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light", locale="en")
        page.goto(f"{self.address}/sign-in?next={path}")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(people.password_file(self.workspace, name).read_text().strip())
        page.get_by_role("button").first.click()
        page.goto(f"{self.address}{path}?lang=en")
        return page


@contextmanager
def played(folder: Path) -> Iterator[Played]:
    """Make the demo in a folder, without its past, serve it in this process, and play."""
    releasing.new(folder / "demo", telecom.catalogue_files())
    workspace = _with_people(folder / "demo")
    client, port = Client(Brain(workspace)), free_port()
    queue = Queue(client.brain)
    server = uvicorn.Server(uvicorn.Config(client.app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()

    def wait(_: float) -> None:
        time.sleep(0.21)
        queue.work()

    def send(scope: str, method: str, path: str, body: Json | None = None) -> Json:
        status, answer = client.of_scope(scope)(method, path, body)
        assert status == 200, answer
        return answer

    with ThreadPoolExecutor(1) as beside:  # the browser has the event loop of this thread
        handover, link = beside.submit(_play, workspace, send, wait).result()
        yield Played(f"http://127.0.0.1:{port}", workspace, handover, link.partition("/me/")[2])
    server.should_exit = True
    thread.join()
    client.brain.close()


@contextmanager
def played_on_server(folder: Path) -> Iterator[Played]:
    """Make the demo in a folder, without its past, serve it as `brain serve` does, behind HAProxy, and play."""
    releasing.new(folder / "demo", telecom.catalogue_files())
    server = Server(folder / "demo")
    workspace = _with_people(folder / "demo")
    server.start()
    try:
        handover, link = _play(workspace, sender(workspace, server.url), lambda _: time.sleep(1.1))
        yield Played(server.url, workspace, handover, link.partition("/me/")[2])
    finally:
        server.stop()


def _with_people(root: Path) -> Workspace:
    workspace = Workspace.open(root)
    releasing.release(workspace, "test")
    people.make_people(workspace)
    return workspace


def _play(workspace: Workspace, send: Send, wait: Callable[[float], None]) -> tuple[str, str]:
    """Play until the agent has Anna, and Carl and Ben wait; return Anna's handover, and a link to her own page."""
    play = Play(send, lambda _: None, wait, people.agent_ids(workspace), "", is_fast=True)
    play._come_to_work()
    play._browse()
    anna = play._become_upset()
    play._change_suggestion(anna)
    play._wait_in_line()
    return anna, people.own_link(send, play._customer("anna"))
