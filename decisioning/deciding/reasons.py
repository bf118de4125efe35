"""Why an offer was made: at most four codes with figures, each for a factor that was used; words come later."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isnan, log

from decisioning.catalogue.view import Weight
from decisioning.deciding.arms import used
from decisioning.deciding.case import Case
from decisioning.deciding.screening import Screened
from decisioning.facts.forms import PRIOR_MODEL, Scores
from decisioning.facts.schema import Facts
from decisioning.records.kept import Floats, Reason

MAX_REASONS = 4
_LARGEST = 9.9


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
        worth, uplift, directed = self.screened.worth, self.scores.uplift, self.case.release.wording > 1
        tier, value = self.screened.view.actions[i].tier, worth.value_eur.item(i)
        weight, lever = worth.weight.item(i), worth.lever.item(i)
        euros = self.ranking.item(row) * value - worth.cost_eur.item(i)
        if tier != "commercial":
            yield Reason(f"tier.{tier}")
        if uplift is not None and not isnan(uplift.item(row)):
            yield Reason("uplift", 100.0 * uplift.item(row))
        if (gain := value * weight * lever) > 0.0 or (gain != 0.0 and not directed):
            yield from self._of_model(row, factors) if directed else self._of_propensity(factors)
        if weight != 1.0 and euros * lever != 0.0:
            yield from self._of_context(i, euros * lever) if directed else self._of_weights(i)
        if lever != 1.0 and euros * weight != 0.0:
            yield Reason("lever", lever)
        if tier == "commercial":
            yield Reason("value.expected", euros)

    def _of_model(self, row: int, factors: Sequence[str]) -> Iterator[Reason]:
        """Yield the reasons of a propensity by wording 2; of an action without evidence, that it was never tried."""
        if not self.screened.profiled:
            yield Reason("propensity.prior")
        elif self.case.context.assigned_model != PRIOR_MODEL and not self.scores.evidence.item(row):
            yield Reason("propensity.untried")
        else:
            features = self.case.release.schema.features
            named = [name for name in factors if self._nameable(_bare(name))]
            yield from (Reason("propensity", name) for name in named)
            asserted = (_bare(name) for name in named if features[_bare(name)].asserted_by)
            yield from (Reason("asserted", name) for name in asserted)

    def _of_weights(self, i: int) -> Iterator[Reason]:
        """Yield one reason of the weights that applied, with the facts that decided."""
        names = set().union(*(self._decisive_of(w) for w in self.screened.worth.applied if w.members[i]))
        yield Reason("context", tuple(sorted(names)))

    def _of_context(self, i: int, euros: float) -> Iterator[Reason]:
        """Yield per fact that decided the logarithm of the weights that it made apply; without its name if need be.

        What raises the priority is positive: a weight above 1 of more than no `euros`.
        """
        sizes: dict[str, float] = {}
        for weight in self.screened.worth.applied:
            if weight.members[i] and weight.factor != 1.0:
                raised = log(weight.factor) if weight.factor else -_LARGEST
                size = raised if euros > 0.0 else -raised
                for name in self._decisive_of(weight):
                    named = name if self._nameable(name) else ""
                    sizes[named] = sizes.get(named, 0.0) + size
        for name, size in sorted(sizes.items()):
            if (tenths := round(min(max(size, -_LARGEST), _LARGEST), 1)) != 0.0:
                yield Reason("context", (f"{name}{tenths:+.1f}",))

    def _nameable(self, name: str) -> bool:
        """Tell whether a reason may name a feature: not what was done on the account, perhaps by somebody else."""
        known = self.case.known
        feature = self.case.release.schema.features.get(name)
        shared = known.account is not None and known.account.stream in known.signals
        return feature is not None and not (feature.source == "signal" and shared)

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
            known = self._decisive[id(weight)] = needed or weight.rule.reads - self.case.unreadable
        return known

    def _applies_without(self, weight: Weight, name: str) -> bool:
        rest = dict(self.facts)
        rest.pop(name, None)
        return weight.rule.truth(rest, self.case.history) is True


def _bare(signed: str) -> str:
    """Return the feature's name in a factor such as `age+0.4`."""
    return signed.partition("+")[0].partition("-")[0]
