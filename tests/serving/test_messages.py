"""A company's own messages: trained by the command, promoted or refused, and served by a brain that goes on running."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from pydantic_core import from_json
from sqlalchemy import select

import brain
from features.ledger.tables import SIGNALS
from serving import releasing
from serving.runtime import Brain
from serving.settings import Workspace
from tests.serving.workspaces import Client, small_workspace
from tests.training.test_sentiment import JARGON, messages

FIELDS = "fields: [{name: scorer, dtype: string}, {name: sentiment,"
"""The small catalogue's messages, with what scored them."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = small_workspace(tmp_path_factory.mktemp("messages"))
    features = workspace.root / "catalogue" / "features.yaml"
    features.write_text(features.read_text().replace("fields: [{name: sentiment,", FIELDS))
    releasing.release(workspace, "test")
    return workspace


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[Client]:
    served = Brain(workspace)
    yield Client(served)
    served.close()


def run(workspace: Workspace, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(brain.main, [*arguments, "--json", "--workspace", str(workspace.root)])
    return done.exit_code, json.loads(done.stdout)


def train(workspace: Workspace, frame: pd.DataFrame) -> dict[str, Any]:
    file = workspace.data / "messages.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    code, told = run(workspace, "train", "sentiment", "--data", str(file))
    assert code == 0, told
    return told


def scored(client: Client, event_id: str) -> dict[str, Any]:
    """What is kept of a message in the jargon of the company."""
    event = {"specversion": "1.0", "id": event_id, "source": "chat", "type": "message", "subject": "customer:c-1"}
    told = client("POST", "/v1/signals", {**event, "data": {"text": JARGON["negative"], "language": "en"}})[1]
    assert told["accepted"] == 1
    rows = client.brain.ledger.select(select(SIGNALS.c.body).order_by(SIGNALS.c.seq.desc()).limit(1), {})
    return dict(from_json(rows[0].body))


def test_a_model_serves_where_it_wins_and_a_running_brain_takes_it_up(client, workspace):
    assert scored(client, "before")["scorer"] == "lexicon"
    made = train(workspace, messages())["models"][0]
    assert (made["model"], made["serves"]) == ("sentiment-en@1", True)
    assert made["gain_low"] > 0
    assert made["auc"] > made["built_in_auc"]
    client.brain.refresh_model()
    after = scored(client, "after")
    assert after["scorer"] == "sentiment-en@1"
    assert after["sentiment"] < -0.5

    lost = train(workspace, messages(told=False))["models"][0]
    assert (lost["model"], lost["serves"]) == ("sentiment-en@2", False)
    code, told = run(workspace, "promote", "sentiment-en")
    assert code == 1
    assert "sentiment-en@2 does not beat the built-in scorer" in told["error"]
    assert run(workspace, "promote", "sentiment-en@1")[1]["model"] == "sentiment-en@1"
    client.brain.refresh_model()
    assert scored(client, "later") == after

    _check_what_is_tracked(workspace, made)


def _check_what_is_tracked(workspace: Workspace, made: dict[str, Any]) -> None:
    """The run in MLflow, and a model that its own tools can run with the code beside it, where this project is not."""
    from mlflow import MlflowClient

    registry = MlflowClient(f"sqlite:///{workspace.data / 'mlflow.db'}")
    version = registry.get_model_version("sentiment-en", "1")
    run = registry.get_run(version.run_id)
    assert run.data.metrics["auc"] == pytest.approx(made["auc"])
    assert run.data.params["data_hash"] == made["data_hash"]
    code = next(p for p in (workspace.data / "artifacts").rglob("code") if (p / "features").exists())
    sealed = workspace.data / "models" / version.tags["content_hash"]
    ask = "from training.pyfunc_text import _load_pyfunc as load; print(load({!r}).predict({{'text': ['zorp']}}).shape)"
    env = {**os.environ, "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ask.format(str(sealed))],
        cwd=code, env=env, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "(1, 3)"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "sentiment"), "give --data FILE"),
        (("train", "sentiment", "--data", "{file}", "--inputs", "age"), "none of the other options"),
        (("train", "propensity", "--data", "{file}"), "leave --data out"),
        (("train", "sentiment", "--data", "{file}"), "row 1, column label: must be one of negative, neutral, positive"),
        (("promote", "sentiment-fr"), "no challenger"),
        (("promote", "sentiment-en@x"), "such as sentiment-en@2"),
        (("promote", "sentiment-en@99"), "there is no sentiment-en@99"),
    ],
)
def test_what_cannot_be_done_is_said(workspace, tmp_path, arguments, said):
    file = tmp_path / "messages.csv"
    file.write_text("text,label\nhello,Jansen\n")
    code, told = run(workspace, *(a.format(file=file) for a in arguments))
    assert code == 1
    assert said in told["error"]
    assert "Jansen" not in told["error"]
