"""The conversations that `brain demo --play` plays into the demo, and the people and links that the demo makes."""

import stat
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.commands.demo import links, people
from serving.commands.demo.asking import Json, checked
from serving.commands.demo.play import Play
from serving.events.moments import Watcher
from serving.people.measuring import measure
from serving.people.queue import Queue
from serving.settings import Workspace
from tests.serving.people.browser import Browser
from tests.serving.people.own_page import entered, heading
from tests.serving.workspaces import Client
from training.simulator import telecom


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Return a client of the demo's operator with its people, and without its past."""
    root = tmp_path_factory.mktemp("play") / "demo"
    releasing.new(root, telecom.catalogue_files())
    workspace = Workspace.open(root)
    releasing.release(workspace, "test")
    people.make_people(workspace)
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


def send(client: Client, scope: str, method: str, path: str, body: Json | None = None) -> Json:
    return checked(client.of_scope(scope)(method, path, body)[1], f"{method} {path}")


def play(client: Client, said: list[str]) -> Play:
    """Return a play without pauses; what it says is added to `said`."""
    queue, watcher = Queue(client.brain), Watcher(client.brain)

    def wait(_: float) -> None:
        time.sleep(0.21)  # claims of the queue last a fifth of a second
        queue.work()
        measure(client.brain)
        watcher.decide_due()

    agents = people.agent_ids(client.brain.workspace)
    return Play(partial(send, client), said.append, wait, agents, "http://localhost", is_fast=True)


def desk_of(client: Client, name: str) -> Browser:
    """Return the browser of a person of the demo who signed in."""
    browser = Browser(client)
    password = people.password_file(client.brain.workspace, name).read_text().strip()
    assert browser.sign_in(name, password)[0] == 303
    return browser


@pytest.mark.promise("demo.play")
def test_a_played_customer_reaches_the_right_person_and_may_be_played_again(client: Client) -> None:
    for _ in range(2):
        lines = list[str]()
        play(client, lines).run()
        said = "\n".join(lines)
        assert "a pop-up asks her, in the catalogue's first language: “Kom je er niet uit?”" in said
        assert "The queue offers her to you: noor has time, too, and speaks no English." in said
        assert "“Listen first”\n" in said, "before the customer asks about a bill"
        assert "The desk suggests now: “Listen first”, “Walk through the bill”" in said
        assert "The queue offers you Ben, and Carl is waiting still." in said
        assert "It has this to sell to him: “" in said
        assert "the website has this to sell to him: nothing" in said
        assert "You may negotiate: €100 are left to give her." in said
        assert "You offer her “Renew the contract”, which gives away €0, and hold it for her." in said
    handovers = send(client, "lead", "GET", "/v1/handovers")["handovers"]
    assert handovers == [], "a play leaves nothing open"
    assert not list(client.brain.ledger.verify())


def test_who_signs_in_as_the_demos_agent_has_the_played_customer_at_their_desk(client: Client) -> None:
    played = play(client, [])
    played._come_to_work()
    played._browse()
    anna = played._become_upset()
    browser = desk_of(client, people.AGENT)
    assert f'href="desk/{anna}"' in browser.get("/desk")[2]
    status, _, page = browser.get(f"/desk/{anna}?lang=en")
    assert (status, "Listen first" in page, "Walk through the bill" in page) == (200, True, False)
    played._change_suggestion(anna)
    assert "Walk through the bill" in browser.get(f"/desk/{anna}/now")[2]
    played.close_open()


def test_a_play_that_was_stopped_is_tidied_by_the_next(client: Client) -> None:
    stopped = play(client, [])
    stopped._welcome(stopped._customer("carl"))
    opened = stopped._wait_in_line()
    assert len(send(client, "lead", "GET", "/v1/handovers")["handovers"]) == len(opened)
    stopped.close_open()
    assert send(client, "lead", "GET", "/v1/handovers")["handovers"] == []


@pytest.mark.promise("demo.links")
def test_the_people_of_the_demo_sign_in_with_their_files_and_see_their_pages(client: Client) -> None:
    workspace = client.brain.workspace
    for name, pages in ((people.AGENT, {"/desk": 200, "/lead": 403}), (people.LEAD, {"/desk": 200, "/lead": 200})):
        file = people.password_file(workspace, name)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        browser = desk_of(client, name)
        assert {page: browser.get(page)[0] for page in pages} == pages


def test_people_are_made_once_and_get_another_password_where_the_file_is_gone(client: Client) -> None:
    workspace = client.brain.workspace
    file = people.password_file(workspace, people.AGENT)
    before, ids = file.read_text(), people.agent_ids(workspace)
    people.make_people(workspace)
    assert file.read_text() == before
    file.unlink()
    people.make_people(workspace)
    assert (people.agent_ids(workspace), file.read_text() != before) == (ids, True)


def test_the_links_of_the_demo_are_printed_and_a_customers_works(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "sender", lambda *_: partial(send, client))
    written = list[Path]()
    monkeypatch.setattr(links, "write_report", lambda root: written.append(root) or root / "report.html")
    links.show_links(client.brain.workspace, "http://localhost", Path(".demo"), "c-1042")
    printed = capsys.readouterr().out
    for shown in (
        "/sign-in?next=/desk",
        "/sign-in?next=/lead",
        ".demo/keys/agent-password",
        "/me/enter?code=",
        "report.html",
    ):
        assert shown in printed, shown
    assert written == [client.brain.workspace.root]
    assert "c-1042" in heading(entered(client, "c-1042").get("/me")) or entered(client, "c-1042").get("/me")[0] == 200
