"""Which model makes a decision while a challenger is on trial with the champion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisioning.facts.forms import BlockScorer, Scorer, Scores, Shadow
from decisioning.facts.schema import Facts
from decisioning.hashes import hashed_uniform
from training.registry import Trial


@dataclass(frozen=True)
class Model:
    """A model over one release's candidates; `name` is how decisions name it, such as `propensity@7`.

    `score_rows`: scores many customers as `score` does each of them; None if the model has no quicker way.
    """

    name: str
    score: Scorer
    score_rows: BlockScorer | None = None

    def scores(self, every: Sequence[Facts], candidates: NDArray[np.int64]) -> Sequence[Scores]:
        """Return each customer's scores of the same candidates."""
        if self.score_rows is not None:
            return self.score_rows(every, candidates)
        return [self.score(facts, candidates) for facts in every]


@dataclass(frozen=True)
class Models:
    """The champion, and the challenger with its trial if there is one."""

    champion: Model
    challenger: Model | None = None
    trial: Trial | None = None

    def for_decision(self, decision_id: str) -> tuple[Model, Shadow | None]:
        """Return the model that makes this decision, and the challenger as a shadow if it is only in shadow.

        The draw is made per decision, so that both models meet the same customers, whatever changes over time.
        """
        if self.challenger is None or self.trial is None:
            return self.champion, None
        if self.trial.share == 0.0:
            return self.champion, Shadow(self.challenger.name, self.challenger.score)
        assigned = hashed_uniform(self.trial.salt, decision_id) < self.trial.share
        return (self.challenger if assigned else self.champion), None
