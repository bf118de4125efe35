"""Catalogues of any size serve: without an action, and with ten thousand."""

import json
import time
from pathlib import Path

import pytest
import yaml

from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving.workspaces import Client, ask, offers, welcome

SMALL = Path(__file__).parents[1] / "catalogues" / "small"


def released(root: Path, actions: list[dict[str, object]]) -> Workspace:
    """Release the settings, features and protections of the small catalogue with these actions."""
    settings = [line for line in (SMALL / "settings.yaml").read_text().splitlines() if "priors:" not in line]
    protections = yaml.safe_load((SMALL / "policies.yaml").read_text())["protections"]
    files = {
        "settings.yaml": "\n".join(settings),
        "features.yaml": (SMALL / "features.yaml").read_text(),
        "policies.yaml": json.dumps({"protections": protections}),
        "actions.yaml": json.dumps({"actions": actions}),
    }
    releasing.new(root, files)
    workspace = Workspace.open(root)
    releasing.release(workspace, "test")
    return workspace


@pytest.mark.promise("serving.catalogue-sizes")
def test_an_empty_catalogue_answers_that_there_is_nothing(tmp_path: Path) -> None:
    brain = Brain(released(tmp_path / "none", []))
    client = Client(brain)
    welcome(client, "c-1")
    status, answer = client("POST", "/v1/decisions", ask("none-1"))
    assert (status, offers(answer), answer["withheld"]) == (200, [], 0)
    assert answer["placements"][0]["empty_reason"]
    assert client("GET", "/readyz")[0] == 200
    brain.close()


@pytest.mark.promise("serving.catalogue-sizes")
def test_ten_thousand_actions_serve(tmp_path: Path) -> None:
    actions = [_action(n) for n in range(10_000)]
    brain = Brain(released(tmp_path / "many", actions))
    client = Client(brain)
    welcome(client, "c-1")
    body = ask("many-1", placements=[{"name": "hero", "limit": 5}])
    began = time.perf_counter()
    status, answer = client("POST", "/v1/decisions", body)
    seconds = time.perf_counter() - began
    assert status == 200
    assert len(offers(answer)) >= 1
    assert len({o["action"] for o in offers(answer)}) == len(offers(answer))
    assert seconds < brain.workspace.settings.http.request_timeout_s
    status, why = client("GET", f"/v1/decisions/{answer['decision_id']}")
    assert (status, len(why["candidates"])) == (200, 10_000)
    brain.close()


def _action(n: int) -> dict[str, object]:
    treatment = {"id": "web", "channel": "web", "placements": ["hero"], "content_ref": f"cms/{n}"}
    sells = {"issue": "grow", "group": f"group-{n % 50}", "tier": "commercial", "value": 1 + n % 97}
    return {"id": f"action-{n:05}", **sells, "treatments": [treatment]}
