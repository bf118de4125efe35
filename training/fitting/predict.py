"""A model's propensities for the rows of a log."""

import numpy as np

from training.model.frame import Floats, TrainingSet
from training.model.model import PropensityModel


def propensities(model: PropensityModel, data: TrainingSet) -> Floats:
    """Return the propensity (n,) of each row's own action and treatment."""
    result = np.empty(len(data))
    for a, (action, group) in enumerate(zip(data.actions, data.groups, strict=True)):
        index = model.resolve(action, group)
        for t in np.unique(data.treatment[data.action == a]).tolist():
            rows = (data.action == a) & (data.treatment == t)
            named = 0 <= t < len(data.treatments[a])
            code = model.treatment_code(index, data.treatments[a][t]) if named else -1
            result[rows] = model.propensities(data.x[rows], index, code)
    return result
