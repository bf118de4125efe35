"""A cap per day over HTTP: exact in races, told in explanations, decided again byte for byte, and comparable."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from serving.brain import releasing
from serving.brain.explaining import recomputes
from serving.brain.runtime import Brain
from serving.commands.releases.policy_changes import diff
from serving.settings import Workspace
from tests.serving.workspaces import Client, Json, ask, offers, small_workspace, welcome

NOON = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
"""A time zone where it is about noon now, so that no day ends while a test runs."""
WIDE: Json = {"placements": [{"name": "hero", "limit": 5}]}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = small_workspace(tmp_path_factory.mktemp("calendar") / "ws")
    file = workspace.root / "catalogue" / "policies.yaml"
    capped = "caps:\n  - {id: two-a-day, count: customer, limit: 2, per: day}\n\n"
    file.write_text(re.sub(r"(?s)caps:\n.*?\n\n", capped, file.read_text()))
    return workspace


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[Client]:
    releasing.release(workspace, "test")
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


def sold(answer: Json) -> list[str]:
    return [o["action"] for o in offers(answer) if o["tier"] == "commercial"]


@pytest.mark.promise("caps.exact-in-races")
def test_requests_at_once_never_overrun_a_cap_per_day_and_come_out_again(client: Client) -> None:
    welcome(client, "c-day")
    client("PATCH", "/v1/customers/c-day", {"facts": {"home_time_zone": NOON}})
    bodies = [ask(f"day-{n}", "c-day", placements=[{"name": "hero", "limit": 2 + n % 2}]) for n in range(4)]

    async def all_at_once() -> list[tuple[int, Json]]:
        return await asyncio.gather(*(client.ask("POST", "/v1/decisions", body) for body in bodies))

    answers = [answer for status, answer in asyncio.run(all_at_once()) if status == 200]
    answers.append(client("POST", "/v1/decisions", ask("day-last", "c-day", **WIDE))[1])
    assert sum(len(sold(answer)) for answer in answers) == 2
    for answer in answers:
        record = client.brain.ledger.lookup(f"decision:{answer['decision_id']}")
        assert record is not None
        assert recomputes(client.brain, record)
    why = client("GET", f"/v1/decisions/{answers[-1]['decision_id']}")[1]
    stopped = next(c for c in why["candidates"] if c.get("gate") == "cap:two-a-day")
    assert stopped["why"] == f"shown as often as it may be: 2 a day, by the calendar in {NOON}"
    assert "shown as often as it may be in a day (2)" in why["text"]["en"]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    preview = client("POST", "/v1/decisions", ask("day-next", "c-day", **WIDE, mode="preview", as_of=tomorrow))[1]
    assert sold(preview)


def test_policies_diff_compares_a_cap_per_day_with_one_in_any_days(client: Client, workspace: Workspace) -> None:
    welcome(client, "c-diff")
    file = workspace.root / "catalogue" / "policies.yaml"
    file.write_text(file.read_text().replace("limit: 2, per: day", "limit: 0, window_days: 1"))
    moved = diff(workspace, client.brain.snapshot.release.hash, "files")["moved"]
    assert {m["gate"] for m in moved} == {"cap:two-a-day"}
