"""A frozen action is scored with the same bits as before, however often the others are trained again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from tests.examples import examples
from tests.training.logs import random_log
from training.fitting.frozen import (
    check_frozen,
    frozen_actions,
    frozen_summary,
    single_action_model,
    with_frozen,
    with_frozen_actions,
)
from training.fitting.propensity import Recipe, fit
from training.fitting.trees import Growth
from training.model.calibration import Calibration
from training.model.frame import ModelTerms, TrainingSet
from training.model.model import PropensityModel

QUICK = Recipe(growth=Growth(max_trees=40, folds=2), forget=False)
BASE = Recipe(growth=None)
THEN_US, NOW_US = 1_770_000_000_000_000, 1_780_000_000_000_000
SHORT = ("web", "email")
columns = hnp.arrays(np.float64, (5, 6), elements=st.floats(-8, 8) | st.just(np.nan))
ACTION = "issue: service, group: g0, tier: service, value: 1, purposes: [service]"


def freezing(*actions: str) -> Release:
    actions_text = [
        f"{{id: a{i}, {ACTION}{f', frozen: audit of a{i}' if f'a{i}' in actions else ''}}}" for i in range(4)
    ]
    text = f'purposes: [{{id: service, notice_version: "1"}}]\nactions: [{", ".join(actions_text)}]'
    return Release.from_bytes(pack({"all.yaml": text}))


def log(n: int, seed: int) -> TrainingSet:
    return replace(random_log(n, seed=seed), treatments=(SHORT,) * 4)


def reordered(data: TrainingSet) -> TrainingSet:
    """Return the rows with a new feature in front, the others in reverse order, and other treatments."""
    x = np.column_stack([np.arange(len(data)) % 7, data.x[:, ::-1]])
    return replace(data, x=x, feature_names=("new", *data.feature_names[::-1]), treatments=(("sms",),) * 4)


@pytest.fixture(scope="module")
def champion() -> PropensityModel:
    """A model with trees and a calibration in the actions that will be frozen."""
    model = fit(log(5_000, 1), QUICK)
    assert model.forests[0]
    assert model.forests[1]
    curved = Calibration("spline", (-0.1, 0.9, 0.05, -0.02), (-3.0, -1.5, -0.5, 1.0))
    return replace(model, calibrations=(curved, *model.calibrations[1:]))


@pytest.fixture(scope="module")
def retrained(champion: PropensityModel) -> PropensityModel:
    """The champion trained again twice on other rows and features, and saved and loaded; two actions are frozen."""
    release, model = freezing("a0", "a1"), champion
    for seed, now_us in ((2, THEN_US), (3, NOW_US)):
        frozen = frozen_actions(release, model, now_us)
        fitted = with_frozen(fit(with_frozen_actions(reordered(log(1_500, seed)), frozen), BASE), frozen)
        model = PropensityModel.from_files(fitted.files())
    return model


@pytest.mark.promise("learning.frozen")
@given(
    x=columns,
    candidates=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["web", "email", "sms"])), min_size=1, max_size=5),
)
@settings(max_examples=examples(25), deadline=None)
def test_what_is_frozen_is_scored_as_before_to_the_bit(champion, retrained, x, candidates):
    wide = np.column_stack([np.full(5, 3.0), x[:, ::-1]])
    actions = np.array([a for a, _ in candidates])
    codes = np.array([retrained.treatment_code(a, t) for a, t in candidates])
    old_codes = np.array([champion.treatment_code(a, t) for a, t in candidates])
    frozen = actions < 2
    for n in range(5):
        new, old = retrained.score(wide[n], actions, codes), champion.score(x[n], actions, old_codes)
        np.testing.assert_array_equal(new[0][frozen], old[0][frozen])
        assert [new[2][i] for i in np.flatnonzero(frozen)] == [old[2][i] for i in np.flatnonzero(frozen)]
        upper = retrained.upper_limits(wide[n], actions, new[0])
        np.testing.assert_array_equal(upper[frozen], champion.upper_limits(x[n], actions, old[0])[frozen])
        for i, a in enumerate(actions.tolist()):
            assert retrained.propensities(wide[n : n + 1], a, codes[i])[0] == new[0][i]
    for a in (0, 1):
        np.testing.assert_array_equal(retrained.propensities(wide, a, 1), champion.propensities(x, a, 1))
        np.testing.assert_array_equal(retrained.logit_deviation(wide, a), champion.logit_deviation(x, a))
        assert retrained.contributions(wide[0], a, 1) == champion.contributions(x[0], a, 1)


def test_the_model_says_what_is_frozen_since_when_and_from_which_model(champion, retrained):
    since = "2026-02-02T02:40:00Z"
    expected = [
        {"action": f"a{i}", "since": since, "from": champion.content_hash, "reason": f"audit of a{i}"} for i in (0, 1)
    ]
    assert [{**row, "since": row["since"].replace("+00:00", "Z")} for row in frozen_summary(retrained)] == expected
    assert frozen_summary(champion) == []
    assert retrained.transparency[:4].tolist() == [3, 3, 4, 4]
    np.testing.assert_array_equal(retrained.evidence[:2], champion.evidence[:2])
    assert retrained.scoring_model(1)[0].actions == ("a1",)
    assert retrained.scoring_model(2) == (retrained, 2)


def test_a_sealed_model_with_frozen_actions_is_the_same_to_the_bit(retrained, tmp_path: Path):
    content = retrained.save(tmp_path)
    again = PropensityModel.load(tmp_path, content)
    assert again.files() == retrained.files()
    tree = next((tmp_path / "frozen" / "0" / "trees").iterdir())
    tree.write_text(tree.read_text().replace("leaf_value=", "leaf_value=1", 1))
    with pytest.raises(Refused, match="sealed"):
        PropensityModel.load(tmp_path, content)


def test_unfrozen_it_learns_again(champion, retrained):
    frozen = frozen_actions(freezing("a1"), retrained, NOW_US)
    fitted = with_frozen(fit(with_frozen_actions(reordered(log(1_500, 5)), frozen), BASE), frozen)
    x = reordered(log(50, 6)).x
    assert not np.array_equal(fitted.propensities(x, 0), retrained.propensities(x, 0))
    np.testing.assert_array_equal(fitted.propensities(x, 1), retrained.propensities(x, 1))


def test_an_action_without_rows_stays_frozen(champion):
    frozen = frozen_actions(freezing("a3"), champion, NOW_US)
    data = log(900, 7)
    data = data.take(data.action < 3)
    data = replace(data, actions=data.actions[:3], groups=data.groups[:3], treatments=data.treatments[:3])
    for terms in ((), (ModelTerms(),) * 3):
        fitted = with_frozen(fit(with_frozen_actions(replace(data, terms=terms), frozen), BASE), frozen)
        np.testing.assert_array_equal(fitted.propensities(data.x, 3, 0), champion.propensities(data.x, 3, 0))


def test_what_cannot_be_kept_is_refused(champion):
    with pytest.raises(Refused, match="a0 is frozen, and no champion knows it yet"):
        frozen_actions(freezing("a0"), None, NOW_US)
    with pytest.raises(Refused, match="a0 is frozen, and no champion knows it yet"):
        frozen_actions(freezing("a0"), replace(champion, actions=("b", "a1", "a2", "a3")), NOW_US)
    data = log(100, 1)
    fewer = replace(data, x=data.x[:, :5], feature_names=data.feature_names[:5])
    with pytest.raises(Refused, match="its model reads f5"):
        with_frozen_actions(fewer, frozen_actions(freezing("a0"), champion, NOW_US))


@pytest.mark.promise("learning.frozen-blocks-promotion")
def test_a_model_that_would_change_what_is_frozen_is_not_promoted(champion, retrained):
    check_frozen(retrained, champion, freezing("a0", "a1"), "propensity@2")
    check_frozen(retrained, None, freezing("a0"), "propensity@2")
    with pytest.raises(Refused, match="a2 is frozen, and propensity@2 has another model of it"):
        check_frozen(retrained, champion, freezing("a0", "a2"), "propensity@2")
    assert single_action_model(champion, 1).content_hash == single_action_model(retrained, 1).content_hash
