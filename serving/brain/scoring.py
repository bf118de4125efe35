"""From facts to propensities: the champion over a release's candidates, or the priors of its catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action
from decisioning.catalogue.release import Release
from decisioning.facts.forms import Scorer, Scores
from decisioning.facts.schema import Facts
from features.matrix import FeatureMatrix

if TYPE_CHECKING:  # LightGBM takes seconds to import, and priors do without
    from training.model.model import PropensityModel


def prior_scorer(release: Release) -> Scorer:
    """Every candidate's catalogue prior, with no evidence behind it, and nothing hidden."""
    prior = np.asarray([release.catalogue.prior(action) for action, _ in release.candidates], dtype=np.float64)

    def score(_: Facts, candidates: NDArray[np.int64]) -> Scores:
        n = len(candidates)
        return Scores(prior[candidates], np.zeros(n), ((),) * n, np.full(n, 5, dtype=np.int8))

    return score


def model_scorer(release: Release, model: PropensityModel) -> Scorer:
    """The model over the release's candidates; an action it never saw is scored as what it supersedes, else as its
    group, or as all, and has no evidence of its own."""
    actions = np.asarray([_index(release, model, a) for a, _ in release.candidates], dtype=np.int64)
    evidence = np.asarray(
        [model.behind(a.id, int(i))[0] for i, (a, _) in zip(actions, release.candidates, strict=True)], dtype=np.float64
    )
    treatments = np.asarray(
        [model.treatment_code(int(i), t.id) for i, (_, t) in zip(actions, release.candidates, strict=True)],
        dtype=np.int64,
    )
    transparency = model.transparency[actions]
    row_of = row_builder(release, model.feature_names)
    by_uplift = release.catalogue.settings.ranking == "uplift"

    def score(facts: Facts, candidates: NDArray[np.int64]) -> Scores:
        row, asked = row_of(facts), actions[candidates]
        found, _, factors = model.score(row, asked, treatments[candidates])
        uplift = model.uplifts(row, asked, found) if by_uplift else None
        upper = model.uppers(row, asked, found)
        return Scores(found, evidence[candidates], factors, transparency[candidates], upper, uplift)

    score({}, np.arange(len(actions))[:1])  # what is prepared on first use is not the first customer's to wait for
    return score


def explained(release: Release, model: PropensityModel, facts: Facts) -> Callable[[int], dict[str, Any]]:
    """Candidate index -> what each feature of this customer added to its score, in logits.

    With the rows of what its action supersedes, where there are any: they are not among its evidence.
    """
    row = row_builder(release, model.feature_names)(facts)

    def of(candidate: int) -> dict[str, Any]:
        action, treatment = release.candidates[candidate]
        index = _index(release, model, action)
        added = asdict(model.contributions(row, index, model.treatment_code(index, treatment.id)))
        inherited = model.behind(action.id, index)[1]
        return {**added, "inherited_evidence": inherited} if inherited else added

    return of


def _index(release: Release, model: PropensityModel, action: Action) -> int:
    return model.resolve(action.id, action.group, release.superseded(action.id))


def row_builder(release: Release, names: tuple[str, ...]) -> Callable[[Facts], NDArray[np.float64]]:
    """Facts -> (len(names),) float64 through the one feature matrix; NaN for what this release no longer declares."""
    matrix = FeatureMatrix(release.schema)
    if matrix.names == names:
        return matrix.row
    at = {name: i for i, name in enumerate(matrix.names)}
    index = np.asarray([at.get(name, -1) for name in names], dtype=np.int64)

    def row(facts: Facts) -> NDArray[np.float64]:
        return np.append(matrix.row(facts), np.nan)[index]

    return row
