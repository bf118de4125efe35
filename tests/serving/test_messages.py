"""Models of a company's own messages: trained by the command, promoted or refused, and served by a running brain."""

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
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving.workspaces import Client, ask, signal, small_workspace
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
    result = CliRunner().invoke(brain.main, [*arguments, "--json", "--workspace", str(workspace.root)])
    return result.exit_code, json.loads(result.stdout)


def train(workspace: Workspace, frame: pd.DataFrame) -> dict[str, Any]:
    file = workspace.data / "messages.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    code, answer = run(workspace, "train", "sentiment", "--data", str(file))
    assert code == 0, answer
    return answer


def message(text: str, **data: Any) -> dict[str, Any]:
    return signal("message", "customer:c-9", text=text, **data)


def scored(client: Client) -> dict[str, Any]:
    """Return the recorded fields of a message in the jargon of the company."""
    assert client("POST", "/v1/signals", message(JARGON["negative"], language="en"))[1]["accepted"] == 1
    latest = select(SIGNALS.c.body).order_by(SIGNALS.c.seq.desc()).limit(1)
    return dict(from_json(client.brain.ledger.select(latest, {})[0].body))


@pytest.mark.promise("messages.model-must-win")
def test_a_model_serves_where_it_wins_and_a_running_brain_takes_it_up(client, workspace):
    assert scored(client)["scorer"] == "lexicon"
    trained = train(workspace, messages())["models"][0]
    assert (trained["model"], trained["serves"]) == ("sentiment-en@1", True)
    assert trained["gain_low"] > 0
    assert trained["auc"] > trained["built_in_auc"]
    client.brain.refresh_model()
    after = scored(client)
    assert after["scorer"] == "sentiment-en@1"
    assert after["sentiment"] < -0.5

    lost = train(workspace, messages(informative=False))["models"][0]
    assert (lost["model"], lost["serves"]) == ("sentiment-en@2", False)
    code, answer = run(workspace, "promote", "sentiment-en")
    assert code == 1
    assert "sentiment-en@2 does not beat the built-in scorer" in answer["error"]
    code, answer = run(workspace, "promote", "sentiment-en@1")
    assert (code, answer["error"]) == (1, "sentiment-en@1 serves already: there is nothing to promote")
    client.brain.refresh_model()
    assert scored(client) == after

    _check_what_is_tracked(workspace, trained)


def _check_what_is_tracked(workspace: Workspace, trained: dict[str, Any]) -> None:
    """MLflow has the run, and its tools can run the model with the packaged code, without this project."""
    from mlflow import MlflowClient

    registry = MlflowClient(f"sqlite:///{workspace.data / 'mlflow.db'}")
    version = registry.get_model_version("sentiment-en", "1")
    run = registry.get_run(version.run_id)
    assert run.data.metrics["auc"] == pytest.approx(trained["auc"])
    assert run.data.params["data_hash"] == trained["details"]["data_hash"]
    code = next(p for p in (workspace.data / "artifacts").rglob("code") if (p / "features").exists())
    sealed = workspace.data / "models" / version.tags["content_hash"]
    ask = "from training.model.pyfunc_text import _load_pyfunc as f; print(f({!r}).predict({{'text': ['zorp']}}).shape)"
    env = {**os.environ, "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", ask.format(str(sealed))],
        cwd=code, env=env, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert result.stdout.strip() == "(1, 3)"


@pytest.mark.promise("messages.any-text")
@pytest.mark.parametrize(
    "text",
    [
        "😡" * 4_000,
        "الخدمة سيئة للغاية",
        "\u202enot good\u202c",
        "a" * 100_000,
        "why? " * 20_000,
        "\0",
        "?!" * 50_000,
        "",
    ],
    ids=["emoji", "arabic", "turned", "one word", "long", "NUL", "signs", "nothing"],
)
def test_any_text_is_scored_and_the_next_decision_is_made(client, text):
    status, answer = client("POST", "/v1/signals", message(text))
    assert (status, answer["accepted"]) == (200, 1), answer
    assert client("POST", "/v1/decisions", ask(f"r-{len(text)}-{text[:1]!a}", "c-9"))[0] == 200


def test_half_a_character_is_refused_or_scored_and_never_fails(client):
    body = json.dumps(message("bad \ud83d \udc4e")).encode()
    status, _ = client("POST", "/v1/signals", body)
    assert status in (200, 422)


def test_a_list_of_all_sorts_is_judged_one_by_one(client):
    answer = client("POST", "/v1/signals", [message("fine"), {**message(""), "data": {"text": 3}}, message("\0!!")])[1]
    assert [r["status"] for r in answer["results"]] == ["accepted", "refused", "accepted"]
    assert answer["results"][1]["field"] == "data.text"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("train", "sentiment"), "give --data FILE"),
        (("train", "sentiment", "--data", "{file}", "--inputs", "age"), "none of the other options"),
        (("train", "propensity", "--data", "{file}"), "leave --data out"),
        (("train", "sentiment", "--data", "{file}"), "row 2, column label: must be one of negative, neutral, positive"),
        (("promote", "sentiment-fr"), "no challenger"),
        (("promote", "sentiment-en@x"), "such as sentiment-en@2"),
        (("promote", "sentiment-en@99"), "there is no sentiment-en@99"),
    ],
)
def test_what_cannot_be_done_is_said(workspace, tmp_path, arguments, text):
    file = tmp_path / "messages.csv"
    file.write_text("text,label\nhello,Jansen\n")
    code, answer = run(workspace, *(a.format(file=file) for a in arguments))
    assert code == 1
    assert text in answer["error"]
    assert "Jansen" not in answer["error"]
