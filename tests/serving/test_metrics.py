"""What a replica counts: decisions by arm and model, offers by issue, gates and signals, and no customer data."""

import asyncio
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from features.threads import restarts
from serving.brain import metrics as measuring
from serving.brain.metrics import Metrics
from serving.brain.runtime import Brain
from tests.serving.workspaces import Client, ask, offers, small_workspace, welcome
from tests.training.test_exploration_cost import BUDGET, decided


def counted(metrics: Metrics, name: str) -> dict[str, float]:
    """Return the totals by label value."""
    from prometheus_client import generate_latest

    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    samples = [s for f in families for s in f.samples if s.name == f"{name}_total"]
    return {"/".join(s.labels.values()): s.value for s in samples}


@pytest.mark.promise("serving.reports-name-nobody")
def test_what_was_decided_withheld_and_told_is_counted(tmp_path: Path) -> None:
    brain = Brain(small_workspace(tmp_path / "ws"))
    client, metrics = Client(brain), brain.metrics
    welcome(client, "c-secret")
    answers = [
        client("POST", "/v1/decisions", ask(f"r-{n}", c, account_id="a-1"))[1]
        for n, c in enumerate(("c-secret", "c-x"))
    ]
    outcome = {"outcome_id": "o-1", "offer_id": offers(answers[0])[0]["offer_id"], "outcome": "seen"}
    assert client("POST", "/v1/outcomes", [outcome, outcome])[0] == 200
    assert counted(metrics, "brain_decisions") == {"nba/prior@0": 2.0}
    shown = [o["issue"] for a in answers for o in offers(a)]
    empty = [p["empty_reason"] for a in answers for p in a["placements"] if p["empty_reason"]]
    assert counted(metrics, "brain_offers") == {
        i: float([*shown, *("none" for _ in empty)].count(i)) for i in {*shown, *("none" for _ in empty)}
    }
    assert sum(counted(metrics, "brain_candidates_withheld").values()) == sum(a["withheld"] for a in answers)
    assert counted(metrics, "brain_outcomes") == {"recorded": 1.0, "repeated": 1.0, "refused": 0.0}
    from prometheus_client import generate_latest

    assert b"c-secret" not in generate_latest(metrics.registry)
    brain.close()


def test_counts_are_kept_in_memory_and_not_in_files_somewhere() -> None:
    """Feast makes prometheus_client write them to a temporary folder if it can."""
    from prometheus_client import values

    assert values.ValueClass is values.MutexValue


@pytest.mark.promise("exploration.cost-is-recorded")
def test_what_is_given_to_the_immature_is_counted_by_channel() -> None:
    metrics = Metrics()
    for n in range(6):
        metrics.count_decision(decided(n))
    assert counted(metrics, "brain_immature_share") == {"web": pytest.approx(3 * BUDGET)}


def value(metrics: Metrics, line: str) -> float:
    """Return the value of one line of the metrics."""
    from prometheus_client import generate_latest

    lines = generate_latest(metrics.registry).decode().splitlines()
    return float(next(one.rpartition(" ")[2] for one in lines if one.rpartition(" ")[0] == line))


def test_gaps_of_the_loop_are_measured_without_decisions_and_the_longest_is_kept_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics, now = Metrics(), [100.0]
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: now[0])

    def tick(after_s: float, decisions_s: float = 0.0) -> None:
        now[0] += after_s
        metrics.loop.add_decisions(decisions_s)
        metrics.loop._tick(loop)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(started(metrics))
    for after_s, decisions_s in ((0.01, 0.0), (0.2, 0.0), (0.3, 0.28)):
        tick(after_s, decisions_s)
    assert value(metrics, "brain_loop_gap_seconds_count") == 3
    assert value(metrics, 'brain_loop_gap_seconds_bucket{le="0.05"}') == 2, "the decisions' 0.28 s are no gap"
    assert value(metrics, "brain_loop_longest_gap_seconds") == pytest.approx(0.2)
    tick(61.0, 60.9)
    assert value(metrics, "brain_loop_longest_gap_seconds") == pytest.approx(0.2), "of the minute before"
    tick(61.0, 60.9)
    assert value(metrics, "brain_loop_longest_gap_seconds") == pytest.approx(0.1)
    loop.close()


async def started(metrics: Metrics) -> None:
    metrics.loop.start()


def test_a_loop_that_is_blocked_is_a_gap_that_long() -> None:
    async def block() -> Metrics:
        metrics = Metrics()
        metrics.loop.start()
        await asyncio.sleep(0.02)
        time.sleep(0.06)
        await asyncio.sleep(0.02)
        return metrics

    assert value(asyncio.run(block()), "brain_loop_longest_gap_seconds") >= 0.06


def test_threads_that_were_run_again_are_counted() -> None:
    restarts["a-thread"] += 2
    assert value(Metrics(), 'brain_threads_restarted_total{thread="a-thread"}') == 2
    del restarts["a-thread"]
