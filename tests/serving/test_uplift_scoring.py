"""A trained model's uplift ranks if the release says so, is recorded and replayed, and is not computed otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Consent, Standing
from decisioning.records.formats import unpack
from decisioning.review.replaying import replay
from features.matrix import FeatureMatrix
from serving.brain.scoring import model_scorer
from tests.training.decided import CATALOGUE, DAY_US, RELEASE, THEN_US
from tests.training.logs import log_of
from training.fitting.propensity import Recipe, fit
from training.model.effects import Effects
from training.model.model import PropensityModel

BY_UPLIFT = Release.from_bytes(pack({"all.yaml": CATALOGUE.replace("settings: {", "settings: {ranking: uplift, ")}))
FACTS = {"age": 40, "hardship": False, "page": "shop"}
EVERYTHING = np.arange(len(RELEASE.candidates))


@pytest.fixture(scope="module")
def model() -> PropensityModel:
    """A model of tea and cake; showing helps tea and harms cake."""
    matrix = FeatureMatrix(RELEASE.schema)
    log = log_of(np.random.default_rng(1).normal(size=(1_500, len(matrix.names))), 1, n_actions=2)
    named = replace(log, feature_names=matrix.names, actions=("tea", "cake"), groups=("drinks", "food"))
    fitted = fit(named, Recipe(growth=None))
    weights = np.full(fitted.weights.shape, np.nan)
    weights[:2] = 0.0
    weights[:2, 0] = 0.5, -0.5
    return replace(fitted, effects=Effects(weights))


def test_uplift_is_asked_for_only_where_it_ranks(model: PropensityModel) -> None:
    plain, ranked = (model_scorer(release, model)(FACTS, EVERYTHING) for release in (RELEASE, BY_UPLIFT))
    assert plain.uplift is None
    assert np.array_equal(plain.propensity, ranked.propensity)
    x = FeatureMatrix(RELEASE.schema).row(FACTS)[None]
    for (action, _), propensity, uplift in zip(RELEASE.candidates, ranked.propensity, ranked.uplift, strict=True):
        assert uplift == model.uplift(x, model.actions.index(action.id), np.array([propensity]))[0]
        assert (uplift > 0.0) == (action.id == "tea")


@pytest.mark.promise("uplift.recorded")
def test_it_decides_and_replays(model: PropensityModel) -> None:
    consents = [Consent(p, "*", "granted", "test", "1", THEN_US - DAY_US, None, 1) for p in ("marketing", "profiling")]
    known = Known(FACTS, Standing("1" * 40, 1, tuple(consents)))
    ask = Ask(request_id="r", customer_id="p", channel="web", placements=(PlacementAsk(name="hero"),))
    shown = set()
    for n in range(40):
        about = {"assigned_model": "propensity@1", "now_us": THEN_US, "decision_id": f"d{n}"}
        decision = decide(ask, known, BY_UPLIFT, model_scorer(BY_UPLIFT, model), DecisionContext(**about))
        assert replay(unpack(decision.to_bytes(), BY_UPLIFT), known, BY_UPLIFT).to_bytes() == decision.to_bytes()
        for offer in decision.answer["placements"][0]["offers"]:
            shown.add(offer["action"])
            assert offer["priority"] == offer["uplift"] * 10.0
            assert offer["propensity"] > offer["uplift"] > 0.0
    assert shown == {"tea"}, "cake is worth less than nothing, whatever chance says"
