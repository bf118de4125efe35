"""Clients that two generators make of the OpenAPI document work with the server."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import requests

from tests.serving.server import Server
from tests.serving.workspaces import ask, consent

pytestmark = pytest.mark.server

OUTCOME = {"outcome_id": "made-1", "customer_id": "generated", "action": "tv-bundle", "outcome": "declined"}
WITHDRAWAL = consent("generated", "marketing", "withdrawn")


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that Python imports from, with the document in it."""
    made = tmp_path_factory.mktemp("clients")
    document = requests.get(f"{server.url}/openapi.json", timeout=10).text
    (made / "openapi.json").write_text(document)
    sys.path.insert(0, str(made))
    yield made
    sys.path.remove(str(made))


def generate(folder: Path, *command: str) -> None:
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
    program = [binaries / command[0], *command[1:]]
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def modules(*names: str) -> list[ModuleType]:
    return [importlib.import_module(name) for name in names]


@pytest.mark.promise("contract.clients")
def test_a_client_by_openapi_python_client_decides_and_records(server: Server, folder: Path) -> None:
    options = ("--path", "openapi.json", "--output-path", "made_one", "--meta", "none")
    generate(folder, "openapi-python-client", "generate", *options)
    made, models, decisions, outcomes, consents = modules(
        *("made_one", "made_one.models", "made_one.api.decisions.decide"),
        *("made_one.api.outcomes.record_outcomes", "made_one.api.consents.record_consents"),
    )
    client = made.AuthenticatedClient(base_url=server.url, token=server.key)
    request = models.Ask.from_dict(ask("made-1", "generated"))
    decision = decisions.sync(client=client, body=request)
    assert (decision.customer_id, decision.placements[0].name) == ("generated", "hero")
    assert outcomes.sync(client=client, body=models.OutcomeIn.from_dict(OUTCOME)).recorded == 1
    told = models.ConsentIn.from_dict(WITHDRAWAL)
    assert consents.sync(client=client, body=[told, told]).recorded == 2
    stranger = made.AuthenticatedClient(base_url=server.url, token="none")
    assert decisions.sync(client=stranger, body=request).type_ == "/problems/no-key"


@pytest.mark.promise("contract.clients")
def test_a_client_by_clientele_decides_and_records(server: Server, folder: Path) -> None:
    generate(folder, "clientele", "start-api", "--file", "openapi.json", "--output", "made_two")
    made, config, schemas = modules("made_two.client", "made_two.config", "made_two.schemas")
    bearer = {"Authorization": f"Bearer {server.key}"}
    made.client.configure(config=config.Config(base_url=server.url, headers=bearer))
    assert made.decide(data=schemas.Ask(**ask("made-3", "generated"))).customer_id == "generated"
    outcome = schemas.OutcomeIn(**{**OUTCOME, "outcome_id": "made-2"})
    assert made.record_outcomes(data=outcome).recorded == 1
    assert made.record_consents(data=schemas.ConsentIn(**WITHDRAWAL)).recorded == 1
