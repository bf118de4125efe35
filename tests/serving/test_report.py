"""The report counts every offer once, however often and on however many streams something is told of it."""

from pathlib import Path

import pytest

from serving.report import report, wilson
from serving.runtime import Brain
from tests.serving.workspaces import Client, ask, offers, small_workspace, welcome


def test_an_offer_is_counted_once(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path / "ws")
    brain = Brain(workspace)
    client = Client(brain)
    welcome(client, "c-1")
    body = ask("r-1", "c-1", account_id="a-1", placements=[{"name": "hero", "limit": 5}])
    shown = {o["action"]: o["offer_id"] for o in offers(client("POST", "/v1/decisions", body)[1])}
    for n, outcome in enumerate(("delivered", "seen", "accepted", "accepted")):
        told = {"outcome_id": f"o-{n}", "offer_id": shown["family-data"], "outcome": outcome}
        assert client("POST", "/v1/outcomes", told)[0] == 200
    brain.close()
    rows = {row["action"]: row for row in report(workspace)["actions"]}
    assert rows.keys() == shown.keys()
    counted = {k: rows["family-data"][k] for k in ("offered", "reached", "positive", "negative")}
    assert counted == {"offered": 1, "reached": 1, "positive": 1, "negative": 0}
    assert rows["fix-router"]["reached"] == 0


def test_the_interval_is_wilsons() -> None:
    assert wilson(10, 100) == pytest.approx((0.0552291, 0.1743657), abs=1e-6)
    assert wilson(0, 5)[0] == pytest.approx(0.0, abs=1e-12)
