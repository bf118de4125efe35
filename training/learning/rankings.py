"""The second part of `brain evaluate`: ranking by uplift compared with ranking by propensity."""

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
from training.reporting.registration import Result

RANKINGS = "rankings.json"
"""The file in the workspace's data with the last comparison, for `brain report`."""
_SHARE = 0.7


def compare_rankings(workspace_data: Path, data: Contrasts, question: Question, recipe: Recipe, now_us: int) -> Result:
    """Fit a model on 70% of the customers, compare both rankings on the others, and save the result.

    If the log cannot tell, the result says why. The reward is everything that a customer did, offered or not, so that
    what comes by itself counts for doing nothing.
    """
    learn, held_out = data.split(_SHARE, recipe.seed)
    try:
        if not data.usable.any() or learn.own_outcomes.label.all() or not learn.own_outcomes.label.any():
            raise Refused("uplift: no action was both shown and withheld by chance, with outcomes told of either")
        result = evaluate_rankings(learn, held_out, question, recipe, NOTHING)
    except Refused as refused:
        result = {"rankings": [], "uplift_gains": False, "uplift_why": str(refused), "uplift": []}
    result["uplift_said"] = held_out.said
    saved = {"evaluated_at": iso(now_us), "reward": question.reward, "choices": len(held_out), **result}
    replace_file(workspace_data / RANKINGS, lambda half: half.write_text(json.dumps(saved)))
    return result


def last_rankings(workspace_data: Path) -> Result:
    """Return the last comparison as it was saved, or an empty result if there was none."""
    path = workspace_data / RANKINGS
    return dict(json.loads(path.read_text())) if path.exists() else {}
