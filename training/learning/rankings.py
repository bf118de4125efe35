"""`brain evaluate`'s second part: ranking by uplift beside ranking by propensity, and what the last one found."""

import json
from pathlib import Path

from decisioning.errors import Refused
from decisioning.times import iso
from features.decisions.parsing import NOTHING
from features.files import replace_file
from training.evaluation.policies import Question
from training.evaluation.ranking import evaluate_rankings
from training.fitting.propensity import Recipe
from training.fitting.uplift import Contrasts
from training.reporting.reporting import Result

FOUND = "rankings.json"
"""In the workspace's data: the last comparison, for `brain report`."""
_SHARE = 0.7


def compare_rankings(workspace_data: Path, data: Contrasts, question: Question, recipe: Recipe, now_us: int) -> Result:
    """Both rankings by a model of 70% of the customers, judged on the others; or why the log cannot tell.

    The reward is all that a customer did, offered or not, so that what comes by itself counts for doing nothing.
    """
    learn, held_out = data.split(_SHARE, recipe.seed)
    try:
        if not data.usable.any() or learn.own_outcomes.label.all() or not learn.own_outcomes.label.any():
            raise Refused("uplift: no action was both shown and withheld by chance, with outcomes told of either")
        found = evaluate_rankings(learn, held_out, question, recipe, NOTHING)
    except Refused as refused:
        found = {"rankings": [], "uplift_gains": False, "uplift_why": str(refused), "uplift": []}
    told = {"evaluated_at": iso(now_us), "reward": question.reward, "choices": len(held_out), **found}
    replace_file(workspace_data / FOUND, lambda half: half.write_text(json.dumps(told)))
    return found


def last_rankings(workspace_data: Path) -> Result:
    """What the last comparison found; empty where there was none."""
    path = workspace_data / FOUND
    return dict(json.loads(path.read_text())) if path.exists() else {}
