"""What was measured of the queue and the agents, as facts with an age."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from decisioning.facts.schema import Feature, Value


@dataclass(frozen=True, slots=True)
class Measured:
    """Values by the names of their features; a name without a value could not be told.

    `at_us`: when they were measured. `told_us`: of which time those are that another system told, by name.
    """

    values: Mapping[str, Value]
    at_us: int
    told_us: Mapping[str, int] = field(default_factory=dict)

    def facts(self, features: Sequence[Feature], at_us: int) -> dict[str, Value]:
        """Return the values that are no older than their features state."""
        known = (f for f in features if f.name in self.values)
        return {f.name: self.values[f.name] for f in known if self._is_young(f, at_us)}

    def _is_young(self, feature: Feature, at_us: int) -> bool:
        age_us = at_us - self.told_us.get(feature.name, self.at_us)
        return feature.max_age_s is not None and age_us <= feature.max_age_s * 1_000_000


NOTHING_MEASURED = Measured({}, 0)
