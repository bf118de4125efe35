"""Which model a decision is made with while a challenger is tried beside the champion."""

from dataclasses import dataclass

from decisioning.deciding.arbitration import hashed_uniform
from decisioning.facts.forms import Scorer, Shadow
from training.registry import Trial


@dataclass(frozen=True)
class Model:
    """A model as decisions name it, over one release's candidates."""

    name: str
    score: Scorer


@dataclass(frozen=True)
class Models:
    """The champion, and the challenger with its trial where there is one."""

    champion: Model
    challenger: Model | None = None
    trial: Trial | None = None

    def of(self, decision_id: str) -> tuple[Model, Shadow | None]:
        """Who makes this decision, and who is asked beside it: the challenger while it is in shadow.

        Drawn per decision: whatever else changes over time, both models meet the same customers.
        """
        if self.challenger is None or self.trial is None:
            return self.champion, None
        if self.trial.share == 0.0:
            return self.champion, Shadow(self.challenger.name, self.challenger.score)
        own = hashed_uniform(self.trial.salt, decision_id) < self.trial.share
        return (self.challenger if own else self.champion), None
