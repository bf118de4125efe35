"""Fits the propensity model: per action a logistic base shrunk towards group and all, and trees on its residual."""

from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from decisioning.errors import Refused
from training.fitting.drift import present
from training.fitting.folds import stratified_folds
from training.fitting.terms import heirs, with_treatments_of_ancestors
from training.fitting.trees import Grown, Growth, cross_fitted, grow, predicts_better
from training.model.calibration import IDENTITY, Calibration, choose
from training.model.design import make_design
from training.model.forest import Forest
from training.model.frame import Bools, Floats, ModelTerms, TrainingSet
from training.model.logistic import RidgeProblem, fit_pooled, fit_ridge, with_tightness
from training.model.model import WITH_TREES, PropensityModel

_FIRST_TIGHTNESS = 5.0
_HEIR_TIGHTNESS = 20.0
"""Where learning begins how far an action differs from the one it supersedes: less than from its group."""
_ROOT_INTERCEPT_PRECISION = 1e-3
_INTERCEPT_PRECISION = 1.0
_LEAST_KNOWN = 1e-3


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


@dataclass(frozen=True, slots=True)
class _Learnt:
    """An action's node, trees and calibration."""

    node: _Node
    forest: Forest | None
    calibration: Calibration


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
    data = with_treatments_of_ancestors(data)
    design = make_design(data.x)
    inputs = design.rows(data.x)
    root, groups = _above(data, inputs, recipe)
    actions = _actions(data, inputs, groups, recipe)
    above = [*groups, root]
    nodes, n_above = [*(learnt.node for learnt in actions), *above], len(above)
    return PropensityModel(
        feature_names=data.feature_names,
        actions=data.actions,
        groups=data.groups,
        treatments=data.treatments,
        design=design,
        weights=np.vstack([node.weights[: design.width] for node in nodes]),
        variances=np.vstack([1.0 / np.maximum(node.known[: design.width], _LEAST_KNOWN) for node in nodes]),
        offsets=_offsets([learnt.node for learnt in actions], design.width, n_above),
        evidence=np.append([float(learnt.node.rows.sum()) for learnt in actions], np.zeros(n_above)),
        forests=(*(learnt.forest for learnt in actions), *(None,) * n_above),
        calibrations=(*(learnt.calibration for learnt in actions), *(IDENTITY,) * n_above),
        terms=data.terms,
    )


def _above(data: TrainingSet, inputs: Floats, recipe: Recipe) -> tuple[_Node, list[_Node]]:
    """The root, and the groups (sorted by name)."""
    root = _fit_root(inputs, data.label, recipe)
    of_action = np.array(data.groups)
    masks = [(of_action == name)[data.action] for name in sorted(set(data.groups))]
    return root, _fit_level([_node_problem(inputs[m], data.label[m], root, m) for m in masks], masks, recipe)


def _actions(data: TrainingSet, inputs: Floats, groups: list[_Node], recipe: Recipe) -> list[_Learnt]:
    """In their order; whoever supersedes another is learnt after it."""
    first = [a for a in range(len(data.actions)) if not data.asked(a).supersedes]
    nodes = _of_groups(data, inputs, groups, first, recipe)
    found = {a: _Learnt(n, *_correct(data, inputs, a, n, recipe)) for a, n in zip(first, nodes, strict=True)}
    for a, older in heirs(data):
        found[a] = _inherit(data, inputs, a, older, found[older], recipe)
    return [found[a] for a in range(len(data.actions))]


def _of_groups(
    data: TrainingSet, inputs: Floats, groups: list[_Node], actions: list[int], recipe: Recipe
) -> list[_Node]:
    """The nodes of these actions, each shrunk towards its group."""
    names, problems = sorted(set(data.groups)), []
    masks = [data.action == a for a in actions]
    for a, mask in zip(actions, masks, strict=True):
        problem = _node_problem(inputs[mask], data.label[mask], groups[names.index(data.groups[a])], mask)
        problems.append(_with_signs(_with_treatments(problem, data, a, mask, recipe), data, a))
    return _fit_level(problems, masks, recipe)


def _inherit(data: TrainingSet, inputs: Floats, action: int, older: int, old: _Learnt, recipe: Recipe) -> _Learnt:
    """An action that supersedes one: shrunk towards it, and with its trees and calibration until own ones are better.

    How tightly, its own rows say: where they differ from what was inherited, that fades. Without rows it is the older.
    """
    mask = data.action == action
    problem = _heir_problem(data, inputs, action, older, old.node, recipe)
    lends = _may_inherit(data, action, older)
    forest, calibration = (old.forest, old.calibration) if lends else (None, IDENTITY)
    if not mask.any():
        believed = fit_ridge(problem).weights
        return _Learnt(_Node(mask, believed, old.node.known, believed, problem.precision), forest, calibration)
    own = _fit_level([problem], [mask], recipe, _HEIR_TIGHTNESS)[0]
    if forest is None and calibration == IDENTITY:
        return _Learnt(own, *_correct(data, inputs, action, own, recipe))
    raw = forest.column(data.x[mask]) if forest else np.zeros(len(problem.label))
    lent = replace(problem, offset=raw)
    heir = _Learnt(_fit_level([lent], [mask], recipe, _HEIR_TIGHTNESS)[0], forest, calibration)
    grown = _grow(data, inputs, action, own, recipe)
    if grown is None or recipe.growth is None or not _outdoes(grown, lent, heir, recipe.growth, recipe.seed):
        return heir
    return _Learnt(own, *_kept(grown, lent.label, data.asked(action), recipe))


def _outdoes(grown: Grown, lent: RidgeProblem, heir: _Learnt, growth: Growth, seed: int) -> bool:
    """Whether trees of one's own predict held-out rows better than what was lent; `lent.offset` are the lent trees."""
    fold = stratified_folds(lent.label, growth.folds, seed)
    base = cross_fitted(_solved(lent, heir.node), heir.node.weights, fold)[fold, np.arange(len(fold))]
    inherited = heir.calibration.column(base if lent.offset is None else base + lent.offset)
    return predicts_better(lent.label, inherited, grown.held_out_logit)


def _heir_problem(
    data: TrainingSet, inputs: Floats, action: int, older: int, old: _Node, recipe: Recipe
) -> RidgeProblem:
    """It believes in the weights of the older action, and in its offset for each treatment of the same name."""
    mask, width = data.action == action, inputs.shape[1]
    problem = _with_treatments(_child(inputs[mask], data.label[mask], old.weights[:width]), data, action, mask, recipe)
    known = dict(zip(data.treatments[older], old.weights[width:].tolist(), strict=True))
    offsets = [known.get(treatment, 0.0) for treatment in data.treatments[action]]
    return _with_signs(replace(problem, prior=np.append(problem.prior[:width], offsets)), data, action)


def _may_inherit(data: TrainingSet, action: int, older: int) -> bool:
    """Whether trees of the older action are what is asked of this one."""
    asked, lent = data.asked(action), data.asked(older)
    return asked.floor <= WITH_TREES and set(asked.monotone) <= set(lent.monotone)


def _fit_root(inputs: Floats, label: Bools, recipe: Recipe) -> _Node:
    width = inputs.shape[1]
    prior, precision, pooled = np.zeros(width), np.zeros(width), np.ones(width, dtype=np.bool_)
    prior[0], precision[0], pooled[0] = np.log(label.mean() / (1.0 - label.mean())), _ROOT_INTERCEPT_PRECISION, False
    problem = RidgeProblem(inputs, label, prior, precision, pooled)
    return _fit_level([problem], [np.ones(len(label), dtype=np.bool_)], recipe)[0]


def _node_problem(inputs: Floats, label: Bools, parent: _Node, rows: Bools) -> RidgeProblem:
    """A child believes in its parent's weights; one that has all of the parent's rows, in what the parent believed.

    Else those rows would count twice, once as their own prior.
    """
    width = inputs.shape[1]
    if rows.sum() == parent.rows.sum():
        return RidgeProblem(inputs, label, parent.prior, parent.precision, np.zeros(width, dtype=np.bool_))
    return _child(inputs, label, parent.weights)


def _child(inputs: Floats, label: Bools, prior: Floats) -> RidgeProblem:
    pooled = np.ones(inputs.shape[1], dtype=np.bool_)
    pooled[0] = False
    return RidgeProblem(inputs, label, prior, np.full(len(pooled), _INTERCEPT_PRECISION), pooled)


def _with_signs(problem: RidgeProblem, data: TrainingSet, action: int) -> RidgeProblem:
    """The problem with the signs that the catalogue asks of the weights of features."""
    asked = [(name, sign) for name, sign in data.asked(action).monotone if name in data.feature_names]
    if not asked:
        return problem
    signs = np.zeros(len(problem.prior), dtype=np.int64)
    for name, sign in asked:
        signs[1 + data.feature_names.index(name)] = sign
    return replace(problem, signs=signs)


def _with_treatments(
    problem: RidgeProblem, data: TrainingSet, action: int, rows: Bools, recipe: Recipe
) -> RidgeProblem:
    """Adds an input per treatment of the action, shrunk towards no difference."""
    n = len(data.treatments[action])
    one_hot = (data.treatment[rows, None] == np.arange(n)).astype(np.float64)
    return RidgeProblem(
        np.hstack([problem.design, one_hot]),
        problem.label,
        np.append(problem.prior, np.zeros(n)),
        np.append(problem.precision, np.full(n, recipe.treatment_precision)),
        np.append(problem.pooled, np.zeros(n, dtype=np.bool_)),
    )


def _fit_level(
    problems: list[RidgeProblem], masks: list[Bools], recipe: Recipe, tightness: float = _FIRST_TIGHTNESS
) -> list[_Node]:
    fits, tightness = fit_pooled(problems, tightness, recipe.rounds)
    tight = [with_tightness(p, tightness) for p in problems]
    return [_Node(m, f.weights, f.known, p.prior, p.precision) for m, f, p in zip(masks, fits, tight, strict=True)]


def _correct(
    data: TrainingSet, inputs: Floats, action: int, node: _Node, recipe: Recipe
) -> tuple[Forest | None, Calibration]:
    """The action's trees and calibration, each where held-out rows say that it helps."""
    grown = _grow(data, inputs, action, node, recipe)
    return _kept(grown, data.label[node.rows], data.asked(action), recipe) if grown else (None, IDENTITY)


def _grow(data: TrainingSet, inputs: Floats, action: int, node: _Node, recipe: Recipe) -> Grown | None:
    """None where nothing can be tried; without trees where the catalogue asks for more transparency."""
    if recipe.growth is None or not node.rows.any():
        return None
    bare = _child(inputs[node.rows], data.label[node.rows], node.prior[: inputs.shape[1]])
    problem = _with_signs(_with_treatments(bare, data, action, node.rows, recipe), data, action)
    trees = data.asked(action).floor <= WITH_TREES
    return grow(_solved(problem, node), node.weights, data.x[node.rows], recipe.growth, recipe.seed, trees=trees)


def _solved(problem: RidgeProblem, node: _Node) -> RidgeProblem:
    """The problem under the belief that the node was fitted under, with nothing left to learn about it."""
    return replace(
        problem, prior=node.prior, precision=node.precision, pooled=np.zeros(len(node.prior), dtype=np.bool_)
    )


def _kept(grown: Grown, label: Bools, asked: ModelTerms, recipe: Recipe) -> tuple[Forest | None, Calibration]:
    forest = Forest(grown.text) if grown.text else None
    if not recipe.calibrate:
        return forest, IDENTITY
    return forest, choose(grown.held_out_logit, label, recipe.seed, everywhere=bool(asked.monotone))


def _offsets(actions: list[_Node], width: int, n_above: int) -> Floats:
    """(k + n_above, t + 1): every action's treatment offsets, zeros after them; the last column stays zero."""
    most = max((len(node.weights) - width for node in actions), default=0)
    out = np.zeros((len(actions) + n_above, most + 1))
    for a, node in enumerate(actions):
        out[a, : len(node.weights) - width] = node.weights[width:]
    return out
