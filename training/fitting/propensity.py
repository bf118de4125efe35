"""Fits the propensity model: per action a logistic base that is shrunk towards its group, and trees on its residual."""

from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from decisioning.errors import Refused
from training.fitting.drift import rows_since_change
from training.fitting.folds import stratified_folds
from training.fitting.terms import superseding_pairs, with_treatments_of_ancestors
from training.fitting.trees import Grown, Growth, Inputs, cross_fitted, grow, predicts_better
from training.model.calibration import IDENTITY, Calibration, choose, held_out
from training.model.design import make_design
from training.model.forest import Forest
from training.model.frame import Bools, Floats, TrainingSet, Units, design_effect
from training.model.logistic import RidgeProblem, fit_pooled, fit_ridge, sigmoid, with_tightness
from training.model.model import WITH_TREES, PropensityModel

_FIRST_TIGHTNESS = 5.0
_SUPERSEDING_TIGHTNESS = 20.0
"""Precision with which an action is first shrunk towards the one it supersedes: more tightly than towards its group."""
_ROOT_INTERCEPT_PRECISION = 1e-3
_INTERCEPT_PRECISION = 1.0
_LEAST_CURVATURE = 1e-3


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fit; the same data, recipe and build give the same model.

    `rounds`: iterations in which the precision that siblings share is learnt. `treatment_precision`: of the normal
    prior on a treatment's offset.
    """

    seed: int = 0
    rounds: int = 3
    treatment_precision: float = 10.0
    growth: Growth | None = field(default_factory=Growth)
    """How trees are grown; None for the base alone."""
    calibrate: bool = True
    forget: bool = True
    """Whether rows from before a detected change of the truth are left out."""


@dataclass(frozen=True, slots=True)
class _Node:
    """One place of the hierarchy: a mask of its rows (n,), its weights (d,) and their `Fit.curvature` (d,).

    `prior` and `precision` (d,): mean and precision of the normal prior of the fit. Without rows of its own a node has
    its parent's weights.
    """

    rows: Bools
    weights: Floats
    curvature: Floats
    prior: Floats
    precision: Floats


@dataclass(frozen=True, slots=True)
class _ActionFit:
    """An action's node, trees and calibration.

    `held_out`: logit of each of its rows by the base and trees of the other folds, before calibration; None if it has
    too few rows for folds, or trees of the action that it supersedes.
    """

    node: _Node
    forest: Forest | None
    calibration: Calibration
    held_out: Floats | None = None


def fit(data: TrainingSet, recipe: Recipe | None = None) -> PropensityModel:
    """Return a model of every action in `data.actions`; those without rows get their group's weights and no evidence.

    :raises Refused: there are no rows, or only one of the two labels occurs
    """
    _check_labels(data)
    with threadpool_limits(1, "blas"):  # else the last bits depend on the number of cores, and idle threads spin
        return _fit_current_rows(data, recipe or Recipe())


def fit_with_held_out(data: TrainingSet, recipe: Recipe) -> tuple[PropensityModel, Floats]:
    """Return the model of one event (`one_action`), and each row's propensity (n,) by parts that did not see the row.

    These are of the folds that the fit makes anyway. Only the strength of the base's prior, size and number of trees,
    and the kind of calibration were chosen with the row. NaN if there are too few rows for folds. Raises as `fit`.
    """
    _check_labels(data)
    with threadpool_limits(1, "blas"):
        actions, model = _fit_all(data, recipe)
    predicted = np.full(len(data), np.nan)
    for fitted in actions:
        if fitted.held_out is not None:
            own, kind = data.take(fitted.node.rows), fitted.calibration.kind
            predicted[fitted.node.rows] = sigmoid(held_out(kind, fitted.held_out, own.label, recipe.seed, own.unit))
    return model, predicted


def _check_labels(data: TrainingSet) -> None:
    if data.label.all() or not data.label.any():
        raise Refused("nothing to learn from: the log needs rows with and without the positive outcome")


def _fit_current_rows(data: TrainingSet, recipe: Recipe) -> PropensityModel:
    """Fit to the rows since the last change; tested again after each, since the rows left may hide another change."""
    base_recipe = replace(recipe, growth=None, forget=False)
    model = _fit(data, recipe)
    while recipe.forget:
        current = rows_since_change(data, model, lambda rows: _fit(rows, base_recipe))
        if current is data:
            break
        data, model = current, _fit(current, recipe)
    return model


def _fit(data: TrainingSet, recipe: Recipe) -> PropensityModel:
    return _fit_all(data, recipe)[1]


def _fit_all(data: TrainingSet, recipe: Recipe) -> tuple[list[_ActionFit], PropensityModel]:
    """Return the fit of each action, in their order, and the model made of them."""
    data = with_treatments_of_ancestors(data)
    design = make_design(data.x)
    inputs = design.rows(data.x)
    root, groups = _above(data, inputs, recipe)
    actions = _actions(data, inputs, groups, recipe)
    above = [*groups, root]
    nodes, n_above = [*(fitted.node for fitted in actions), *above], len(above)
    alike = np.array([_alike(data, inputs, node) for node in nodes])
    model = PropensityModel(
        feature_names=data.feature_names,
        actions=data.actions,
        groups=data.groups,
        treatments=data.treatments,
        design=design,
        weights=np.vstack([node.weights[: design.width] for node in nodes]),
        variances=np.vstack([_variances(n, rows, design.width) for n, rows in zip(nodes, alike, strict=True)]),
        offsets=_offsets([fitted.node for fitted in actions], design.width, n_above),
        evidence=np.append([float(fitted.node.rows.sum()) for fitted in actions], np.zeros(n_above)),
        alike=alike,
        forests=(*(fitted.forest for fitted in actions), *(None,) * n_above),
        calibrations=(*(fitted.calibration for fitted in actions), *(IDENTITY,) * n_above),
        terms=data.terms,
    )
    return actions, model


def _alike(data: TrainingSet, inputs: Floats, node: _Node) -> float:
    """Return how many of a node's rows are worth as much as an independent one, by the deviations from its base."""
    if data.unit is None or not node.rows.any():
        return 1.0
    expected = sigmoid(inputs[node.rows] @ node.weights[: inputs.shape[1]])
    return design_effect(data.label[node.rows] - expected, data.unit[node.rows])


def _variances(node: _Node, alike: float, width: int) -> Floats:
    """Return the variances of a node's weights (width,), of which rows determine the less the more they are alike."""
    curvature, prior = node.curvature[:width], node.precision[:width]
    determined = curvature if alike == 1.0 else prior + (curvature - prior) / alike
    return np.asarray(1.0 / np.maximum(determined, _LEAST_CURVATURE), dtype=np.float64)


def _above(data: TrainingSet, inputs: Floats, recipe: Recipe) -> tuple[_Node, list[_Node]]:
    """Return the node of all actions, and the groups' nodes, sorted by name."""
    root = _fit_root(inputs, data.label, recipe)
    group_of_action = np.array(data.groups)
    masks = [(group_of_action == name)[data.action] for name in sorted(set(data.groups))]
    return root, _fit_level([_node_problem(inputs[m], data.label[m], root, m) for m in masks], masks, recipe)


def _actions(data: TrainingSet, inputs: Floats, groups: list[_Node], recipe: Recipe) -> list[_ActionFit]:
    """Return the fits of the actions, in their order. An action is fitted after the one that it supersedes."""
    first = [a for a in range(len(data.actions)) if not data.terms_of(a).supersedes]
    nodes = _action_nodes(data, inputs, groups, first, recipe)
    fits = {a: _ActionFit(n, *_correct(data, inputs, a, n, recipe)) for a, n in zip(first, nodes, strict=True)}
    for a, older in superseding_pairs(data):
        fits[a] = _fit_superseding(data, inputs, (a, older), fits[older], recipe)
    return [fits[a] for a in range(len(data.actions))]


def _action_nodes(
    data: TrainingSet, inputs: Floats, groups: list[_Node], actions: list[int], recipe: Recipe
) -> list[_Node]:
    """Return the nodes of these actions, each shrunk towards its group."""
    names, problems = sorted(set(data.groups)), []
    masks = [data.action == a for a in actions]
    for a, mask in zip(actions, masks, strict=True):
        problem = _node_problem(inputs[mask], data.label[mask], groups[names.index(data.groups[a])], mask)
        problems.append(_with_signs(_with_treatments(problem, data, a, mask, recipe), data, a))
    return _fit_level(problems, masks, recipe)


def _fit_superseding(
    data: TrainingSet, inputs: Floats, pair: tuple[int, int], old: _ActionFit, recipe: Recipe
) -> _ActionFit:
    """Return the fit of an action that supersedes an older one, whose fit is `old`; `pair` are their positions.

    The action is shrunk towards the older one, as tightly as its own rows suggest, and has its trees and calibration
    until its own are better. Without rows it equals the older action.
    """
    action, older = pair
    mask = data.action == action
    problem = _superseding_problem(data, inputs, pair, old.node, recipe)
    inherits = _may_inherit_trees(data, action, older)
    forest, calibration = (old.forest, old.calibration) if inherits else (None, IDENTITY)
    if not mask.any():
        weights = fit_ridge(problem).weights
        return _ActionFit(_Node(mask, weights, old.node.curvature, weights, problem.precision), forest, calibration)
    node = _fit_level([problem], [mask], recipe, _SUPERSEDING_TIGHTNESS)[0]
    if forest is None and calibration == IDENTITY:
        return _ActionFit(node, *_correct(data, inputs, action, node, recipe))
    raw = forest.column(data.x[mask]) if forest else np.zeros(len(problem.label))
    on_old_trees = replace(problem, offset=raw)
    refitted = _fit_level([on_old_trees], [mask], recipe, _SUPERSEDING_TIGHTNESS)[0]
    inherited = _ActionFit(refitted, forest, calibration)
    grown, unit = _grow(data, inputs, action, node, recipe), data.take(mask).unit
    if grown is None or not _beats(grown, on_old_trees, inherited, unit, recipe):
        return inherited
    return _ActionFit(node, *_forest_and_calibration(grown, data, action, node, recipe))


def _beats(grown: Grown, problem: RidgeProblem, inherited: _ActionFit, unit: Units, recipe: Recipe) -> bool:
    """Tell whether the action's own trees predict held-out rows better than its inherited fit.

    :param problem: of the inherited fit; its offset is what the inherited trees add
    """
    growth = recipe.growth or Growth()
    fold = stratified_folds(problem.label, growth.folds, recipe.seed, unit)
    base = cross_fitted(_solved(problem, inherited.node), inherited.node.weights, fold)[fold, np.arange(len(fold))]
    inherited_logit = inherited.calibration.column(base if problem.offset is None else base + problem.offset)
    return predicts_better(problem.label, inherited_logit, grown.held_out_logit, unit)


def _superseding_problem(
    data: TrainingSet, inputs: Floats, pair: tuple[int, int], old: _Node, recipe: Recipe
) -> RidgeProblem:
    """Return the problem whose prior is the older action's weights, and its offset per treatment of the same name."""
    action, older = pair
    mask, width = data.action == action, inputs.shape[1]
    problem = _with_treatments(_child(inputs[mask], data.label[mask], old.weights[:width]), data, action, mask, recipe)
    old_offsets = dict(zip(data.treatments[older], old.weights[width:].tolist(), strict=True))
    offsets = [old_offsets.get(treatment, 0.0) for treatment in data.treatments[action]]
    return _with_signs(replace(problem, prior=np.append(problem.prior[:width], offsets)), data, action)


def _may_inherit_trees(data: TrainingSet, action: int, older: int) -> bool:
    """Tell whether the older action's trees satisfy the terms of the action that supersedes it."""
    terms, old_terms = data.terms_of(action), data.terms_of(older)
    return terms.floor <= WITH_TREES and set(terms.monotone) <= set(old_terms.monotone)


def _fit_root(inputs: Floats, label: Bools, recipe: Recipe) -> _Node:
    """Return the node of all actions, under a flat prior around the observed rate."""
    width = inputs.shape[1]
    prior, precision, pooled = np.zeros(width), np.zeros(width), np.ones(width, dtype=np.bool_)
    prior[0], precision[0], pooled[0] = np.log(label.mean() / (1.0 - label.mean())), _ROOT_INTERCEPT_PRECISION, False
    problem = RidgeProblem(inputs, label, prior, precision, pooled)
    return _fit_level([problem], [np.ones(len(label), dtype=np.bool_)], recipe)[0]


def _node_problem(inputs: Floats, label: Bools, parent: _Node, rows: Bools) -> RidgeProblem:
    """Return the problem of a child, whose prior is its parent's weights.

    A child with all of the parent's rows has the parent's own prior, because those rows would count twice otherwise.
    """
    width = inputs.shape[1]
    if rows.sum() == parent.rows.sum():
        return RidgeProblem(inputs, label, parent.prior, parent.precision, np.zeros(width, dtype=np.bool_))
    return _child(inputs, label, parent.weights)


def _child(inputs: Floats, label: Bools, prior: Floats) -> RidgeProblem:
    """Return the problem of weights near `prior`, with one learnt precision for all but the intercept."""
    pooled = np.ones(inputs.shape[1], dtype=np.bool_)
    pooled[0] = False
    return RidgeProblem(inputs, label, prior, np.full(len(pooled), _INTERCEPT_PRECISION), pooled)


def _with_signs(problem: RidgeProblem, data: TrainingSet, action: int) -> RidgeProblem:
    """Return the problem with the signs that the catalogue requires of the features' weights."""
    monotone = [(name, sign) for name, sign in data.terms_of(action).monotone if name in data.feature_names]
    if not monotone:
        return problem
    signs = np.zeros(len(problem.prior), dtype=np.int64)
    for name, sign in monotone:
        signs[1 + data.feature_names.index(name)] = sign
    return replace(problem, signs=signs)


def _with_treatments(
    problem: RidgeProblem, data: TrainingSet, action: int, rows: Bools, recipe: Recipe
) -> RidgeProblem:
    """Return the problem with an input per treatment of the action, shrunk towards no difference."""
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
    """Return the nodes of these problems, fitted together; `masks` are their rows, `tightness` the first precision."""
    fits, tightness = fit_pooled(problems, tightness, recipe.rounds)
    tight = [with_tightness(p, tightness) for p in problems]
    return [_Node(m, f.weights, f.curvature, p.prior, p.precision) for m, f, p in zip(masks, fits, tight, strict=True)]


def _correct(
    data: TrainingSet, inputs: Floats, action: int, node: _Node, recipe: Recipe
) -> tuple[Forest | None, Calibration, Floats | None]:
    """Return the action's trees and calibration, each only if it improves held-out rows, and those rows' logits."""
    grown = _grow(data, inputs, action, node, recipe)
    if grown is None:
        return None, IDENTITY, None
    return _forest_and_calibration(grown, data, action, node, recipe)


def _grow(data: TrainingSet, inputs: Floats, action: int, node: _Node, recipe: Recipe) -> Grown | None:
    """Return the result of growing trees, or None if there are too few rows to try.

    No trees are grown if the catalogue requires more transparency than trees have.
    """
    if recipe.growth is None or not node.rows.any():
        return None
    child = _child(inputs[node.rows], data.label[node.rows], node.prior[: inputs.shape[1]])
    problem = _with_signs(_with_treatments(child, data, action, node.rows, recipe), data, action)
    trees, own = data.terms_of(action).floor <= WITH_TREES, data.take(node.rows)
    of_trees = Inputs(own.x, own.unit)
    return grow(_solved(problem, node), node.weights, of_trees, recipe.growth, recipe.seed, trees=trees)


def _solved(problem: RidgeProblem, node: _Node) -> RidgeProblem:
    """Return the problem under the prior that the node was fitted with, with no precision left to learn."""
    return replace(
        problem, prior=node.prior, precision=node.precision, pooled=np.zeros(len(node.prior), dtype=np.bool_)
    )


def _forest_and_calibration(
    grown: Grown, data: TrainingSet, action: int, node: _Node, recipe: Recipe
) -> tuple[Forest | None, Calibration, Floats]:
    own, everywhere = data.take(node.rows), bool(data.terms_of(action).monotone)
    forest, logit = Forest(grown.text) if grown.text else None, grown.held_out_logit
    if not recipe.calibrate:
        return forest, IDENTITY, logit
    return forest, choose(logit, own.label, recipe.seed, own.unit, everywhere=everywhere), logit


def _offsets(actions: list[_Node], width: int, n_above: int) -> Floats:
    """Return the treatments' offsets (k + n_above, t + 1), padded with zeros; the last column is zero."""
    most_treatments = max((len(node.weights) - width for node in actions), default=0)
    out = np.zeros((len(actions) + n_above, most_treatments + 1))
    for a, node in enumerate(actions):
        out[a, : len(node.weights) - width] = node.weights[width:]
    return out
