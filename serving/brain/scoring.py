"""From facts to propensities: a trained model over a release's candidates, or the priors of its catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action
from decisioning.catalogue.release import Release
from decisioning.facts.forms import PRIOR_MODEL, Scorer, Scores
from decisioning.facts.schema import Facts
from features.matrix import FeatureMatrix
from serving.brain.trials import Model
from training.registry import PROPENSITY, Registry, propensity_name

if TYPE_CHECKING:  # LightGBM takes seconds to import, and priors do without
    from training.model.model import PropensityModel


def load_model(registry: Registry, release: Release, version: int | None) -> Model:
    """Return a version of the propensity model over the release's candidates, or the catalogue's priors for None.

    Raises NotFound or Refused if the version's sealed copy is missing or is not what was registered.
    """
    if version is None:
        return Model(propensity_name(None), prior_scorer(release))
    return Model(propensity_name(version), model_scorer(release, registry.load(PROPENSITY, version)))


def version_of(name: str) -> int | None:
    """Return the version that a name such as `propensity@7` gives, or None for the catalogue's priors."""
    return None if name == PRIOR_MODEL else int(name.rpartition("@")[2])


def prior_scorer(release: Release) -> Scorer:
    """Return a scorer of catalogue priors: no evidence, and fully transparent."""
    prior = np.asarray([release.catalogue.prior(action) for action, _ in release.candidates], dtype=np.float64)

    def score(_: Facts, candidates: NDArray[np.int64]) -> Scores:
        n = len(candidates)
        return Scores(prior[candidates], np.zeros(n), ((),) * n, np.full(n, 5, dtype=np.int8))

    return score


def model_scorer(release: Release, model: PropensityModel) -> Scorer:
    """Return a scorer of the model over the release's candidates.

    An action that the model has never seen is scored as the action it supersedes, else as its group, else as all
    actions, and has no evidence of its own.
    """
    actions = np.asarray([_index(release, model, a) for a, _ in release.candidates], dtype=np.int64)
    evidence = np.asarray(
        [model.evidence_of(a.id, int(i))[0] for i, (a, _) in zip(actions, release.candidates, strict=True)],
        dtype=np.float64,
    )
    treatments = np.asarray(
        [model.treatment_code(int(i), t.id) for i, (_, t) in zip(actions, release.candidates, strict=True)],
        dtype=np.int64,
    )
    transparency = model.transparency[actions]
    row_of = row_builder(release, model.feature_names)
    by_uplift = release.catalogue.settings.ranking == "uplift"

    def score(facts: Facts, candidates: NDArray[np.int64]) -> Scores:
        row, rows = row_of(facts), actions[candidates]
        inputs = model.design.row(row)
        propensity, _, factors = model.score(row, rows, treatments[candidates], inputs)
        uplift = model.uplifts(row, rows, propensity) if by_uplift else None
        upper = model.upper_limits(row, rows, propensity, inputs)
        return Scores(propensity, evidence[candidates], factors, transparency[candidates], upper, uplift)

    score({}, np.arange(len(actions))[:1])  # prepares what the model prepares on first use, before any request waits
    return score


def contributions_of(release: Release, model: PropensityModel, facts: Facts) -> Callable[[int], dict[str, Any]]:
    """Return a function: candidate index -> what each of this customer's features added to its score, in logits.

    `inherited_evidence`, if not zero: rows of the actions that the candidate's action supersedes, which its own
    evidence does not count.
    """
    row = row_builder(release, model.feature_names)(facts)

    def contributions(candidate: int) -> dict[str, Any]:
        action, treatment = release.candidates[candidate]
        index = _index(release, model, action)
        added = asdict(model.contributions(row, index, model.treatment_code(index, treatment.id)))
        inherited = model.evidence_of(action.id, index)[1]
        return {**added, "inherited_evidence": inherited} if inherited else added

    return contributions


def _index(release: Release, model: PropensityModel, action: Action) -> int:
    return model.resolve(action.id, action.group, release.superseded(action.id))


def row_builder(release: Release, names: tuple[str, ...]) -> Callable[[Facts], NDArray[np.float64]]:
    """Return a function: facts -> (len(names),) float64 of the feature matrix; NaN if undeclared in this release."""
    matrix = FeatureMatrix(release.schema)
    if matrix.names == names:
        return matrix.row
    columns = {name: i for i, name in enumerate(matrix.names)}
    index = np.asarray([columns.get(name, -1) for name in names], dtype=np.int64)

    def row(facts: Facts) -> NDArray[np.float64]:
        return np.append(matrix.row(facts), np.nan)[index]

    return row
