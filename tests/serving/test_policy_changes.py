"""`brain policies`: gains and losses by action and gate, and wrong rules, for customers and for personas."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import brain as command_line
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving.workspaces import Client, signal, small_workspace, welcome

WRONG = """
policies:
  - {id: very-old, level: eligibility, attach: {group: mobile}, permit: "age >= 18 && age < 19"}
  - {id: never-young, level: suitability, attach: {group: mobile}, deny: "age < 21"}
  - {id: pays, level: eligibility, attach: {group: mobile}, permit: "monthly_fee_eur >= 0"}
  - {id: pays-much, level: suitability, attach: {action: sports-channel}, permit: "monthly_fee_eur > 100"}
"""
SEEN = """
policies: [{id: seen, level: eligibility, attach: {action: family-data}, permit: 'page_seen == "paid-tv"'}]
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with three customers who allow everything, and with policies that were not released."""
    workspace = small_workspace(tmp_path_factory.mktemp("policies") / "w")
    brain = Brain(workspace)
    for customer in ("c-1", "c-2", "c-3"):
        welcome(Client(brain), customer)
    brain.close()
    (workspace.root / "catalogue" / "wrong.yaml").write_text(WRONG)
    return workspace


def run(workspace: Workspace, *arguments: str) -> dict:  # type: ignore[type-arg]
    result = CliRunner().invoke(
        command_line.main, ["policies", *arguments, "--json", "--workspace", str(workspace.root)]
    )
    assert result.exit_code == 0, result.output
    assert not {"c-1", "c-2", "c-3"} & set(result.stdout.replace('"', " ").split())
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def released(workspace: Workspace) -> str:
    brain = Brain(workspace)
    name = brain.snapshot.release.hash
    brain.close()
    return name


@pytest.mark.promise("explanations.policies")
def test_a_diff_tells_who_loses_what_through_which_gate(workspace: Workspace) -> None:
    changes = run(workspace, "diff", released(workspace), "files")
    lost = {(m["action"], m["gate"]): m for m in changes["moved"]}
    assert set(lost) == {("family-data", "eligibility:very-old"), ("sports-channel", "suitability:pays-much")}
    assert all(m["customers"] == 3 and not m["gained"] and len(m["examples"]) == 3 for m in lost.values())
    added = {c["item"]: (c["gained"], c["lost"]) for c in changes["changes"]}
    assert added == {"very-old": (0, 3), "never-young": (0, 0), "pays": (0, 0), "pays-much": (0, 3)}
    back = run(workspace, "diff", "files", released(workspace))
    assert {(m["action"], m["gate"], m["gained"]) for m in back["moved"]} == {(*key, True) for key in lost}
    assert run(workspace, "diff", released(workspace), released(workspace))["moved"] == []


@pytest.mark.promise("explanations.policies")
def test_an_audit_finds_dead_rules_contradictions_and_gates_that_nobody_passes(workspace: Workspace) -> None:
    findings = {(f["what"], tuple(sorted(f["gates"]))) for f in run(workspace, "audit")["findings"]}
    assert ("contradiction", ("eligibility:very-old", "suitability:never-young")) in findings
    assert ("nobody-passes", ("eligibility:very-old",)) in findings
    assert ("nobody-passes", ("suitability:pays-much",)) in findings
    assert ("dead", ("eligibility:pays",)) in findings
    assert ("dead", ("suitability:never-young",)) in findings
    assert ("dead", ("suitability:pays-much",)) not in findings


@pytest.mark.promise("explanations.policies")
def test_personas_are_a_population_too(workspace: Workspace, tmp_path: Path) -> None:
    assert run(workspace, "diff", released(workspace), "files", "--personas")["population"] == 2
    assert run(workspace, "audit", "--personas")["population"] == 2


def test_a_customer_is_read_as_a_decision_reads_them(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path / "w")
    brain = Brain(workspace)
    client = Client(brain)
    for customer in ("c-1", "c-2"):
        welcome(client, customer)
    link = {"customer_id": "c-1", "identifier": {"kind": "cookie", "value": "k"}, "status": "linked", "source": "login"}
    assert client("POST", "/v1/identities", link)[0] == 200
    assert client("POST", "/v1/signals", signal("page-view", "cookie:k", page="paid-tv"))[0] == 200
    brain.close()
    (workspace.root / "catalogue" / "seen.yaml").write_text(SEEN)
    moved = run(workspace, "diff", released(workspace), "files")["moved"]
    assert [(m["action"], m["gate"], m["customers"]) for m in moved] == [("family-data", "eligibility:seen", 1)]
