"""The served product: the package is there within 300 ms of the message that called a person, while decisions go on."""

import asyncio
import statistics
import time
from threading import Thread

import pytest
from pydantic_core import to_json

from tests.serving.load import Load, open_loop
from tests.serving.server import Server
from tests.serving.workspaces import FACTS, ask, consent, signal

pytestmark = pytest.mark.server
PACKAGES, PER_SECOND, WITHIN_S = 100, 20, 0.3


@pytest.mark.long
def test_the_package_is_there_within_300_ms_of_the_message_that_called_a_person(server: Server) -> None:
    names = [f"c-package-{n}" for n in range(PACKAGES)]
    for name in names:
        assert server("PATCH", f"/v1/customers/{name}", {"facts": FACTS})[0] == 200
        consents = [consent(name, purpose) for purpose in ("marketing", "profiling")]
        assert server("POST", "/v1/consents", consents)[0] == 200
    load: list[Load] = []
    beside = Thread(target=lambda: load.append(_decisions(server, names)))
    beside.start()
    took = sorted(_package(server, name) for name in names)
    beside.join()
    assert set(load[0].statuses) == {200}
    assert statistics.median(took) <= WITHIN_S, f"95th percentile {took[94] * 1000:.0f} ms"


def _decisions(server: Server, names: list[str]) -> Load:
    """Ask for decisions, 20 a second, for a while."""

    def request(n: int) -> bytes:
        return server.post("/v1/decisions", to_json(ask(f"beside-{n}", names[n % len(names)])))

    return asyncio.run(open_loop(server.port, request, per_second=PER_SECOND, count=PER_SECOND * 15))


def _package(server: Server, name: str) -> float:
    """Return the seconds from an angry message to the package of the handover that the next decision opened."""
    began = time.perf_counter()
    angry = signal("message", f"customer:{name}", text="This is outrageous, the worst service ever, I am furious!")
    assert server("POST", "/v1/signals", angry)[0] == 200
    status, answer = server("POST", "/v1/decisions", ask(f"call-{name}", name, conversation_id=f"t-{name}"))
    assert status == 200, answer
    handover = answer["handover"]["handover_id"]
    status, told = server("GET", f"/v1/handovers/{handover}/package")
    assert (status, told["wants"]["reason"]) == (200, "wants a person")
    return time.perf_counter() - began
