"""An account has the same doors as a person: it is read, exported, restricted and erased, by route and by command."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

import brain as commands
from serving.brain.runtime import Brain
from serving.commands.verifying import verify
from serving.settings import Workspace
from tests.serving.workspaces import Client, Json, ask, offers, signal, small_workspace, welcome

HERO = {"placements": [{"name": "hero", "limit": 5}]}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return small_workspace(tmp_path_factory.mktemp("accounts") / "ws")


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[Client]:
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


def used(client: Client, account: str, *customers: str) -> Json:
    """Let customers of an account get an offer and one of them do something; return the last answer."""
    answer: Json = {}
    for customer in customers:
        welcome(client, customer)
        answer = client("POST", "/v1/decisions", ask(f"{account}-{customer}", customer, account_id=account, **HERO))[1]
    told = {"outcome_id": f"{account}-o", "customer_id": customers[0], "account_id": account, "outcome": "declined"}
    assert client("POST", "/v1/outcomes", {**told, "action": "family-data"})[1]["recorded"] == 1
    assert client("POST", "/v1/signals", signal("page-view", f"account:{account}", page="home"))[1]["accepted"] == 1
    return answer


def run(workspace: Workspace, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(commands.main, [*arguments, "--json", "--workspace", str(workspace.root)])
    return result.exit_code, json.loads(result.stdout) if result.stdout else {}


@pytest.mark.promise("accounts.same-doors")
def test_an_account_is_read_and_exported(client: Client) -> None:
    used(client, "a-read", "r-1", "r-2")
    status, content = client("GET", "/v1/accounts/a-read")
    assert (status, content["account_id"], content["erased"], content["restricted"]) == (200, "a-read", False, False)
    assert [o["outcome"] for o in content["outcomes"]] == ["declined"]
    status, page = client("GET", "/v1/accounts/a-read/export")
    assert (status, page["account_id"], page["next"], len(page["events"])) == (200, "a-read", None, 1)
    assert {"outcome"} <= {record["kind"] for record in page["records"]}
    assert "r-1" not in str(page)
    assert client("GET", "/v1/accounts/%C3%A9")[0] == 422


@pytest.mark.promise("accounts.same-doors")
def test_a_restricted_account_is_offered_nothing_until_that_is_lifted(client: Client) -> None:
    shown = offers(used(client, "a-kept", "k-1"))
    assert shown
    for restricted in (True, False):
        assert client("PATCH", "/v1/accounts/a-kept", {"restricted": restricted})[0] == 200
        answer = client("POST", "/v1/decisions", ask(f"k-{restricted}", "k-1", account_id="a-kept", **HERO))[1]
        assert bool(offers(answer)) is not restricted
    assert client("PATCH", "/v1/accounts/a-kept", {"restrict": True})[0] == 422


@pytest.mark.promise("accounts.same-doors")
def test_erasing_an_account_leaves_its_people(client: Client, workspace: Workspace) -> None:
    used(client, "a-gone", "g-1")
    assert client("DELETE", "/v1/accounts/a-gone") == (200, {"account_id": "a-gone", "erased": True})
    page = client("GET", "/v1/accounts/a-gone/export")[1]
    assert (page["erased"], page["events"], page["outcomes"], page["contacts"]) == (True, [], [], [])
    assert {record["kind"] for record in page["records"] if record["body"]} == set()
    answer = client("POST", "/v1/decisions", ask("gone", "g-1", account_id="a-gone", **HERO))[1]
    assert offers(answer) == []
    assert client("GET", "/v1/customers/g-1")[1]["facts"]["age"] == 40
    assert client("PATCH", "/v1/accounts/a-gone", {"restricted": True})[0] == 410
    assert verify(workspace, None)["flaws"] == []


@pytest.mark.promise("accounts.same-doors")
def test_the_commands_take_an_account_instead_of_a_customer(client: Client, workspace: Workspace) -> None:
    used(client, "a-cli", "x-1")
    file = workspace.root / "account.json"
    code, answer = run(workspace, "export", "--account", "a-cli", "--out", str(file))
    assert (code, answer["account_id"]) == (0, "a-cli")
    assert json.loads(file.read_bytes())["account_id"] == "a-cli"
    assert run(workspace, "restrict", "--account", "a-cli") == (0, {"account_id": "a-cli", "restricted": True})
    code, answer = run(workspace, "erase", "--account", "a-cli", "--yes")
    assert (code, answer["erased"], answer["held"]["signals"]) == (0, True, 1)
    assert not file.exists()
    assert client("GET", "/v1/customers/x-1")[1]["erased"] is False
    assert run(workspace, "erase", "--account", "never", "--yes")[0] == 1
    for arguments in (("export",), ("export", "x-1", "--account", "a-cli")):
        assert run(workspace, *arguments)[0] == 2
