"""Desks on the real server: how soon one shows what a customer just did, and how soon and how large its pages are."""

import asyncio
import gzip
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from pydantic_core import to_json

from tests.serving.load import closed_loop, once
from tests.serving.server import Server
from tests.serving.test_server_streams import Desk, close, opened, quantile
from tests.serving.workspaces import FACTS, consent, signal

pytestmark = pytest.mark.server

STREAMS, SHOWN = 200, 100
PER_SECOND = 5
GATHER_S = 0.1
"""So long a desk gathers what it is told before it asks for its content, as desk.js does."""
PAGE_BYTES = 60_000
_ASSET = re.compile(r'(?:href|src)="(static/[^"]+)"')


@dataclass
class Shown:
    """A desk of one conversation, which asks for its content once it is told of something."""

    desk: Desk
    handover: str
    shown_s: float = 0.0

    async def show(self) -> None:
        """Wait for what is told next, then get the content as it is now."""
        told = len(self.desk.got)
        while len(self.desk.got) == told:
            await asyncio.sleep(0.005)
        await asyncio.sleep(GATHER_S)
        answer = await once(self.desk.server.port, asked(self.desk.server, f"/desk/{self.handover}/now"))
        assert answer.status == 200
        self.shown_s = time.perf_counter()


def asked(server: Server, path: str) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nAuthorization: Bearer {server.key}\r\n\r\n"
    return head.encode()


def held(server: Server, names: Sequence[str]) -> list[str]:
    """Return handovers of customers that the key's own desk holds."""
    handovers = [_taken(server, name) for name in names[:1]]
    agent = server("GET", f"/v1/handovers/{handovers[0]}")[1]["agent_id"]
    able = {"languages": ["nl", "en"], "capacity": {"chat": 100}}
    assert server("PUT", f"/v1/agents/{agent}", able)[0] == 200
    return handovers + [_taken(server, name) for name in names[1:]]


def _taken(server: Server, name: str) -> str:
    about = {"request_id": f"r-{name}", "customer_id": name, "conversation_id": f"k-{name}", "channel": "chat"}
    handover = str(server("POST", "/v1/handovers", {**about, "reason": "asks for a person"})[1]["handover_id"])
    assert asyncio.run(once(server.port, take(server, handover))).status == 303
    return handover


def take(server: Server, handover: str) -> bytes:
    head = f"POST /desk/{handover}/take HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\n"
    return f"{head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n".encode()


def known(server: Server, count: int) -> list[str]:
    names = [f"c-shown-{count}-{n}" for n in range(count)]
    facts = [server.post(f"/v1/customers/{name}", to_json({"facts": FACTS}), "PATCH") for name in names]
    asyncio.run(closed_loop(server.port, facts.__getitem__, connections=4, count=count))
    said = [consent(name, purpose) for name in names for purpose in ("marketing", "profiling")]
    for n in range(0, len(said), 200):
        assert server("POST", "/v1/consents", said[n : n + 200])[0] == 200
    return names


@pytest.mark.promise("desk.soon")
@pytest.mark.parametrize(("streams", "shown_by"), [(8, 3), pytest.param(STREAMS, SHOWN, marks=pytest.mark.long)])
def test_a_desk_shows_what_a_customer_just_did_beside_many_others(
    server: Server, streams: int, shown_by: int, record_property: Callable[[str, object], None]
) -> None:
    """The times are judged in the long run alone, of 100 desks beside 200 streams."""
    names = known(server, streams)
    handovers = held(server, names[:shown_by])

    async def measured() -> list[float]:
        desks, tasks = await opened(server, names)
        delays = list[float]()
        shown = [Shown(desk, handover) for desk, handover in zip(desks, handovers, strict=False)]
        for one in shown:
            began_s = time.perf_counter()
            waiting = asyncio.create_task(one.show())
            view = server.post(
                "/v1/signals", to_json(signal("page-view", f"customer:{one.desk.customer}", page="help"))
            )
            assert (await once(server.port, view)).status == 200
            await asyncio.wait_for(waiting, 10)
            delays.append(one.shown_s - began_s)
            await asyncio.sleep(max(0.0, 1 / PER_SECOND - (time.perf_counter() - began_s)))
        await close(tasks)
        return delays

    delays = asyncio.run(measured())
    for handover in handovers:
        assert server("POST", f"/v1/handovers/{handover}/steps", {"state": "resolved"})[0] == 200
    figures = f"median {quantile(delays, 0.5):.3f} s, p99 {quantile(delays, 0.99):.3f} s of {len(delays)}"
    record_property("desk", figures)
    sys.stdout.write(f"{figures}\n")
    assert len(delays) == shown_by
    if shown_by == SHOWN:
        assert quantile(delays, 0.5) < 0.3
        assert quantile(delays, 0.99) < 1.0


@pytest.mark.promise("desk.light")
def test_pages_that_people_work_at_are_light_and_take_two_turns(server: Server) -> None:
    """A page is one request, and what it loads another turn; their bytes are counted as they are sent."""
    (name,) = known(server, 1)
    (handover,) = held(server, [name])
    for path in ("/desk", f"/desk/{handover}", "/lead", "/sign-in"):
        seconds = []
        for _ in range(5):
            began_s = time.perf_counter()
            status, page = text(server, path)
            seconds.append(time.perf_counter() - began_s)
            assert status == 200
        assets = [text(server, f"/{asset}") for asset in dict.fromkeys(_ASSET.findall(page.replace("../", "")))]
        assert assets, path
        assert {status for status, _ in assets} == {200}
        bodies = [page.encode(), *(body.encode() for _, body in assets)]
        sizes = sum(map(len, bodies)), sum(len(gzip.compress(body)) for body in bodies)
        sys.stdout.write(f"{path.partition('h-')[0]} {statistics.median(seconds) * 1e3:.1f} ms, {sizes} bytes\n")
        assert sizes[0] < PAGE_BYTES


def text(server: Server, path: str) -> tuple[int, str]:
    """Return status and text of a page."""
    answer = asyncio.run(once(server.port, asked(server, path)))
    return answer.status, answer.body.decode()
