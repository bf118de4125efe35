"""What a replica counts: decisions by arm and model, offers by issue, gates and signals, and no customer data."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

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
