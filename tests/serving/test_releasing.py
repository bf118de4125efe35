"""Releases and rollbacks of a workspace, without a server."""

from pathlib import Path

from serving.brain import releasing
from serving.brain.runtime import Brain
from tests.serving.workspaces import Client, small_workspace


def test_one_value_that_does_not_fit_refuses_no_rollback_and_is_told(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path)
    (schema,) = (f for f in workspace.catalogue.glob("*.yaml") if "name: age," in f.read_text())
    schema.write_text(schema.read_text().replace("name: age, dtype: int", "name: age, dtype: float"))
    releasing.release(workspace, "test")
    brain = Brain(workspace)
    assert Client(brain)("PATCH", "/v1/customers/c-1", {"facts": {"age": 40.5}})[0] == 200
    brain.compact()
    brain.close()
    (advice,) = releasing.rollback(workspace, "test")["advice"]
    assert advice.startswith("the newest value of `age` does not fit its type for 1 customers")
    brain = Brain(workspace)
    assert "age" not in Client(brain)("GET", "/v1/customers/c-1")[1]["facts"]
    brain.close()
