"""A file of who left, and of nothing that anybody offered: a risk model with a card, and no propensity."""

from typing import Any

import numpy as np
import pytest

from decisioning.errors import Refused
from features.importing import make_plan, read_mapping
from tests.features.importing_help import NOW_US, ImportWorkspace
from tests.training.learning_help import context_of
from training.fitting.propensity import Recipe
from training.fitting.scoring import current_scores
from training.learning.report import card_of
from training.learning.workflow import train, train_risk
from training.registry import Registry

MAPPING = """
id: leaving
about: Who left.
purposes: [{id: profiling, notice_version: "1"}]
channels: [{id: agent, direction: inbound, placements: [main], human: true}]
scores: [{name: left_risk, outcome: left}]
assertions:
  - {author: A. Jansen, text: We may know who leaves., bases: [{id: choosing, purpose: profiling,
     basis: legitimate-interests, channels: [agent]}]}
files:
  - id: people
    subject: {column: id}
    as_of: 2026-01-01
    features: [{column: months, name: months, dtype: int, because: {use: never}}]
    contact: {action: none, channel: agent, outcomes: [{name: left, column: left, positive: 1, negative: 0}]}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("leaving")
    months = np.random.default_rng(0).integers(0, 60, 300)
    rows = [f"c{n},{m},{int(m < 20)}" for n, m in enumerate(months.tolist())]
    path = folder / "people.csv"
    path.write_text("\n".join(["id,months,left", *rows]) + "\n")
    plan = make_plan(read_mapping("leaving.yaml", MAPPING.encode()), {"people": path}, NOW_US)
    imported: Any = ImportWorkspace(folder / "data", plan)
    imported.registry = Registry(imported.data)
    imported.write(plan)
    return imported


def test_who_left_is_learned_without_any_action(workspace: Any) -> None:
    """The label counts though no action declares it: an earlier version said that no outcome was known."""
    result = train_risk(
        context_of(workspace), outcome="left", feature="left_risk", now_us=NOW_US, recipe=Recipe(growth=None)
    )
    assert (result["rows"], result["scored"]) == (300, 300)
    assert result["auc"] > 0.95
    context, streams = context_of(workspace), [workspace.stream(name) for name in ("c1", "c2", "nobody")]
    scores = current_scores("left_risk", streams, context.ledger, context.release, context.history, NOW_US + 1)
    assert list(scores) == streams[:2]
    assert all(0.0 < score < 1.0 for score in scores.values())
    card = card_of(workspace.registry, name="left-risk")
    assert [part["action"] for part in card["actions"]] == ["left"]
    with pytest.raises(Refused, match="--model left-risk"):
        card_of(workspace.registry)


def test_a_propensity_is_not_learned_from_it(workspace: Any) -> None:
    with pytest.raises(Refused, match="brain train risk --feature left_risk"):
        train(context_of(workspace), now_us=NOW_US)
