"""What was measured of the queue and the agents, as facts with an age."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from decisioning.facts.schema import Feature, Value


@dataclass(frozen=True, slots=True)
class Measured:
    """Values by the names of their features, all measured at one time; a name without a value could not be told."""

    values: Mapping[str, Value]
    at_us: int

    def facts(self, features: Sequence[Feature], at_us: int) -> dict[str, Value]:
        """Return the values that are no older than their features state."""
        age_us = at_us - self.at_us
        young = (f.name for f in features if f.max_age_s is not None and age_us <= f.max_age_s * 1_000_000)
        return {name: self.values[name] for name in young if name in self.values}


NOTHING_MEASURED = Measured({}, 0)
