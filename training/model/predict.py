"""What a model says of the rows of a log."""

import numpy as np

from training.model.frame import Floats, TrainingSet
from training.model.model import PropensityModel


def propensities(model: PropensityModel, data: TrainingSet) -> Floats:
    """Of what was done in each row, treatment included, (n,)."""
    found = np.empty(len(data))
    for a, (action, group) in enumerate(zip(data.actions, data.groups, strict=True)):
        index = model.resolve(action, group)
        for t in np.unique(data.treatment[data.action == a]).tolist():
            rows = (data.action == a) & (data.treatment == t)
            named = data.treatments[a][t : t + 1] if t >= 0 else ()
            code = model.treatment_code(index, named[0]) if named else -1
            found[rows] = model.propensities(data.x[rows], index, code)
    return found
