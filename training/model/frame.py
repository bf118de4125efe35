"""The rows a model learns from: one per matured decision or imported observation."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.errors import Refused
from decisioning.hashes import content_id

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """What the catalogue asks of an action's model.

    `supersedes`: the action whose past speaks for this one until it has its own, or "". `floor`: how transparent the
    model must be, from 1 (opaque) to 5. `monotone`: features, sorted, with 1 where more of it never makes the outcome
    less likely, and -1 where never more.
    """

    supersedes: str = ""
    floor: int = 1
    monotone: tuple[tuple[str, int], ...] = ()

    @classmethod
    def from_json(cls, about: Mapping[str, Any]) -> "ModelTerms":
        """The inverse of `dataclasses.asdict` after a trip through JSON."""
        return cls(about["supersedes"], about["floor"], tuple((name, sign) for name, sign in about["monotone"]))


NO_TERMS = ModelTerms()


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """n labelled rows over f features and k actions; only rows whose outcome window has closed.

    `groups`, `treatments` and `terms` (empty where nothing is asked) run parallel to `actions`; a treatment's code is
    its position in its action's tuple.
    """

    x: Floats
    """(n, f), NaN where unknown."""
    feature_names: tuple[str, ...]
    actions: tuple[str, ...]
    groups: tuple[str, ...]
    treatments: tuple[tuple[str, ...], ...]
    action: Ints
    """(n,), index into `actions`."""
    treatment: Ints
    """(n,), code within the action, -1 where unknown."""
    label: Bools
    """(n,), whether the positive outcome came."""
    probability: Floats
    """(n,), of the logged choice given what was permitted; NaN where nobody recorded it."""
    value_eur: Floats
    """(n,), what the outcome was worth, 0 where nothing came."""
    at_us: Ints
    """(n,), when it was decided, microseconds UTC."""
    terms: tuple[ModelTerms, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.x)
        columns = (self.action, self.treatment, self.label, self.probability, self.value_eur, self.at_us)
        if self.x.ndim != 2 or self.x.shape[1] != len(self.feature_names) or any(c.shape != (n,) for c in columns):
            raise Refused("training rows: every column needs one entry per row and every feature a name")
        if not len(self.actions) == len(self.groups) == len(self.treatments):
            raise Refused("training rows: every action needs a group and a tuple of treatments")
        if self.terms and len(self.terms) != len(self.actions):
            raise Refused("training rows: where one action has terms, every action needs some")
        if n and not (self.action.min() >= 0 and self.action.max() < len(self.actions)):
            raise Refused("training rows: an action code lies outside the list of actions")

    def __len__(self) -> int:
        return len(self.x)

    def asked(self, action: int) -> ModelTerms:
        """The terms of an action, by position."""
        return self.terms[action] if self.terms else NO_TERMS

    def take(self, rows: Ints | Bools) -> "TrainingSet":
        """The rows given by position or mask, in that order; actions and names stay as they are."""
        parts: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        taken: dict[str, Any] = {name: v[rows] for name, v in parts.items() if isinstance(v, np.ndarray)}
        return replace(self, **taken)

    def split(self, share: float, seed: int) -> tuple["TrainingSet", "TrainingSet"]:
        """Two disjoint random parts, the first with `share` of the rows; both keep the order of time."""
        first = np.zeros(len(self), dtype=np.bool_)
        first[np.random.default_rng(seed).permutation(len(self))[: round(share * len(self))]] = True
        return self.take(first), self.take(~first)

    def digest(self) -> str:
        """`sha256:<hex>` over every name and number, to say which data a model saw."""
        values = (getattr(self, field.name) for field in fields(self) if self.terms or field.name != "terms")
        return content_id(map(_bytes_of, values))


def _bytes_of(value: object) -> bytes:
    return np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
