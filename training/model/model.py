"""The trained thing: what it knows of a customer -> propensity of each action's positive outcome. numpy and LightGBM.

For action a with treatment t and customer x: logit = w_a . z(x) + offset_(a,t) + trees_a(x), then a's calibration.
All sums run over the features in one fixed order per row, and `exp` one number at a time: a propensity has the same
bits whoever else is scored beside it, in a row or in a column.
"""

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decisioning.errors import Refused
from training.model.background import in_slices
from training.model.calibration import Calibration
from training.model.design import Design
from training.model.effects import Effects
from training.model.files import hash_files, read_files
from training.model.forest import Forest, Forests
from training.model.frame import Floats, Ints, ModelTerms

FORMAT = 2
FORMAT_FROZEN = 3
"""Of a model that holds frozen actions: who cannot read that must not serve it."""
WITH_TREES, WITHOUT_TREES = 3, 4
"""How transparent a propensity is: shares of trees can be computed, weights of features can be read."""
_ALONE = np.zeros(1, dtype=np.int64)
_MAX_LOGIT = 35.0
_CHUNK = 8_192


@dataclass(frozen=True, slots=True)
class Contributions:
    """How a propensity came about, in logits: `base` (of everybody), `treatment` and `features` add up to `logit`.

    `calibrated` is what calibration makes of that, and the propensity its logistic function.
    """

    base: float
    treatment: float
    features: Mapping[str, float]
    logit: float
    calibrated: float
    propensity: float


@dataclass(frozen=True, eq=False)
class Frozen:
    """An action as it was: `model` holds that action alone, as 0, over the features that were read then.

    `source`: content hash of the model it was taken from; `since_us`: when, in microseconds UTC.
    """

    model: "PropensityModel"
    source: str
    since_us: int
    reason: str


@dataclass(frozen=True, eq=False)
class PropensityModel:
    """Immutable; safe to share between threads.

    `weights`, their `variances` (k + g + 1, width) and `offsets` (k + g + 1, t + 1) hold the k actions, then the g
    groups, then all; the last offset column is zero, so that treatment -1 (unknown) has none. `evidence` (k + g + 1,)
    counts the matured rows behind each action, 0 for the groups and all: an action the model never saw has no evidence.
    `effects`: what showing an action does, where any was ever withheld. `terms`: what the catalogue asked of the k
    actions, empty where nothing. `frozen`: actions, by index, that are scored as an earlier model had them; in the
    arrays their rows are empty.
    """

    feature_names: tuple[str, ...]
    actions: tuple[str, ...]
    groups: tuple[str, ...]
    treatments: tuple[tuple[str, ...], ...]
    design: Design
    weights: Floats
    variances: Floats
    offsets: Floats
    evidence: Floats
    forests: tuple[Forest | None, ...]
    calibrations: tuple[Calibration, ...]
    effects: Effects | None = None
    terms: tuple[ModelTerms, ...] = ()
    frozen: Mapping[int, Frozen] = field(default_factory=dict)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {action: i for i, action in enumerate(self.actions)}

    @cached_property
    def _group_index(self) -> dict[str, int]:
        return {group: len(self.actions) + i for i, group in enumerate(sorted(set(self.groups)))}

    @cached_property
    def _trees(self) -> Forests:
        return Forests(self.forests)

    @cached_property
    def transparency(self) -> NDArray[np.int8]:
        """How well propensities can be followed, (k + g + 1,) as `weights`: from 1 (opaque) to 5 (transparent).

        4: one weight for each feature, added up. 3: trees over several features on top, whose shares can be computed.
        """
        stated = np.asarray([WITHOUT_TREES if forest is None else WITH_TREES for forest in self.forests], dtype=np.int8)
        for at, kept in self.frozen.items():
            stated[at] = kept.model.transparency[0]
        return stated

    @cached_property
    def inherited(self) -> Floats:
        """Rows (k + g + 1,) of what an action supersedes, and of what that superseded: never part of its `evidence`."""
        found = np.zeros(len(self.evidence))
        for a in range(len(self.terms)):
            at = a
            while self.terms[at].supersedes:
                at = self._index[self.terms[at].supersedes]
                found[a] += self.evidence[at]
        return found

    @cached_property
    def _calibrated(self) -> frozenset[int]:
        return frozenset(i for i, c in enumerate(self.calibrations) if c.kind != "identity")

    @cached_property
    def _input_names(self) -> tuple[str, ...]:
        flagged = (self.feature_names[i] for i in self.design.flagged)
        return ("", *self.feature_names, *flagged)

    def resolve(self, action: str, group: str, superseded: Sequence[str] = ()) -> int:
        """The index to score an action by: its own, else that of what it superseded (the nearest first), else its
        group's, else the one of all actions.

        An index of `len(actions)` or more means that the model never saw the action; its evidence is 0.
        """
        found = next((self._index[name] for name in (action, *superseded) if name in self._index), None)
        return found if found is not None else self._group_index.get(group, len(self.weights) - 1)

    def behind(self, action: str, index: int) -> tuple[float, float]:
        """The rows behind an action's score by an `index` of `resolve`: its own, and those of what it supersedes."""
        own, inherited = float(self.evidence[index]), float(self.inherited[index])
        known = action in self._index or index >= len(self.actions)
        return (own, inherited) if known else (0.0, own + inherited)

    def of(self, index: int) -> tuple["PropensityModel", int]:
        """The model whose arrays say how an index is scored, and its index there: another where it is frozen."""
        return (self.frozen[index].model, 0) if index in self.frozen else (self, index)

    @cached_property
    def _columns(self) -> dict[int, Ints]:
        """Of each frozen action, where its features are among today's (f_then,)."""
        then = {i: kept.model.feature_names for i, kept in self.frozen.items()}
        return {i: np.array([self.feature_names.index(n) for n in names], dtype=np.int64) for i, names in then.items()}

    def _as_then(self, row: Floats, actions: Ints) -> Iterator[tuple[int, "PropensityModel", Floats]]:
        """Which candidates are of frozen actions, what scores each, and the features that it reads."""
        for i, action in enumerate(actions.tolist() if self.frozen else ()):
            if action in self.frozen:
                yield i, self.frozen[action].model, row[self._columns[action]]

    def treatment_code(self, action: int, treatment: str) -> int:
        """The code of a treatment id within the action index, -1 where the model never saw it."""
        known = self.treatments[action] if action < len(self.actions) else ()
        return known.index(treatment) if treatment in known else -1

    def score(self, row: Floats, actions: Ints, treatments: Ints) -> tuple[Floats, Floats, tuple[tuple[str, ...], ...]]:
        """One customer (f,), n candidates as indices of `resolve` and codes of `treatment_code`, both (n,).

        Gives propensity (n,), evidence (n,) in rows, and per candidate the names of the features that moved the
        base's logit most from the average customer's, at most two, largest first.
        """
        found, evidence, factors = self._score(row, actions, treatments)
        if not self.frozen:
            return found, evidence, factors
        named = list(factors)
        for i, model, then in self._as_then(row, actions):
            found[i : i + 1], _, (named[i],) = model.score(then, _ALONE, treatments[i : i + 1])
        return found, evidence, tuple(named)

    def _score(
        self, row: Floats, actions: Ints, treatments: Ints
    ) -> tuple[Floats, Floats, tuple[tuple[str, ...], ...]]:
        parts = self.weights[actions] * self.design.row(row)
        logit = np.add.accumulate(parts, axis=1)[:, -1] + self.offsets[actions, treatments]
        asked = actions.tolist()
        logit = logit + self._trees.row(row, actions)
        for i, action in enumerate(asked):
            if action in self._calibrated:
                logit[i] = self.calibrations[action].one(float(logit[i]))
        return _probability(logit), self.evidence[actions], self._factors(parts)

    def contributions(self, row: Floats, action: int, treatment: int) -> Contributions:
        """What each feature of one customer (f,) adds to the logit of `score`, from base and trees; sorted by size."""
        if action in self.frozen:
            return self.frozen[action].model.contributions(row[self._columns[action]], 0, treatment)
        parts = self.weights[action] * self.design.row(row)
        forest = self.forests[action]
        shares = np.zeros(len(row) + 1) if forest is None else forest.shares(row)
        features = dict.fromkeys(self.feature_names, 0.0)
        for name, part in zip((*self._input_names[1:], *self.feature_names), (*parts[1:], *shares[:-1]), strict=True):
            features[name] += float(part)
        base, offset = float(parts[0] + shares[-1]), float(self.offsets[action, treatment])
        logit = math.fsum((base, offset, *features.values()))
        calibrated = self.calibrations[action].one(logit)
        ordered = dict(sorted(((n, v) for n, v in features.items() if v), key=lambda f: (-abs(f[1]), f[0])))
        propensity = float(_probability(np.asarray([calibrated]))[0])
        return Contributions(base, offset, ordered, logit, calibrated, propensity)

    def uppers(self, row: Floats, actions: Ints, propensity: Floats) -> Floats:
        """The upper end (n,) of one standard deviation around the propensities (n,) that `score` gave one customer."""
        parts = self.variances[actions] * self.design.row(row) ** 2
        found = raised(propensity, np.sqrt(np.add.accumulate(parts, axis=1)[:, -1]))
        for i, model, then in self._as_then(row, actions):
            found[i : i + 1] = model.uppers(then, _ALONE, propensity[i : i + 1])
        return found

    def uplifts(self, row: Floats, actions: Ints, propensity: Floats) -> Floats:
        """What showing adds to one customer's propensities of `score` (n,), (n,); NaN where it is not known."""
        found = np.full(len(actions), np.nan)
        if self.effects is not None:
            found = propensity - raised(propensity, -self.effects.row(self.design.row(row), actions))
        for i, model, then in self._as_then(row, actions):
            found[i : i + 1] = model.uplifts(then, _ALONE, propensity[i : i + 1])
        return found

    def uplift(self, x: Floats, action: int, propensity: Floats) -> Floats:
        """As `uplifts`, of one action for customers (n_rows, f) of `propensity` (n_rows,); the same bits."""
        if action in self.frozen:
            return self.frozen[action].model.uplift(x[:, self._columns[action]], 0, propensity)
        if self.effects is None:
            return np.full(len(x), np.nan)
        inputs = self.design.columns(np.ascontiguousarray(x, dtype=np.float64))
        return propensity - raised(propensity, -self.effects.column(inputs, action))

    def spread(self, x: Floats, action: int) -> Floats:
        """How far the logit of one action may be off, (n_rows,): a standard deviation, from the base's weights."""
        if action in self.frozen:
            return self.frozen[action].model.spread(x[:, self._columns[action]], 0)
        parts = self.design.columns(np.ascontiguousarray(x, dtype=np.float64)) ** 2 * self.variances[action][:, None]
        return np.asarray(np.sqrt(np.add.accumulate(parts, axis=0)[-1]), dtype=np.float64)

    def propensities(self, x: Floats, action: int, treatment: int = -1) -> Floats:
        """Propensity (n_rows,) of one action for customers (n_rows, f); the same bits as `score`."""
        if action in self.frozen:
            return self.frozen[action].model.propensities(x[:, self._columns[action]], 0, treatment)
        x = np.ascontiguousarray(x, dtype=np.float64)
        logit = np.empty(len(x))
        for at in range(0, len(x), _CHUNK):
            logit[at : at + _CHUNK] = self._base(x[at : at + _CHUNK], action)
        logit = logit + self.offsets[action, treatment]
        forest = self.forests[action]
        logit = logit + (forest.column(x) if forest and len(x) else 0.0)
        return _probability(self.calibrations[action].column(logit))

    def _base(self, x: Floats, action: int) -> Floats:
        inputs = self.design.columns(x)
        total: Floats = inputs[0] * self.weights[action, 0]
        for j in range(1, len(inputs)):
            total = total + inputs[j] * self.weights[action, j]
        return total

    def _factors(self, parts: Floats) -> tuple[tuple[str, ...], ...]:
        size = np.abs(parts)
        size[:, 0] = 0.0  # the intercept is no feature; where nothing moved, argmax falls back on it
        at = np.arange(len(size))
        first = size.argmax(axis=1)
        size[at, first] = 0.0
        second = size.argmax(axis=1)
        names = self._input_names
        pairs = zip(first.tolist(), second.tolist(), strict=True)
        return tuple((names[i], names[j]) if j else (names[i],) if i else () for i, j in pairs)

    def files(self) -> dict[str, bytes]:
        """Everything the model is, as relative path -> bytes; equal models give equal bytes."""
        about = {
            "format": FORMAT_FROZEN if self.frozen else FORMAT,
            "feature_names": self.feature_names,
            "actions": self.actions,
            "groups": self.groups,
            "treatments": self.treatments,
            "calibrations": [asdict(c) for c in self.calibrations],
            **({"terms": [asdict(t) for t in self.terms]} if self.terms else {}),
            **(
                {"frozen": {i: (k.source, k.since_us, k.reason) for i, k in self.frozen.items()}} if self.frozen else {}
            ),
        }
        arrays = io.BytesIO()
        np.savez(
            arrays,
            mean=self.design.mean,
            inverse_scale=self.design.inverse_scale,
            flagged=self.design.flagged,
            weights=self.weights,
            variances=self.variances,
            offsets=self.offsets,
            evidence=self.evidence,
        )
        trees = {f"trees/{i}.txt": f.text.encode() for i, f in enumerate(self.forests) if f}
        return {
            "model.json": json.dumps(about, sort_keys=True, ensure_ascii=False).encode(),
            "arrays.npz": arrays.getvalue(),
            **trees,
            **{
                f"frozen/{i}/{name}": data
                for i, kept in self.frozen.items()
                for name, data in kept.model.files().items()
            },
            **({} if self.effects is None else {"effects.npz": self.effects.to_bytes()}),
        }

    @cached_property
    def content_hash(self) -> str:
        """sha256 (hex) over names and bytes of `files()`."""
        return hash_files(self.files())

    def save(self, directory: Path) -> str:
        """Writes `files()` beneath an empty or new directory; gives the content hash."""
        for name, data in self.files().items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return self.content_hash

    @classmethod
    def load(cls, directory: Path, expected_hash: str | None = None) -> "PropensityModel":
        """The saved model, bit for bit; Refused where it is absent, of another format, or not what the hash says."""
        files = read_files(directory)
        if expected_hash is not None and hash_files(files) != expected_hash:
            raise Refused("the model's files are not the ones that were sealed; restore them or train again")
        return cls.from_files(files)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "PropensityModel":
        """As `load`, from the bytes of `files()`."""
        if "model.json" not in files or "arrays.npz" not in files:
            raise Refused("no model is saved there; train one first")
        about = json.loads(files["model.json"])
        if about["format"] not in (FORMAT, FORMAT_FROZEN):
            raise Refused(f"the model has format {about['format']}, this version reads {FORMAT}; train again")
        arrays = np.load(io.BytesIO(files["arrays.npz"]), allow_pickle=False)
        trees = (files.get(f"trees/{i}.txt") for i in in_slices(range(len(arrays["weights"]))))
        return cls(
            feature_names=tuple(about["feature_names"]),
            actions=tuple(about["actions"]),
            groups=tuple(about["groups"]),
            treatments=tuple(tuple(t) for t in about["treatments"]),
            design=Design(arrays["mean"], arrays["inverse_scale"], arrays["flagged"]),
            weights=arrays["weights"],
            variances=arrays["variances"],
            offsets=arrays["offsets"],
            evidence=arrays["evidence"],
            forests=tuple(Forest(t.decode()) if t else None for t in trees),
            calibrations=tuple(Calibration.from_json(c) for c in about["calibrations"]),
            effects=Effects.from_bytes(files["effects.npz"]) if "effects.npz" in files else None,
            terms=tuple(ModelTerms.from_json(t) for t in about.get("terms", ())),
            frozen={
                int(i): Frozen(cls.from_files(_under(f"frozen/{i}/", files)), *kept)
                for i, kept in about.get("frozen", {}).items()
            },
        )


def raised(propensity: Floats, by: Floats) -> Floats:
    """Propensities (n,) whose logits are higher by (n,), or lower where that is negative; the same bits in any company.

    An interval of 95% lies between 1.96 spreads below and above.
    """
    factor = np.array([math.exp(v) for v in by.tolist()])
    odds = propensity * factor
    return np.asarray(odds / (1.0 - propensity + odds), dtype=np.float64)


def _under(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix(folder): data for name, data in files.items() if name.startswith(folder)}


def _probability(logit: Floats) -> Floats:
    """Never 0 or 1. `math.exp`, not numpy's, which may round differently from lane to lane and machine to machine."""
    bounded = np.clip(logit, -_MAX_LOGIT, _MAX_LOGIT).tolist()
    return np.array([1.0 / (1.0 + math.exp(-v)) for v in bounded], dtype=np.float64)
