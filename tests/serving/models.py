"""Small models for a served workspace."""

import numpy as np

from decisioning.catalogue.release import Release
from features.matrix import FeatureMatrix
from serving.settings import Workspace
from training.fitting.propensity import Recipe, fit
from training.model.frame import TrainingSet
from training.registry import Registry
from training.tracking import Provenance


def register(workspace: Workspace, release: Release, seed: int, rate: float) -> int:
    """Register a small model of the release's actions, fitted on random rows; return its version."""
    rng, n = np.random.default_rng(seed), 600
    names = FeatureMatrix(release.schema).names
    actions = tuple(release.actions)
    data = TrainingSet(
        x=rng.normal(size=(n, len(names))),
        feature_names=names,
        actions=actions,
        groups=tuple(a.group for a in release.actions.values()),
        treatments=tuple(tuple(t.id for t in a.treatments) for a in release.actions.values()),
        action=rng.integers(0, len(actions), n),
        treatment=np.full(n, -1, dtype=np.int64),
        label=rng.random(n) < rate,
        probability=np.full(n, 0.5),
        value_eur=np.zeros(n),
        at_us=np.zeros(n, dtype=np.int64),
    )
    files = fit(data, Recipe(growth=None)).files()
    return Registry(workspace.data).register(files, "propensity", Provenance("sha256:0", names, release.hash))
