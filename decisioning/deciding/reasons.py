"""Why an offer was made: at most four codes with figures, each for a factor that was used; words come later."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isnan

from decisioning.catalogue.view import Weight
from decisioning.deciding.arms import used
from decisioning.deciding.case import Case
from decisioning.deciding.screening import Screened
from decisioning.facts.forms import Scores
from decisioning.facts.schema import Facts
from decisioning.records.kept import Floats, Reason

MAX_REASONS = 4


@dataclass
class Reasoning:
    """Gives the reasons of one decision's offers. `ranking` (n,) is what the scored candidates were ranked by."""

    case: Case
    facts: Facts
    screened: Screened
    scores: Scores
    ranking: Floats
    _decisive: dict[int, frozenset[str]] = field(default_factory=dict)

    def of(self, i: int, row: int, factors: Sequence[str]) -> list[Reason]:
        """Return why candidate `i` of the view, row `row` of the scores, was offered, the most telling first.

        That is what counted in the customer's arm, of the first MAX_REASONS. `factors` are those of its score.
        """
        return used(
            list(islice(self._all(i, row, factors), MAX_REASONS)), self.screened.arm, self.screened.view.actions[i].tier
        )

    def _all(self, i: int, row: int, factors: Sequence[str]) -> Iterator[Reason]:
        """Yield what decided; a factor that was multiplied by zero is left out."""
        worth, uplift = self.screened.worth, self.scores.uplift
        tier, value = self.screened.view.actions[i].tier, worth.value_eur.item(i)
        weight, lever = worth.weight.item(i), worth.lever.item(i)
        euros = self.ranking.item(row) * value - worth.cost_eur.item(i)
        if tier != "commercial":
            yield Reason(f"tier.{tier}")
        if uplift is not None and not isnan(uplift.item(row)):
            yield Reason("uplift", 100.0 * uplift.item(row))
        if value * weight * lever != 0.0:
            yield from self._of_propensity(factors)
        if weight != 1.0 and euros * lever != 0.0:
            names = set().union(*(self._decisive_of(w) for w in worth.applied if w.members[i]))
            yield Reason("context", tuple(sorted(names)))
        if lever != 1.0 and euros * weight != 0.0:
            yield Reason("lever", lever)
        if tier == "commercial":
            yield Reason("value.expected", euros)

    def _of_propensity(self, factors: Sequence[str]) -> Iterator[Reason]:
        """Yield the reasons of a propensity: what moved the score most, or that no model was asked."""
        if not self.screened.profiled:
            yield Reason("propensity.prior")
            return
        for name in factors:
            yield Reason("propensity", name)
        features = self.case.release.schema.features
        for name in factors:
            feature = features.get(name.partition("=")[0])
            if feature and feature.asserted_by:
                yield Reason("asserted", name)

    def _decisive_of(self, weight: Weight) -> frozenset[str]:
        """Return the facts without any one of which the weight would not apply; if none is, all that it reads."""
        if weight.factor == 1.0:
            return frozenset()
        if (known := self._decisive.get(id(weight))) is None:
            needed = frozenset(name for name in weight.rule.reads if not self._applies_without(weight, name))
            known = self._decisive[id(weight)] = needed or weight.rule.reads
        return known

    def _applies_without(self, weight: Weight, name: str) -> bool:
        rest = dict(self.facts)
        rest.pop(name, None)
        return weight.rule.truth(rest, self.case.history) is True
