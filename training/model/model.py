"""The trained model: a customer's features -> propensity of each action's positive outcome. Uses numpy and LightGBM.

For action a with treatment t and customer x: logit = w_a . z(x) + offset_(a,t) + trees_a(x), then a's calibration.
Sums and exponentials are those of `exact`, so a propensity has the same bits whatever is scored together with it, by
row or by column.
"""

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.errors import Refused
from training.model.background import in_slices
from training.model.calibration import Calibration
from training.model.design import Design, Factors, InputNames, input_names
from training.model.effects import Effects
from training.model.exact import probability, shift_logits, summed, summed_rows
from training.model.files import FORMAT, FORMAT_FROZEN, files_in, hash_files, parse_description, read_files
from training.model.forest import Forest, Forests
from training.model.frame import Floats, Ints, ModelTerms

WITH_TREES, WITHOUT_TREES = 3, 4
"""Transparency of a propensity: with trees, shares can be computed; without, the weights of features can be read."""
_ONLY_ACTION = np.zeros(1, dtype=np.int64)
_CHUNK = 8_192


@dataclass(frozen=True, slots=True)
class Contributions:
    """The parts of a propensity, in logits: `base` (the same for everybody), `treatment` and `features` sum to `logit`.

    `calibrated` is the logit after calibration, and `propensity` the logistic function of that.
    """

    base: float
    treatment: float
    features: Mapping[str, float]
    logit: float
    calibrated: float
    propensity: float


@dataclass(frozen=True, eq=False)
class Frozen:
    """An action as an earlier model had it: `model` holds that action alone, at index 0, over that model's features.

    `source`: content hash of the earlier model; `since_us`: when the action was frozen, microseconds UTC.
    """

    model: "PropensityModel"
    source: str
    since_us: int
    reason: str


@dataclass(frozen=True, eq=False)
class PropensityModel:
    """An immutable model that threads can share.

    `weights`, their `variances` (k + g + 1, width) and `offsets` (k + g + 1, t + 1) hold the k actions, then the g
    groups, then the one row for all actions; the last offset column is zero, so that treatment -1 (unknown) adds
    nothing. `evidence` (k + g + 1,): number of matured rows of each action, 0 for the groups and for all. `alike`
    (k + g + 1,): how many rows are worth as much as one would be if no two were of the same customer. `effects`: the
    effects of showing an action, or None if no action was ever withheld. `terms`: what the catalogue required of
    the k actions, empty if nothing. `frozen`: actions, by index, that are scored as an earlier model had them; their
    rows in the arrays are zero, NaN in `effects`.
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
    alike: Floats
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
        """Transparency of the propensities, (k + g + 1,) as `weights`, from 1 (opaque) to 5 (transparent).

        4: a sum of one weight per feature. 3: also trees over several features, whose shares can be computed.
        """
        levels = np.asarray([WITHOUT_TREES if forest is None else WITH_TREES for forest in self.forests], dtype=np.int8)
        for index, frozen in self.frozen.items():
            levels[index] = frozen.model.transparency[0]
        return levels

    @cached_property
    def worth(self) -> Floats:
        """As how many independent rows (k + g + 1,) the `evidence` counts."""
        return self.evidence / self.alike

    @cached_property
    def inherited_evidence(self) -> Floats:
        """The `worth` (k + g + 1,) of the rows of all actions that an action supersedes, directly or through others.

        They are never part of its own.
        """
        rows = np.zeros(len(self.evidence))
        for action in range(len(self.terms)):
            older = action
            while self.terms[older].supersedes:
                older = self._index[self.terms[older].supersedes]
                rows[action] += self.worth[older]
        return rows

    @cached_property
    def _calibrated(self) -> frozenset[int]:
        return frozenset(i for i, c in enumerate(self.calibrations) if c.kind != "identity")

    @cached_property
    def _weights_by_input(self) -> Floats:
        """`weights` transposed, (width, k + g + 1), so that the sums of many actions grow input by input."""
        return np.ascontiguousarray(self.weights.T)

    @cached_property
    def _variances_by_input(self) -> Floats:
        """`variances` transposed, (width, k + g + 1)."""
        return np.ascontiguousarray(self.variances.T)

    @cached_property
    def _input_names(self) -> InputNames:
        doubt = np.zeros((len(self.weights), len(self.feature_names)))
        for action, forest in enumerate(in_slices(self.forests)):
            if forest is not None:
                doubt[action] = forest.largest_shares(len(self.feature_names))
        return input_names(self.feature_names, self.design, doubt)

    def resolve(self, action: str, group: str, superseded: Sequence[str] = ()) -> int:
        """Return the index to score an action by.

        That is its own index, else that of the nearest action it supersedes (`superseded` is sorted by distance), else
        its group's, else that of all actions. An index of `len(actions)` or more means that the model never saw the
        action; its evidence is 0.
        """
        index = next((self._index[name] for name in (action, *superseded) if name in self._index), None)
        return index if index is not None else self._group_index.get(group, len(self.weights) - 1)

    def evidence_of(self, action: str, index: int) -> tuple[float, float]:
        """Return the `worth` of rows, own and inherited, behind an action that is scored by an `index` of `resolve`."""
        own, inherited = float(self.worth[index]), float(self.inherited_evidence[index])
        scored_as_itself = action in self._index or index >= len(self.actions)
        return (own, inherited) if scored_as_itself else (0.0, own + inherited)

    def scoring_model(self, index: int) -> tuple["PropensityModel", int]:
        """Return the model whose arrays score an index, and the index there; another model if the action is frozen."""
        return (self.frozen[index].model, 0) if index in self.frozen else (self, index)

    @cached_property
    def _columns(self) -> dict[int, Ints]:
        """Per frozen action, the positions of its features among this model's, (f_frozen,)."""
        features = {i: frozen.model.feature_names for i, frozen in self.frozen.items()}
        return {i: np.array([self.feature_names.index(n) for n in own], dtype=np.int64) for i, own in features.items()}

    def _frozen_candidates(self, row: Floats, actions: Ints) -> Iterator[tuple[int, "PropensityModel", Floats]]:
        """Yield each candidate of a frozen action: its position, the model that scores it, the features that reads."""
        for i, action in enumerate(actions.tolist() if self.frozen else ()):
            if action in self.frozen:
                yield i, self.frozen[action].model, row[self._columns[action]]

    def treatment_code(self, action: int, treatment: str) -> int:
        """Return the code of a treatment id within the action at this index, or -1 if the model never saw it."""
        treatments = self.treatments[action] if action < len(self.actions) else ()
        return treatments.index(treatment) if treatment in treatments else -1

    def score(
        self, row: Floats, actions: Ints, treatments: Ints, inputs: Floats | None = None
    ) -> tuple[Floats, Floats, Factors]:
        """Score n candidates, indices of `resolve` and codes of `treatment_code`, both (n,), for one customer (f,).

        Returns propensity (n,), evidence (n,) in independent rows, and per candidate the names of the features, at most
        two and the largest first, that moved the base's logit most from that of the average customer.

        :param inputs: `design.row(row)`, if it is known already
        """
        inputs = self.design.row(row) if inputs is None else inputs
        base = summed(self._weights_by_input.take(actions, axis=1) * inputs.reshape(-1, 1))
        logit = base + self.offsets[actions, treatments] + self._trees.row(row, actions)
        for i, action in enumerate(actions.tolist() if self._calibrated else ()):
            if action in self._calibrated:
                logit[i] = self.calibrations[action].one(float(logit[i]))
        propensity, frozen = probability(logit), dict[int, Factors]()
        for i, model, features in self._frozen_candidates(row, actions):
            propensity[i : i + 1], _, frozen[i] = model.score(features, _ONLY_ACTION, treatments[i : i + 1])
        return propensity, self.worth[actions], Factors(self.weights, actions, inputs, self._input_names, frozen)

    def score_rows(self, x: Floats, actions: Ints, treatments: Ints) -> tuple[Floats, Floats, list[Factors]]:
        """Score n candidates for many customers (rows, f), with the same bits as `score` and `upper_limits` for each.

        Returns propensities and their upper limits, both (rows, n), and the factors of each row.
        """
        if self.frozen:
            return self._row_by_row(x, actions, treatments)
        inputs = self.design.columns(x)
        logit = summed_rows(self._weights_by_input, inputs, actions) + self.offsets[actions, treatments]
        logit = logit + self._trees.rows(x, actions)
        for i, action in enumerate(actions.tolist() if self._calibrated else ()):
            if action in self._calibrated:
                logit[:, i] = self.calibrations[action].column(logit[:, i])
        propensity = probability(logit)
        upper = shift_logits(propensity, np.sqrt(summed_rows(self._variances_by_input, inputs**2, actions)))
        factors = [Factors(self.weights, actions, inputs[:, n], self._input_names, {}) for n in range(len(x))]
        return propensity, upper, factors

    def _row_by_row(self, x: Floats, actions: Ints, treatments: Ints) -> tuple[Floats, Floats, list[Factors]]:
        scored = [self.score(row, actions, treatments) for row in x]
        upper = [self.upper_limits(row, actions, scores[0]) for row, scores in zip(x, scored, strict=True)]
        return np.array([propensity for propensity, _, _ in scored]), np.array(upper), [f for _, _, f in scored]

    def contributions(self, row: Floats, action: int, treatment: int) -> Contributions:
        """Return what each feature of one customer (f,) adds to the logit of `score`, base and trees; largest first."""
        if action in self.frozen:
            return self.frozen[action].model.contributions(row[self._columns[action]], 0, treatment)
        parts = self.weights[action] * self.design.row(row)
        forest = self.forests[action]
        shares = np.zeros(len(row) + 1) if forest is None else forest.shares(row)
        features = dict.fromkeys(self.feature_names, 0.0)
        for name, part in zip(
            (*self._input_names.names[1:], *self.feature_names), (*parts[1:], *shares[:-1]), strict=True
        ):
            features[name] += float(part)
        base, offset = float(parts[0] + shares[-1]), float(self.offsets[action, treatment])
        logit = math.fsum((base, offset, *features.values()))
        calibrated = self.calibrations[action].one(logit)
        ordered = dict(sorted(((n, v) for n, v in features.items() if v), key=lambda f: (-abs(f[1]), f[0])))
        propensity = float(probability(np.asarray([calibrated]))[0])
        return Contributions(base, offset, ordered, logit, calibrated, propensity)

    def upper_limits(self, row: Floats, actions: Ints, propensity: Floats, inputs: Floats | None = None) -> Floats:
        """Return one customer's propensities (n,), as given by `score`, raised by one standard deviation of the logit.

        The deviation is that of the base's weights, each from the curvature along it alone, so that columns that move
        together do not inflate it. Trees are not part of it. Shapes as for `score`.
        """
        squares = (self.design.row(row) if inputs is None else inputs) ** 2
        parts = self._variances_by_input.take(actions, axis=1) * squares.reshape(-1, 1)
        limits = shift_logits(propensity, np.sqrt(summed(parts)))
        for i, model, features in self._frozen_candidates(row, actions):
            limits[i : i + 1] = model.upper_limits(features, _ONLY_ACTION, propensity[i : i + 1])
        return limits

    def uplifts(self, row: Floats, actions: Ints, propensity: Floats) -> Floats:
        """Return what showing adds (n,) to one customer's propensities (n,), as given by `score`; NaN where unknown."""
        uplifts = np.full(len(actions), np.nan)
        if self.effects is not None:
            uplifts = propensity - shift_logits(propensity, -self.effects.row(self.design.row(row), actions))
        for i, model, features in self._frozen_candidates(row, actions):
            uplifts[i : i + 1] = model.uplifts(features, _ONLY_ACTION, propensity[i : i + 1])
        return uplifts

    def uplift(self, x: Floats, action: int, propensity: Floats) -> Floats:
        """Return the uplifts (n_rows,) of one action for customers (n_rows, f), with the same bits as `uplifts`."""
        if action in self.frozen:
            return self.frozen[action].model.uplift(x[:, self._columns[action]], 0, propensity)
        if self.effects is None:
            return np.full(len(x), np.nan)
        inputs = self.design.columns(np.ascontiguousarray(x, dtype=np.float64))
        return propensity - shift_logits(propensity, -self.effects.column(inputs, action))

    def logit_deviation(self, x: Floats, action: int) -> Floats:
        """Return the standard deviation (n_rows,) of one action's logit, from the variances of the base's weights."""
        if action in self.frozen:
            return self.frozen[action].model.logit_deviation(x[:, self._columns[action]], 0)
        parts = self.design.columns(np.ascontiguousarray(x, dtype=np.float64)) ** 2 * self.variances[action][:, None]
        return np.asarray(np.sqrt(np.add.accumulate(parts, axis=0)[-1]), dtype=np.float64)

    def propensities(self, x: Floats, action: int, treatment: int = -1) -> Floats:
        """Return the propensities (n_rows,) of one action for customers (n_rows, f), with the same bits as `score`."""
        if action in self.frozen:
            return self.frozen[action].model.propensities(x[:, self._columns[action]], 0, treatment)
        x = np.ascontiguousarray(x, dtype=np.float64)
        logit = np.empty(len(x))
        for at in range(0, len(x), _CHUNK):
            logit[at : at + _CHUNK] = self._base(x[at : at + _CHUNK], action)
        logit = logit + self.offsets[action, treatment]
        forest = self.forests[action]
        logit = logit + (forest.column(x) if forest and len(x) else 0.0)
        return probability(self.calibrations[action].column(logit))

    def _base(self, x: Floats, action: int) -> Floats:
        inputs = self.design.columns(x)
        total: Floats = inputs[0] * self.weights[action, 0]
        for j in range(1, len(inputs)):
            total = total + inputs[j] * self.weights[action, j]
        return total

    def files(self) -> dict[str, bytes]:
        """Return the whole model as relative path -> bytes; equal models give equal bytes."""
        files = {"model.json": self._description(), "arrays.npz": self._arrays()}
        files |= {f"trees/{i}.txt": f.text.encode() for i, f in enumerate(self.forests) if f}
        for i, frozen in self.frozen.items():
            files |= {f"frozen/{i}/{name}": data for name, data in frozen.model.files().items()}
        if self.effects is not None:
            files["effects.npz"] = self.effects.to_bytes()
        return files

    def _description(self) -> bytes:
        """Return the names, calibrations, terms and frozen actions as JSON."""
        document: dict[str, Any] = {
            "format": FORMAT_FROZEN if self.frozen else FORMAT,
            "feature_names": self.feature_names,
            "actions": self.actions,
            "groups": self.groups,
            "treatments": self.treatments,
            "calibrations": [asdict(c) for c in self.calibrations],
        }
        if self.terms:
            document["terms"] = [asdict(t) for t in self.terms]
        if self.frozen:
            document["frozen"] = {i: (f.source, f.since_us, f.reason) for i, f in self.frozen.items()}
        return json.dumps(document, sort_keys=True, ensure_ascii=False).encode()

    def _arrays(self) -> bytes:
        """Return the arrays of design and base in numpy's npz format."""
        packed, more = io.BytesIO(), dict[str, Any]()
        if (self.alike != 1.0).any():  # models of before December 2026 have none, and keep their bytes
            more["alike"] = self.alike
        np.savez(
            packed,
            mean=self.design.mean,
            inverse_scale=self.design.inverse_scale,
            flagged=self.design.flagged,
            weights=self.weights,
            variances=self.variances,
            offsets=self.offsets,
            evidence=self.evidence,
            **more,
        )
        return packed.getvalue()

    @cached_property
    def content_hash(self) -> str:
        """The sha256 (hex) over names and bytes of `files()`."""
        return hash_files(self.files())

    def save(self, directory: Path) -> str:
        """Write `files()` beneath an empty or new directory and return the content hash."""
        for name, data in self.files().items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return self.content_hash

    @classmethod
    def load(cls, directory: Path, expected_hash: str | None = None) -> "PropensityModel":
        """Return the saved model, bit for bit.

        :raises Refused: no model is saved there, it has another format, or its hash is not `expected_hash`
        """
        files = read_files(directory)
        if expected_hash is not None and hash_files(files) != expected_hash:
            raise Refused("the model's files are not the ones that were sealed; restore them or train again")
        return cls.from_files(files)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "PropensityModel":
        """Return the model of the bytes of `files()`; raises Refused as `load` does."""
        document = parse_description(files)
        arrays = np.load(io.BytesIO(files["arrays.npz"]), allow_pickle=False)
        trees = (files.get(f"trees/{i}.txt") for i in in_slices(range(len(arrays["weights"]))))
        return cls(
            feature_names=tuple(document["feature_names"]),
            actions=tuple(document["actions"]),
            groups=tuple(document["groups"]),
            treatments=tuple(tuple(t) for t in document["treatments"]),
            design=Design(arrays["mean"], arrays["inverse_scale"], arrays["flagged"]),
            weights=arrays["weights"],
            variances=arrays["variances"],
            offsets=arrays["offsets"],
            evidence=arrays["evidence"],
            alike=arrays["alike"] if "alike" in arrays else np.ones(len(arrays["evidence"])),
            forests=tuple(Forest(t.decode()) if t else None for t in trees),
            calibrations=tuple(Calibration.from_json(c) for c in document["calibrations"]),
            effects=Effects.from_bytes(files["effects.npz"]) if "effects.npz" in files else None,
            terms=tuple(ModelTerms.from_json(t) for t in document.get("terms", ())),
            frozen={
                int(i): Frozen(cls.from_files(files_in(f"frozen/{i}/", files)), source, since_us, reason)
                for i, (source, since_us, reason) in document.get("frozen", {}).items()
            },
        )
