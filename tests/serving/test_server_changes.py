"""Pauses, releases, rollbacks and withdrawals while the real server answers."""

import asyncio
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from pydantic_core import from_json, to_json

from serving.brain import releasing
from serving.brain.explaining import recomputes
from serving.brain.releases import pausing
from serving.commands.offline import open_brain
from serving.settings import Workspace
from tests.permits import make_champion
from tests.serving.load import Answer, once
from tests.serving.models import register
from tests.serving.server import Server
from tests.serving.workspaces import FACTS, ask, consent, offers
from training.registry import Registry

pytestmark = pytest.mark.server

WITHIN_S = 2.0
COMMERCIAL = {"grow", "retain", "nurture"}


def welcome(server: Server, customer: str) -> None:
    """Give a customer a profile and consents to marketing and profiling."""
    assert server("PATCH", f"/v1/customers/{customer}", {"facts": FACTS})[0] == 200
    consents = [consent(customer, purpose) for purpose in ("marketing", "profiling")]
    assert server("POST", "/v1/consents", consents)[0] == 200


def decided(server: Server, request_id: str, customer: str, **more: Any) -> dict[str, Any]:
    """Return the answer to a request for up to five offers."""
    wide = {"placements": [{"name": "hero", "limit": 5}], **more}
    status, answer = server("POST", "/v1/decisions", ask(request_id, customer, **wide))
    assert status == 200
    return answer


def settled(check: Callable[[], bool]) -> float:
    """Wait until `check` is true and stays so for the rest of WITHIN_S; return the seconds until it was."""
    began, since = time.monotonic(), None
    while time.monotonic() < began + WITHIN_S:
        if not check():
            since = None
        elif since is None:
            since = time.monotonic()
        time.sleep(0.02)
    assert since is not None, f"no effect within {WITHIN_S} s"
    return since - began


@pytest.mark.promise("serving.pause")
def test_a_pause_takes_effect_within_two_seconds(
    server: Server, record_property: Callable[[str, object], None]
) -> None:
    welcome(server, "c-pause")

    def offered() -> set[str]:
        return {o["action"] for o in offers(decided(server, "look", "c-pause", mode="preview"))}

    assert "fix-router" in offered()
    server.brain("pause", "fix-router")
    record_property("pause_s", settled(lambda: "fix-router" not in offered()))
    live = decided(server, "paused-1", "c-pause")
    assert "fix-router" not in {o["action"] for o in offers(live)}
    why = server("GET", f"/v1/decisions/{live['decision_id']}")[1]
    assert why["paused"] == ["fix-router"]
    pausing.pause(Workspace.open(server.root), "fix-router", "test", resume=True)
    record_property("resume_s", settled(lambda: "fix-router" in offered()))


@pytest.mark.promise("releases.over-http")
def test_files_serve_once_released_and_old_decisions_still_recompute(
    server: Server, record_property: Callable[[str, object], None]
) -> None:
    welcome(server, "c-release")
    actions = server.root / "catalogue" / "actions.yaml"
    before = actions.read_text()
    first = decided(server, "release-1", "c-release")

    def release() -> str:
        return str(decided(server, "look", "c-release", mode="preview")["release"])

    actions.write_text(before.replace("Help with your router", "Your router, helped"))
    settled(lambda: release() == first["release"])
    changed = server.brain("release")["release"]
    assert changed != first["release"]
    record_property("release_s", settled(lambda: release() == changed))
    second = decided(server, "release-2", "c-release", locale="en")
    assert second["release"] == changed
    assert "Your router, helped" in str(second)
    assert releasing.rollback(Workspace.open(server.root), "test")["release"] == first["release"]
    settled(lambda: release() == first["release"])
    actions.write_text("actions: [")
    try:
        _recompute(server, first, second)
    finally:
        actions.write_text(before)


def _recompute(server: Server, *answers: dict[str, Any]) -> None:
    """Recompute each decision, and a sample by `brain verify`."""
    with open_brain(Workspace.open(server.root)) as brain:
        for answer in answers:
            record = brain.ledger.lookup(f"decision:{answer['decision_id']}")
            assert record is not None
            assert record.body is not None
            hinted = {name: value for name, value in answer.items() if name != "hints"}
            assert record.body["answer"] == hinted, "hints are about the request, and not recorded"
            assert recomputes(brain, record)
    results = server.brain("verify", "--sample", "200")
    assert (results["flaws"], results["different"]) == ([], [])


@pytest.mark.promise("consent.withdrawal-binds-under-load")
@pytest.mark.parametrize("customers", [40, pytest.param(1_000, marks=pytest.mark.long)])
def test_an_acknowledged_withdrawal_binds_the_next_decision_under_load(server: Server, customers: int) -> None:
    """Two connections request decisions for each customer while a third sends a consent.

    Requests after the acknowledgement are bound by it. Every other customer grants instead of withdrawing, and still
    gets commercial offers (unless exploration drew nothing).
    """

    async def all_of_them() -> list[set[str]]:
        gate = asyncio.Semaphore(5)

        async def one(n: int) -> set[str]:
            async with gate:
                return await _issues_after_consent(server, f"c-withdraw-{customers}-{n}", withdraws=n % 2 == 0)

        return list(await asyncio.gather(*(one(n) for n in range(customers))))

    sold = asyncio.run(all_of_them())
    assert set().union(*sold[::2]) & COMMERCIAL == set()
    assert sum(bool(issues & COMMERCIAL) for issues in sold[1::2]) > customers / 4


@pytest.mark.parametrize("swaps", [2, pytest.param(100, marks=pytest.mark.long)])
def test_champions_change_under_load_and_no_request_fails(server: Server, swaps: int) -> None:
    """Two connections request decisions all the time, and each sees every change of champion once."""
    workspace, registry = Workspace.open(server.root), Registry(Workspace.open(server.root).data)
    with open_brain(workspace) as brain:
        versions = [register(workspace, brain.snapshot.release, seed, 0.2) for seed in (0, 1)]
    for customer in ("c-swap", "c-swap-0", "c-swap-1"):
        welcome(server, customer)
    answers: list[list[Answer]] = [[], []]
    ended = threading.Event()
    threads = [
        threading.Thread(target=asyncio.run, args=(_ask_until(server, f"c-swap-{n}", ended, answers[n]),))
        for n in (0, 1)
    ]
    for thread in threads:
        thread.start()
    try:
        for n in range(swaps):
            make_champion(registry, versions[n % 2])
            _wait_for(server, f"propensity@{versions[n % 2]}")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert {answer.status for answer in (*answers[0], *answers[1])} == {200}
    for connection in answers:
        models = [from_json(answer.body)["model"] for answer in connection]
        changes = sum(before != after for before, after in pairwise(models))
        assert changes in (swaps - 1, swaps)  # the first model may have been in place before, or the prior


def _wait_for(server: Server, model: str) -> None:
    """Wait until the model decides: the first model of a replica needs its imports, seconds on a busy machine."""
    until = time.monotonic() + 30
    while decided(server, "look", "c-swap", mode="preview")["model"] != model:
        assert time.monotonic() < until, f"{model} never came"
        time.sleep(0.1)


async def _ask_until(server: Server, customer: str, ended: threading.Event, answers: list[Answer]) -> None:
    while not ended.is_set():
        answers.append(await once(server.port, _wanted(server, f"{customer}-{len(answers)}", customer, 3)))


async def _issues_after_consent(server: Server, customer: str, *, withdraws: bool) -> set[str]:
    """Return the issues of the offers after the acknowledgement."""
    patch = server.post(f"/v1/customers/{customer}", to_json({"facts": FACTS}), "PATCH")
    granted = [consent(customer, purpose) for purpose in ("marketing", "profiling")]
    for request in (patch, server.post("/v1/consents", to_json(granted))):
        assert (await once(server.port, request)).status == 200
    body = consent(customer, "marketing", "withdrawn" if withdraws else "granted")
    meanwhile = [once(server.port, _wanted(server, f"{customer}-{n}", customer, 1)) for n in range(2)]
    answers = await asyncio.gather(*meanwhile, once(server.port, server.post("/v1/consents", to_json(body))))
    assert {a.status for a in answers} <= {200, 503}
    assert answers[-1].status == 200, "a withdrawal never answers 'conflict'"
    after = await asyncio.gather(
        *(once(server.port, _wanted(server, f"{customer}-after-{n}", customer, 3)) for n in range(2))
    )
    assert {a.status for a in after} == {200}
    return {offer["issue"] for answer in after for offer in offers(from_json(answer.body))}


def _wanted(server: Server, request_id: str, customer: str, limit: int) -> bytes:
    """Return a request that commercial actions can fill: no service action has the sidebar."""
    return server.post(
        "/v1/decisions", to_json(ask(request_id, customer, placements=[{"name": "sidebar", "limit": limit}]))
    )
