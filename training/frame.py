"""The rows a model learns from: one per matured decision or imported observation."""

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.errors import Refused

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """n labelled rows over f features and k actions; only rows whose outcome window has closed.

    `groups` and `treatments` run parallel to `actions`; a treatment's code is its position in its action's tuple.
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

    def __post_init__(self) -> None:
        n = len(self.x)
        columns = (self.action, self.treatment, self.label, self.probability, self.value_eur, self.at_us)
        if self.x.ndim != 2 or self.x.shape[1] != len(self.feature_names) or any(c.shape != (n,) for c in columns):
            raise Refused("training rows: every column needs one entry per row and every feature a name")
        if not len(self.actions) == len(self.groups) == len(self.treatments):
            raise Refused("training rows: every action needs a group and a tuple of treatments")
        if n and not (self.action.min() >= 0 and self.action.max() < len(self.actions)):
            raise Refused("training rows: an action code lies outside the list of actions")

    def __len__(self) -> int:
        return len(self.x)

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
        state = hashlib.sha256()
        for field in fields(self):
            value = getattr(self, field.name)
            array = isinstance(value, np.ndarray)
            state.update(np.ascontiguousarray(value).tobytes() if array else repr(value).encode())
        return f"sha256:{state.hexdigest()}"
