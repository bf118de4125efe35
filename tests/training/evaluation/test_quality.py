"""The summary of a training run, on rows that did not train it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.logs import random_log
from training.evaluation.quality import draw, logged_propensities, quality
from training.propensity import Recipe, fit


@pytest.fixture(scope="module")
def judged():
    train, held_out = random_log(8_000, seed=1).split(0.6, seed=0)
    model = fit(train, Recipe(growth=None))
    return model, held_out, quality(model, held_out)


def test_a_model_that_learnt_something_has_skill(judged):
    _, held_out, found = judged
    assert found.rows == len(held_out) == sum(a.rows for a in found.actions)
    assert found.auc > 0.7
    assert 0.05 < found.skill < 1
    assert all(a.auc is not None and a.auc > 0.6 for a in found.actions)


def test_each_row_is_judged_by_its_own_action_and_treatment(judged):
    model, held_out, _ = judged
    p = logged_propensities(model, held_out)
    for i in range(30):
        action, treatment = held_out.action[i : i + 1], held_out.treatment[i : i + 1]
        assert p[i] == model.score(held_out.x[i], action, treatment)[0][0]


def test_an_action_with_one_label_has_no_auc(judged):
    model, held_out, _ = judged
    label = held_out.label & (held_out.action != 2)
    found = quality(model, replace(held_out, label=label))
    assert [a.auc is None for a in found.actions] == [False, False, True, False]
    assert np.isfinite(found.skill)


def test_plots_are_images_in_the_folder_asked_for(judged, tmp_path):
    for path in draw(judged[2], tmp_path / "plots"):
        assert path.parent == tmp_path / "plots"
        assert path.read_bytes().startswith(b"\x89PNG")
