"""Which model makes a decision while a challenger is on trial with the champion."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class Assigned(NamedTuple):
    """The model that makes a decision, a second one whose scores are only recorded, and the trial of the draw.

    `trial` is when the trial began, None if the model was not drawn: a process that has not taken the trial up, or no
    longer has it, draws nothing, and its decisions are no evidence of the trial.
    """

    model: Model
    shadow: Shadow | None = None
    trial: int | None = None


@dataclass(frozen=True)
class Models:
    """The champion, and the challenger with its trial if there is one."""

    champion: Model
    challenger: Model | None = None
    trial: Trial | None = None

    def for_decision(self, decision_id: str) -> Assigned:
        """Return the model that makes this decision, and the challenger as a shadow if it is only in shadow.

        The draw is made per decision, so that both models meet the same customers, whatever changes over time.
        """
        if self.challenger is None or self.trial is None:
            return Assigned(self.champion)
        if self.trial.share == 0.0:
            return Assigned(self.champion, Shadow(self.challenger.name, self.challenger.score))
        drawn = hashed_uniform(self.trial.salt, decision_id) < self.trial.share
        return Assigned(self.challenger if drawn else self.champion, trial=self.trial.since_us)
