"""A challenger beside the champion: in shadow it changes nothing, with a share it decides, without a restart."""

import json
import os
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from click.testing import CliRunner

import brain
from serving.brain.runtime import Brain
from serving.brain.trials import Models
from serving.commands.verifying import verify
from serving.http.background import REFRESH_MODEL_S
from serving.lifecycle import processes
from serving.lifecycle.learning import Learning
from tests.permits import make_champion, put_on_trial
from tests.serving.models import register
from tests.serving.workspaces import Client, ask, consent, offers, small_workspace, welcome
from training.learning.evidence import Guard
from training.registry import Registry, Trial

_first: set[str] = set()
"""The models that decided before the first champion; making a second registry would take seconds."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    workspace = small_workspace(tmp_path_factory.mktemp("trials") / "ws")
    brain = Brain(workspace)
    versions = [register(workspace, brain.snapshot.release, seed, rate) for seed, rate in ((0, 0.1), (1, 0.3))]
    assert versions == [1, 2]
    put_on_trial(Registry(workspace.data), Trial(1, 0.5, 1, "s"))
    brain.refresh_model()
    _first.update(brain.snapshot.models.for_decision(f"d-{n}")[0].name for n in range(30))
    Registry(workspace.data).set_trial("propensity", None)
    make_champion(Registry(workspace.data), 1)
    brain.refresh_model()
    client = Client(brain)
    welcome(client, "c-1")
    return client


def decided(client: Client, request: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the answer and the record in the ledger."""
    status, answer = client("POST", "/v1/decisions", ask(request, account_id="a-1"))
    assert status == 200
    record = client.brain.ledger.lookup(f"decision:{answer['decision_id']}")
    assert record is not None
    return answer, record.body or {}


def trial(client: Client, share: float | None) -> None:
    registry = Registry(client.brain.workspace.data)
    registry.set_trial("propensity", None)
    if share is not None:
        put_on_trial(registry, Trial(2, share, 1, "salt"))
    client.brain.refresh_model()


@pytest.mark.promise("trials.shadow-and-share")
def test_in_shadow_the_challenger_is_recorded_and_changes_nothing(client: Client) -> None:
    before = decided(client, "r-before")[0]
    trial(client, 0.0)
    answer, record = decided(client, "r-shadow")
    assert answer["model"] == "propensity@1"
    assert record["shadow"]["model"] == "propensity@2"
    assert len(record["shadow"]["propensity"]) == len(record["scores"]["candidates"])
    assert record["shadow"]["propensity"] != record["scores"]["propensity"]
    assert [o["propensity"] for o in offers(answer)] == [o["propensity"] for o in offers(before)]


@pytest.mark.promise("trials.shadow-and-share")
def test_on_a_share_of_traffic_it_decides_as_often_as_it_was_given(client: Client) -> None:
    trial(client, 0.3)
    models = [client.brain.snapshot.models.for_decision(f"d-{n}")[0].name for n in range(2_000)]
    assert models.count("propensity@2") / 2_000 == pytest.approx(0.3, abs=0.04)
    records = [decided(client, f"r-share-{n}")[1] for n in range(40)]  # all 40 by one model: once in a million
    assert {record["model"] for record in records} == {"propensity@1", "propensity@2"}
    assert {record["trial"] for record in records} == {1}, "each says in which trial its model was drawn"
    assert models == [client.brain.snapshot.models.for_decision(f"d-{n}")[0].name for n in range(2_000)]


@pytest.mark.promise("trials.drawn")
def test_a_process_that_has_not_taken_the_trial_up_draws_nothing_in_it(client: Client) -> None:
    """A batch that began before the trial keeps its snapshot, and a replica that cannot load the challenger its own."""
    brain, current = client.brain, client.brain.snapshot
    brain.snapshot = replace(current, models=Models(current.models.champion))
    _, record = decided(client, "r-before-the-trial")
    brain.snapshot = current
    assert (record["model"], "trial" in record) == ("propensity@1", False)


@pytest.mark.promise("trials.shadow-and-share")
def test_ending_it_takes_effect_without_a_restart(client: Client) -> None:
    trial(client, None)
    assert client.brain.snapshot.models.trial is None
    answer, record = decided(client, "r-ended")
    assert answer["model"] == "propensity@1"
    assert "shadow" not in record
    assert REFRESH_MODEL_S <= 2


def opt_outs(client: Client, count_wanted: int) -> None:
    """Withdraw consent after this many offers of the challenger and none of the champion, each by another customer."""
    for number in count():
        customer = f"c-harm-{number}"
        welcome(client, customer)
        answer = client("POST", "/v1/decisions", ask(f"r-harm-{number}", customer))[1]
        if answer["model"] == "propensity@2":
            assert client("POST", "/v1/consents", [consent(customer, "marketing", "withdrawn")])[0] == 200
            count_wanted -= 1
            if not count_wanted:
                return


def watched(client: Client) -> Learning:
    """Return the supervisor's `Learning` for a `brain.yaml` without a schedule, after its first look."""
    client.brain.workspace.run.mkdir(exist_ok=True)
    learning = Learning(client.brain.workspace, {processes.RUN_ID: "test-guard"}, lambda: 0.0)
    learning.start_due()
    return learning


@pytest.mark.promise("trials.guard-does-nothing-else")
def test_without_a_trial_no_process_is_started(client: Client) -> None:
    trial(client, None)
    learning = watched(client)
    assert (learning.guard.running, learning.retrain.running) == (None, None)


@pytest.mark.promise("trials.harm-ends-them")
def test_a_trial_that_was_begun_by_hand_is_looked_at_without_a_schedule(client: Client) -> None:
    trial(client, 0.5)
    learning = watched(client)
    assert learning.retrain.running is None
    running = learning.guard.running
    assert running is not None
    assert running.args[3:7] == ["brain", "trial", "--guard", "--json"]
    assert os.getpriority(os.PRIO_PROCESS, running.pid) == 15
    assert processes.kill_all("test-guard") == []
    running.wait(5)


@pytest.mark.promise("trials.late-harm")
def test_a_champion_whose_trial_may_still_show_harm_is_looked_at_too(client: Client) -> None:
    trial(client, None)
    registry = Registry(client.brain.workspace.data)
    watch = {"trial": {"version": 1, "share": 0.5, "since_us": 1, "salt": "s"}, "before": 2}
    for until_us, looked_at in ((10**18, True), (1, False)):
        registry.write_note("propensity", 1, "watched", json.dumps({**watch, "until_us": until_us}))
        assert (Learning(client.brain.workspace, {}, lambda: 0.0).guard.is_wanted()) is looked_at


@pytest.mark.promise("trials.harm-ends-them")
def test_harm_ends_a_trial_and_running_replicas_take_it_up(client: Client) -> None:
    trial(client, 0.5)
    opt_outs(client, 20)
    result = CliRunner().invoke(
        brain.main, ["trial", "--guard", "--json", "--workspace", str(client.brain.workspace.root)]
    )
    assert json.loads(result.stdout)["why"] == "breached: opt-outs"
    client.brain.refresh_model()
    assert client.brain.snapshot.models.trial is None
    assert {decided(client, f"r-after-{n}")[0]["model"] for n in range(8)} == {"propensity@1"}


@pytest.mark.promise("trials.shadow-and-share")
def test_the_command_promotes_nothing_where_groups_fare_too_differently(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial(client, 0.5)
    breached = Guard("fairness.grow.selected.sex=f", 0.5, 0.4, 0.6, 1.25, "breached")
    monkeypatch.setattr("training.learning.promotion.standing_guards", lambda *_: [breached])
    workspace = client.brain.workspace
    result = CliRunner().invoke(brain.main, ["promote", "2", "--workspace", str(workspace.root)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "groups fare too differently (fairness.grow.selected.sex=f 0.50;" in result.stderr
    lineup = Registry(workspace.data).lineup("propensity")
    assert (lineup.champion, lineup.trial is not None) == (1, True)


@pytest.mark.promise("releases.lost-inputs")
@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ("tenure_months, dtype: float", "years_with_us, dtype: float", "`tenure_months`"),
        ("values: [monthly, yearly, none]", "values: [monthly, yearly, none, weekly]", None),
        ("source: context, values: [home, paid-tv, help, contract]", None, "`page=contract`"),
    ],
)
def test_a_release_that_drops_what_the_champion_reads_names_the_model_and_what_it_will_see(
    client: Client, before: str, after: str | None, name: str | None
) -> None:
    trial(client, 0.5)
    file = client.brain.workspace.root / "catalogue" / "features.yaml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, before.replace(", contract]", "]") if after is None else after))
    try:
        result = CliRunner().invoke(brain.main, ["check", "--json", "--workspace", str(client.brain.workspace.root)])
    finally:
        file.write_text(text)
    assert result.exit_code == 0, result.output
    advice = json.loads(result.stdout).get("advice", [])
    if name is None:
        assert advice == []
        return
    assert [line.partition(" reads ")[0] for line in advice] == ["propensity@1", "propensity@2"]
    assert all(f"{name}, which this release does not have: it will see an unknown value" in line for line in advice)


def test_every_decision_of_a_trial_recomputes(client: Client) -> None:
    result = verify(client.brain.workspace, None)
    assert result["different"] == []
    assert result["recomputed"] >= 14


def test_before_the_first_champion_a_challenger_can_be_tried(client: Client) -> None:
    assert _first == {"prior@0", "propensity@1"}
