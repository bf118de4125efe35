"""Fits the propensity model: per action a logistic base shrunk towards group and all, and trees on its residual."""

from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from decisioning.errors import Refused
from training.calibration import IDENTITY, Calibration, choose
from training.drift import present
from training.forest import Forest
from training.frame import Bools, Floats, TrainingSet
from training.logistic import Problem, fit_pooled, with_tightness
from training.model import Design, PropensityModel
from training.trees import Growth, grow

_FIRST_TIGHTNESS = 5.0
_ROOT_INTERCEPT_PRECISION = 1e-3
_INTERCEPT_PRECISION = 1.0
_LEAST_KNOWN = 1e-3
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fit; the same data, recipe and build give the same model.

    `rounds` of learning how far siblings differ; `treatment_precision` of the normal prior on a treatment's offset.
    """

    seed: int = 0
    rounds: int = 3
    treatment_precision: float = 10.0
    growth: Growth | None = field(default_factory=Growth)
    """None: the base alone."""
    calibrate: bool = True
    forget: bool = True
    """Whether rows from before a change of the truth are left out, where a test is sure of one."""


@dataclass(frozen=True, slots=True)
class _Node:
    """One place of the hierarchy: its rows, weights, how well each is known (`Fit.known`), and the normal belief (mean,
    precision) they were fitted under.

    Without rows of its own it has its parent's weights.
    """

    rows: Bools
    weights: Floats
    known: Floats
    prior: Floats
    precision: Floats


def fit(data: TrainingSet, recipe: Recipe | None = None) -> PropensityModel:
    """A model of every action in `data.actions`; those without rows get their group's weights and no evidence.

    Refused without rows or where only one of the two labels ever occurs.
    """
    if data.label.all() or not data.label.any():
        raise Refused("nothing to learn from: the log needs rows with and without the positive outcome")
    with threadpool_limits(1, "blas"):  # last bits would depend on the number of cores, and waiting threads spin
        return _fit_present(data, recipe or Recipe())


def _fit_present(data: TrainingSet, recipe: Recipe) -> PropensityModel:
    """Of all rows, or of those that still hold: what is left after one change may hide another."""
    quick = replace(recipe, growth=None, forget=False)
    model = _fit(data, recipe)
    while recipe.forget:
        kept = present(data, model, lambda rows: _fit(rows, quick))
        if kept is data:
            break
        data, model = kept, _fit(kept, recipe)
    return model


def _fit(data: TrainingSet, recipe: Recipe) -> PropensityModel:
    design = make_design(data.x)
    inputs = _inputs(design, data.x)
    root, groups, actions = _hierarchy(data, inputs, recipe)
    corrections = [_correct(data, inputs, a, node, recipe) for a, node in enumerate(actions)]
    above = [*groups, root]
    n_above = len(above)
    return PropensityModel(
        feature_names=data.feature_names,
        actions=data.actions,
        groups=data.groups,
        treatments=data.treatments,
        design=design,
        weights=np.vstack([node.weights[: design.width] for node in (*actions, *above)]),
        variances=np.vstack(
            [1.0 / np.maximum(node.known[: design.width], _LEAST_KNOWN) for node in (*actions, *above)]
        ),
        offsets=_offsets(actions, design.width, n_above),
        evidence=np.append([float(node.rows.sum()) for node in actions], np.zeros(n_above)),
        forests=(*(forest for forest, _ in corrections), *(None,) * n_above),
        calibrations=(*(calibration for _, calibration in corrections), *(IDENTITY,) * n_above),
    )


def make_design(x: Floats) -> Design:
    """Standardisation of features (n, f) by what is known of them, and a flag per distinct pattern of absence."""
    n_features = x.shape[1]
    mean, inverse_scale = np.zeros(n_features), np.ones(n_features)
    patterns: dict[bytes, int] = {}
    for j in range(n_features):
        unknown = np.isnan(x[:, j])
        if unknown.all():
            continue
        known = x[~unknown, j]
        mean[j], spread = known.mean(), known.std()
        inverse_scale[j] = 1.0 / spread if spread > 1e-12 else 1.0
        if unknown.any():
            patterns.setdefault(np.packbits(unknown).tobytes(), j)
    return Design(mean, inverse_scale, np.array(sorted(patterns.values()), dtype=np.int64))


def _inputs(design: Design, x: Floats) -> Floats:
    """(n, width), filled in chunks: a million rows leave no room for several copies."""
    out = np.empty((len(x), design.width))
    for at in range(0, len(x), _CHUNK):
        out[at : at + _CHUNK] = design.columns(x[at : at + _CHUNK]).T
    return out


def _hierarchy(data: TrainingSet, inputs: Floats, recipe: Recipe) -> tuple[_Node, list[_Node], list[_Node]]:
    """The root, the groups (sorted by name) and the actions (in their order)."""
    names = sorted(set(data.groups))
    group_of = np.array([names.index(g) for g in data.groups], dtype=np.int64)
    root = _fit_root(inputs, data.label, recipe)
    masks = [group_of[data.action] == g for g in range(len(names))]
    groups = _fit_level([_node_problem(inputs[m], data.label[m], root, m) for m in masks], masks, recipe)
    masks = [data.action == a for a in range(len(data.actions))]
    problems = []
    for a, mask in enumerate(masks):
        problem = _node_problem(inputs[mask], data.label[mask], groups[group_of[a]], mask)
        problems.append(_with_treatments(problem, data, a, mask, recipe))
    return root, groups, _fit_level(problems, masks, recipe)


def _fit_root(inputs: Floats, label: Bools, recipe: Recipe) -> _Node:
    width = inputs.shape[1]
    prior, precision, pooled = np.zeros(width), np.zeros(width), np.ones(width, dtype=np.bool_)
    prior[0], precision[0], pooled[0] = np.log(label.mean() / (1.0 - label.mean())), _ROOT_INTERCEPT_PRECISION, False
    problem = Problem(inputs, label, prior, precision, pooled)
    return _fit_level([problem], [np.ones(len(label), dtype=np.bool_)], recipe)[0]


def _node_problem(inputs: Floats, label: Bools, parent: _Node, rows: Bools) -> Problem:
    """A child believes in its parent's weights; one that has all of the parent's rows, in what the parent believed.

    Else those rows would count twice, once as their own prior.
    """
    width = inputs.shape[1]
    if rows.sum() == parent.rows.sum():
        return Problem(inputs, label, parent.prior, parent.precision, np.zeros(width, dtype=np.bool_))
    pooled = np.ones(width, dtype=np.bool_)
    pooled[0] = False
    return Problem(inputs, label, parent.weights, np.full(width, _INTERCEPT_PRECISION), pooled)


def _with_treatments(problem: Problem, data: TrainingSet, action: int, rows: Bools, recipe: Recipe) -> Problem:
    """Adds an input per treatment of the action, shrunk towards no difference."""
    n = len(data.treatments[action])
    one_hot = (data.treatment[rows, None] == np.arange(n)).astype(np.float64)
    return Problem(
        np.hstack([problem.design, one_hot]),
        problem.label,
        np.append(problem.prior, np.zeros(n)),
        np.append(problem.precision, np.full(n, recipe.treatment_precision)),
        np.append(problem.pooled, np.zeros(n, dtype=np.bool_)),
    )


def _fit_level(problems: list[Problem], masks: list[Bools], recipe: Recipe) -> list[_Node]:
    fits, tightness = fit_pooled(problems, _FIRST_TIGHTNESS, recipe.rounds)
    tight = [with_tightness(p, tightness) for p in problems]
    return [_Node(m, f.weights, f.known, p.prior, p.precision) for m, f, p in zip(masks, fits, tight, strict=True)]


def _correct(
    data: TrainingSet, inputs: Floats, action: int, node: _Node, recipe: Recipe
) -> tuple[Forest | None, Calibration]:
    """The action's trees and calibration, each where held-out rows say that it helps."""
    if recipe.growth is None or not node.rows.any():
        return None, IDENTITY
    label, width = data.label[node.rows], inputs.shape[1]
    fixed = np.zeros(width, dtype=np.bool_)
    bare = Problem(inputs[node.rows], label, node.prior[:width], node.precision[:width], fixed)
    problem = _with_treatments(bare, data, action, node.rows, recipe)
    grown = grow(problem, node.weights, data.x[node.rows], recipe.growth, recipe.seed)
    if grown is None:
        return None, IDENTITY
    calibration = choose(grown.held_out_logit, label, recipe.seed) if recipe.calibrate else IDENTITY
    return (Forest(grown.text) if grown.text else None), calibration


def _offsets(actions: list[_Node], width: int, n_above: int) -> Floats:
    """(k + n_above, t + 1): every action's treatment offsets, zeros after them; the last column stays zero."""
    most = max((len(node.weights) - width for node in actions), default=0)
    out = np.zeros((len(actions) + n_above, most + 1))
    for a, node in enumerate(actions):
        out[a, : len(node.weights) - width] = node.weights[width:]
    return out
