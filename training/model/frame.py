"""The rows that a model learns from: one per matured decision or imported observation."""

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
Units = Ints | None
"""Whose each of n rows is: codes (n,), not negative, of customers or accounts; None: no two rows are of the same one.

Rows of one unit are alike, so that folds, errors and minimums count units."""


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """What the catalogue requires of an action's model.

    `supersedes`: the action whose model this one starts from, or "". `floor`: the least transparency of the model, from
    1 (opaque) to 5; above 3 there are no trees. `monotone`: features, sorted, each with 1 if a higher value must never
    make the outcome less likely, or -1 if it must never make it more likely. Weights of the other sign are held at
    zero, trees are constrained, and the calibration never falls.
    """

    supersedes: str = ""
    floor: int = 1
    monotone: tuple[tuple[str, int], ...] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ModelTerms":
        """Return the terms whose `dataclasses.asdict` was stored as this JSON object."""
        monotone = tuple((name, sign) for name, sign in document["monotone"])
        return cls(document["supersedes"], document["floor"], monotone)


NO_TERMS = ModelTerms()


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """n labelled rows over f features and k actions; only rows whose outcome window has closed.

    `groups`, `treatments` and `terms` run parallel to `actions`; `terms` is empty if the catalogue requires nothing. A
    treatment's code is its position in its action's tuple.
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
    """(n,), whether the positive outcome occurred."""
    probability: Floats
    """(n,), of the logged choice given what was permitted; NaN where it was not recorded."""
    value_eur: Floats
    """(n,), value of the outcome, 0 without one."""
    at_us: Ints
    """(n,), time of the decision, microseconds UTC."""
    terms: tuple[ModelTerms, ...] = ()
    unit: Units = None
    """(n,), code of the row's customer or account."""

    def __post_init__(self) -> None:
        n = len(self.x)
        columns = [self.action, self.treatment, self.label, self.probability, self.value_eur, self.at_us]
        columns += [] if self.unit is None else [self.unit]
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

    def terms_of(self, action: int) -> ModelTerms:
        """Return the terms of an action, by its position."""
        return self.terms[action] if self.terms else NO_TERMS

    def take(self, rows: Ints | Bools) -> "TrainingSet":
        """Return the rows at these positions or of this mask, in that order; actions and names stay as they are."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        columns: dict[str, Any] = {name: v[rows] for name, v in values.items() if isinstance(v, np.ndarray)}
        return replace(self, **columns)

    def split(self, share: float, seed: int) -> tuple["TrainingSet", "TrainingSet"]:
        """Return two disjoint random parts, the first with `share` of the customers; both keep the order of the rows.

        No customer is in both.
        """
        first = self.drawn(share, seed)
        return self.take(first), self.take(~first)

    def drawn(self, share: float, seed: int) -> Bools:
        """Return which rows are in the first part of `split`, (n,)."""
        units, of_row = (len(self), slice(None)) if self.unit is None else _codes_without_gaps(self.unit)
        first = np.zeros(units, dtype=np.bool_)
        first[np.random.default_rng(seed).permutation(units)[: round(share * units)]] = True
        return first[of_row]

    @property
    def customers(self) -> int:
        """The number of customers or accounts whose rows these are."""
        return units_with(np.ones(len(self), dtype=np.bool_), self.unit)

    def digest(self) -> str:
        """Return `sha256:<hex>` over every name and number; identifies the data that a model was fitted to."""
        absent = {name for name, none in (("terms", ()), ("unit", None)) if getattr(self, name) is none}
        values = (getattr(self, field.name) for field in fields(self) if field.name not in absent)
        return content_id(map(_bytes_of, values))


def units_with(rows: Bools, unit: Units) -> int:
    """Return how many units have one of the `rows` (n,)."""
    return int(rows.sum()) if unit is None else int(np.count_nonzero(np.bincount(unit[rows])))


def rarer_label(label: Bools, unit: Units) -> int:
    """Return how many units have a row of the rarer label; rows are `label` (n,)."""
    return min(units_with(label, unit), units_with(~label, unit))


def per_unit(column: Floats, unit: Units) -> Floats:
    """Return the sums of a column (n,) per unit; units without rows have 0."""
    return column if unit is None else np.asarray(np.bincount(unit, column), dtype=np.float64)


def mean_error(column: Floats, unit: Units) -> float:
    """Return the standard error of the mean of a column (n,), whose values of one unit may depend on each other."""
    if unit is None:
        return float(column.std() / len(column) ** 0.5)
    return float(np.sum(per_unit(column - column.mean(), unit) ** 2) ** 0.5 / len(column))


def design_effect(deviations: Floats, unit: Units) -> float:
    """Return how many times larger the squared error of a sum is over units than over independent rows, at least 1.

    That many rows are worth as much as an independent one (Kish 1965).

    :param deviations: (n,), of rows from what was expected of them
    """
    alone = float(np.sum(deviations**2))
    return max(1.0, float(np.sum(per_unit(deviations, unit) ** 2)) / alone) if alone > 0.0 else 1.0


def _codes_without_gaps(unit: Ints) -> tuple[int, Ints]:
    """Return the number of units, and each row's code (n,) from 0 on."""
    units, code = np.unique(unit, return_inverse=True)
    return len(units), code


def _bytes_of(value: object) -> bytes:
    return np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
