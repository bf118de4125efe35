"""Terms of the catalogue for an action's model: which action it starts from, and what it must satisfy."""

import re
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
from serving.brain import releasing
from serving.brain.scoring import contributions_of, model_scorer
from serving.settings import Workspace
from tests.examples import examples
from tests.training.logs import random_log
from training.fitting.propensity import Recipe, fit
from training.fitting.terms import with_terms
from training.fitting.trees import Growth
from training.model.frame import ModelTerms, TrainingSet
from training.model.model import PropensityModel

QUICK = Recipe(growth=Growth(max_trees=40, folds=2), forget=False)
SHORT = ("web", "email")
rows = hnp.arrays(np.float64, 6, elements=st.floats(-5, 5) | st.just(np.nan))


def log_with(n: int, own: int, seed: int = 1) -> TrainingSet:
    """Return rows of four actions, with `own` rows of the last, whose truth differs from that of the first."""
    log = replace(random_log(n, seed=seed), treatments=(SHORT,) * 4)
    last = np.flatnonzero(log.action == 3)
    return log.take(np.setdiff1d(np.arange(n), last[own:]))


def heir(log: TrainingSet, **terms: object) -> TrainingSet:
    """Return the rows with the last action superseding the first."""
    return replace(log, terms=(ModelTerms(), ModelTerms(), ModelTerms(), ModelTerms(supersedes="a0", **terms)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> PropensityModel:
    log = replace(log_with(9_000, 0), treatments=(SHORT, SHORT, SHORT, ()))
    fitted = fit(heir(log), QUICK)
    assert fitted.forests[0], "the data was made so that trees help"
    return PropensityModel.from_files(fitted.files())


@pytest.mark.promise("learning.supersedes")
@given(row=rows)
@settings(max_examples=examples(50), deadline=None)
def test_what_supersedes_an_action_is_that_action_until_it_has_rows(model, row):
    for treatment in (*SHORT, "unheard-of"):
        codes = np.array([model.treatment_code(a, treatment) for a in (3, 0)])
        new, old = model.score(row, np.array([3, 0]), codes)[0]
        assert new == old
        assert model.propensities(row[None], 3, codes[0])[0] == old


@pytest.mark.promise("learning.supersedes")
def test_what_was_inherited_is_told_apart_from_its_own_evidence(model):
    assert model.evidence[3] == 0.0
    assert model.inherited_evidence[3] == model.evidence[0] > 2_000
    assert model.evidence_of("a3", 3) == (0.0, model.evidence[0])
    assert model.evidence_of("newer", model.resolve("newer", "g0", ("newest", "a3"))) == (0.0, model.evidence[0])
    assert model.evidence_of("newer", model.resolve("newer", "g0")) == (0.0, 0.0)


def loss(model: PropensityModel, log: TrainingSet, action: int) -> float:
    rows = log.take(log.action == action)
    p = model.propensities(rows.x, action)
    return float(-np.log(np.where(rows.label, p, 1.0 - p)).mean())


def test_own_rows_take_over_from_what_was_inherited():
    """The truth differs from the superseded action's: with many own rows the fit is as if it superseded nothing."""
    fresh = random_log(12_000, seed=2)
    few, many = (heir(log_with(8_000, own)) for own in (60, 2_000))
    inherited, learnt, alone = fit(few, QUICK), fit(many, QUICK), fit(replace(many, terms=()), QUICK)
    assert loss(learnt, fresh, 3) < min(loss(alone, fresh, 3) + 0.01, loss(inherited, fresh, 3) - 0.005)


def test_a_new_version_of_the_same_is_known_from_few_rows():
    """Rows of the first action under the name of the last: the inherited trees and weights are right for them."""
    log, fresh = log_with(8_000, 0), random_log(6_000, seed=2)
    few = np.flatnonzero(log.action == 0)[:60]
    log = replace(log, action=np.where(np.isin(np.arange(len(log)), few), 3, log.action))
    heirs, alone = fit(heir(log), QUICK), fit(log, QUICK)
    fresh = replace(fresh, action=np.where(fresh.action == 0, 3, 1))
    assert heirs.evidence[3] == 60.0
    assert heirs.forests[3] is not None
    assert heirs.forests[3].text == heirs.forests[0].text
    assert loss(heirs, fresh, 3) < loss(alone, fresh, 3) - 0.02
    assert loss(heirs, fresh, 3) < loss(heirs, replace(fresh, action=np.where(fresh.action == 3, 0, 1)), 0) + 0.02


def test_terms_that_ask_nothing_change_nothing():
    log = random_log(3_000, seed=3)
    plain, with_empty_terms = fit(log, QUICK), fit(replace(log, terms=(ModelTerms(),) * 4), QUICK)
    assert {**plain.files(), "model.json": b""} == {**with_empty_terms.files(), "model.json": b""}
    assert log.digest() != replace(log, terms=(ModelTerms(),) * 4).digest()


def test_inheritance_goes_down_a_chain_and_never_round():
    log = replace(log_with(4_000, 0), treatments=(SHORT, SHORT, (), ()))
    log = log.take(log.action != 2)
    chain = fit(replace(log, terms=(ModelTerms(), ModelTerms(), ModelTerms("a3"), ModelTerms("a0"))), QUICK)
    x = random_log(50, seed=4).x
    np.testing.assert_array_equal(chain.propensities(x, 2, 1), chain.propensities(x, 0, 1))
    assert chain.inherited_evidence[2] == chain.evidence[0]
    for wrong in (ModelTerms("a3"), ModelTerms("nowhere")):
        with pytest.raises(Refused, match="circle"):
            fit(replace(log, terms=(ModelTerms(), ModelTerms(), wrong, ModelTerms("a2"))), QUICK)
    with pytest.raises(Refused, match="every action needs some"):
        replace(log, terms=(ModelTerms(),))


ACTION = "issue: service, group: g0, tier: service, value: 1, purposes: [service]"
TREATMENTS = "treatments: [{id: web, channel: web, placements: [hero], content_ref: x}]"
CATALOGUE = f"""
features: [{", ".join(f"{{name: f{j}, dtype: float}}" for j in range(6))}]
purposes: [{{id: service, notice_version: "1"}}]
bases: [{{id: contract, purpose: service, basis: contract, channels: [web], text: x}}]
channels: [{{id: web, direction: inbound, placements: [hero]}}]
settings: {{transparency: {{service: 3}}, monotone: {{service: {{f0: up, f1: up}}}}}}
actions:
  - {{id: a1, {ACTION}, {TREATMENTS}}}
  - {{id: newer, {ACTION}, supersedes: gone, monotone: {{f1: down}}, outcomes: {{positive: [bought]}}, {TREATMENTS}}}
  - {{id: newest, {ACTION}, supersedes: newer, {TREATMENTS}}}
  - {{id: lonely, {ACTION}, supersedes: never-was, {TREATMENTS}}}
"""


def release() -> Release:
    return Release.from_bytes(pack({"all.yaml": CATALOGUE}))


def test_a_release_says_what_counts_for_what_is_gone_and_who_stands_in():
    declared = release()
    assert declared.superseded("newest") == ("newer", "gone")
    assert declared.superseded("a1") == declared.superseded("unheard-of") == ()
    assert set(declared.with_superseded) - set(declared.actions) == {"gone", "never-was"}
    assert declared.with_superseded["gone"].outcomes.positive == ("bought",)


def test_rows_learn_what_the_release_asks_and_who_is_new():
    log = replace(random_log(200), actions=("gone", "a1", "none", "newest"))
    data = with_terms(log, release())
    assert data.actions == ("gone", "a1", "none", "newest", "newer")
    assert [t.supersedes for t in data.terms] == ["", "", "", "newer", "gone"]
    assert [t.floor for t in data.terms] == [1, 3, 1, 3, 3]
    assert data.terms[4].monotone == (("f0", 1), ("f1", -1))
    assert data.terms[1].monotone == (("f0", 1), ("f1", 1))
    plain = re.sub(r"settings: .*|supersedes: [^,]*, |monotone: {[^}]*}, ", "", CATALOGUE)
    assert with_terms(log, Release.from_bytes(pack({"all.yaml": plain}))).digest() == log.digest()


def test_an_action_released_after_the_last_training_is_scored_as_what_it_supersedes():
    declared, log = release(), replace(random_log(600), actions=("gone", "a1", "b", "c"), treatments=(SHORT,) * 4)
    model = fit(log, Recipe(growth=None))
    names = [action.id for action, _ in declared.candidates]
    facts = {f"f{j}": float(j) for j in range(6)}
    scores = model_scorer(declared, model)(facts, np.arange(len(names)))
    old = model.propensities(np.arange(6.0)[None], 0, 0)[0]
    by_action = dict(zip(names, zip(scores.propensity.tolist(), scores.evidence.tolist(), strict=True), strict=True))
    assert by_action["newest"] == by_action["newer"] == (old, 0.0)
    assert by_action["lonely"][0] != old
    assert by_action["a1"][1] > 0.0
    contributions = contributions_of(declared, model, facts)
    assert contributions(names.index("newer"))["inherited_evidence"] == model.evidence[0]
    assert "inherited_evidence" not in contributions(names.index("a1"))


def test_a_check_names_what_is_superseded_and_in_no_file(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    releasing.new(root)
    workspace = Workspace.open(root)
    assert "superseded_and_gone" not in releasing.check(workspace)
    actions = next(p for p in (root / "catalogue").rglob("*.yaml") if "id: upgrade" in p.read_text())
    actions.write_text(actions.read_text().replace("- id: upgrade\n", "- id: upgrade\n    supersedes: upgrade-2025\n"))
    assert releasing.check(workspace)["superseded_and_gone"] == ["upgrade-2025"]
