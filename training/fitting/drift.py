"""Detects a change of the true propensities over time, and leaves out the rows from before it.

A model fitted to all rows predicts each of them. If the truth changed, the labels after the change deviate from the
predictions in one direction, and those before it in the other. The evidence for a change at a moment is the Bayes
factor of such a shift against no shift: a CUSUM of scores, less what the fit's own constraint imposes, by Laplace's
approximation. It is averaged over three beliefs about what shifts: level and slope of the predictions for all actions
together; the same per action; each feature's weight per action. It stays low where nothing changed, and once there is
evidence of a change, more rows only add to it. A change must also pay: a base learnt from the later rows alone must
predict held-out later rows of other customers better than a base learnt from all.

Rows of one customer deviate alike, so that the customers who happen to come early and late look like a change. Where
the evidence would do, the variance of the shift is therefore taken from sums per customer, wherever that is larger than
what independent rows would have (Liang and Zeger 1986).

Evidence falls with the rows that are left out, so exploration by `optimism` and `gamma_grows` increases by itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from training.fitting.folds import stratified_folds
from training.fitting.predict import propensities
from training.model.frame import Bools, Floats, Ints, TrainingSet, Units, mean_error, rarer_label
from training.model.logistic import log_losses
from training.model.model import PropensityModel

_MOMENTS = 128
_MOST_CHECKED = 8
"""Likeliest moments at which the evidence is taken over customers."""
_NATS = 16.0
"""Evidence required. Without any change, trees that are not fitted yet and shifting choices can produce up to 13."""
_TOGETHER, _PER_ACTION, _WEIGHT = np.array([4.0, 4.0]), np.array([2.0, 4.0]), 4.0
"""Precisions of the normal beliefs about a shift: of level and slope on the logit scale (for all actions together, and
per action), and of a feature's weight."""
_MIN_EVENTS = 20
_FEW_CUSTOMERS = 500
_OF_FEW, _OF_MANY = (5, 1.0), (2, 2.0)
"""By how many folds, and by how many standard errors, a change must pay. A base of half of few customers knows too
little of the others to pay by much; of many customers it knows enough."""

Fit = Callable[[TrainingSet], PropensityModel]


def rows_since_change(data: TrainingSet, model: PropensityModel, base: Fit) -> TrainingSet:
    """Return the rows since the last change that is detected, or `data` itself if there was none.

    Tests all actions together first, then each alone if they did not change together.

    :param model: fitted to all rows
    :param base: fits a model without trees
    """
    all_rows = np.ones(len(data), dtype=np.bool_)
    current = _since_change(data, model, all_rows, base)
    if current.all():
        for a in range(len(data.actions)):
            current &= _since_change(data, model, data.action == a, base)
    return data if current.all() else data.take(current)


def strongest_change(data: TrainingSet, model: PropensityModel) -> tuple[int, float]:
    """Return the moment (microseconds) of the most likely change, and the evidence for it in nats.

    Rows of one moment are never separated: the evidence is minus infinity if all rows are of one moment.

    :param model: fitted to all rows
    """
    data = data.take(np.argsort(data.at_us, kind="stable"))
    moments = _candidate_moments(data.at_us)
    if not len(moments):
        return 0, -np.inf
    alone = replace(data, unit=None)
    evidence = _mean_evidence(alone, model, moments)
    if data.unit is not None and evidence.max() >= _NATS:
        moments = moments[np.sort(np.argsort(-evidence, kind="stable")[:_MOST_CHECKED])]
        evidence = np.array([_mean_evidence(data, model, moment)[0] for moment in np.split(moments, len(moments))])
    best = int(evidence.argmax())
    return int(moments[best]), float(evidence[best])


def _mean_evidence(data: TrainingSet, model: PropensityModel, moments: Ints) -> Floats:
    """Return the evidence (m,) for a change at each moment (m,), averaged over the three beliefs; rows by time.

    Rows with units are judged at one moment.
    """
    p = propensities(model, data)
    deviations, logit = _Deviations(data.label - p, p * (1.0 - p), data.unit), _logit(p)
    level = np.column_stack([np.ones(len(p)), logit - logit.mean()])
    per_action, per_weight = [], []
    for a in np.unique(data.action):
        rows = np.flatnonzero(data.action == a)
        ends = np.searchsorted(data.at_us[rows], moments)
        per_action.append(_evidence(deviations.take(rows), level[rows], ends, _PER_ACTION))
        per_weight.append(_evidence_of_weights(deviations.take(rows), model, data.x[rows], ends))
    together = _evidence(deviations, level, np.searchsorted(data.at_us, moments), _TOGETHER)
    beliefs = np.array([together, np.sum(per_action, axis=0), np.sum(per_weight, axis=0)])
    return np.asarray(np.logaddexp.reduce(beliefs, axis=0) - np.log(len(beliefs)), dtype=np.float64)


def _since_change(data: TrainingSet, model: PropensityModel, tested: Bools, base: Fit) -> Bools:
    """Return the rows to keep (n,): all but those of `tested` (n,) from before a change, if one is detected."""
    rows = data if tested.all() else data.take(tested)
    moment, evidence = strongest_change(rows, model)
    later = rows.at_us >= moment
    if evidence < _NATS or not _has_enough_events(rows.take(later)) or not _pays(rows, later, base):
        return np.ones(len(data), dtype=np.bool_)
    return np.asarray(~tested | (data.at_us >= moment), dtype=np.bool_)


def _candidate_moments(at_us: Ints) -> Ints:
    """Return moments between the sorted rows, at positions that do not move while rows are added."""
    step = 1 << max(int(np.ceil(np.log2(max(len(at_us), 1) / _MOMENTS))), 0)
    return np.setdiff1d(at_us[step::step], at_us[:1])


@dataclass(frozen=True, slots=True)
class _Deviations:
    """Label minus prediction (n,), and the label's variance according to the prediction (n,), sorted by time."""

    error: Floats
    variance: Floats
    unit: Units

    def take(self, rows: Ints) -> "_Deviations":
        unit = None if self.unit is None else self.unit[rows]
        return _Deviations(self.error[rows], self.variance[rows], unit)


def _evidence_of_weights(deviations: _Deviations, model: PropensityModel, x: Floats, ends: Ints) -> Floats:
    """Return the log Bayes factor (m,) of a shift of the features' weights; `ends` as in `_evidence`."""
    return _evidence(deviations, model.design.columns(x).T, ends, np.full(model.design.width, _WEIGHT))


def _evidence(deviations: _Deviations, z: Floats, ends: Ints, precision: Floats) -> Floats:
    """Return the log Bayes factor (m,) of a shift of the weights of inputs z (n, d) after `ends` (m,) rows.

    `precision` (d,): of the normal belief about the shift.
    """
    parts = list(_slices(ends, len(z)))
    score = np.cumsum([z[at].T @ deviations.error[at] for at in parts], axis=0)
    information = np.cumsum([z[at].T @ (z[at] * deviations.variance[at, None]) for at in parts], axis=0)
    share = np.linalg.solve(information[-1] + 1e-6 * np.eye(len(precision)), information[:-1])
    deviation = score[:-1] - np.einsum("mij,i->mj", share, score[-1])
    if deviations.unit is not None:
        own = (np.arange(len(z)) < ends[0])[:, None] * z - z @ share[0].T
        return _evidence_over_units(
            deviations, own, deviation[0], information[0] - information[0] @ share[0], precision
        )
    curvature = information[:-1] - information[:-1] @ share + np.diag(precision)
    fit = np.einsum("mi,mi->m", deviation, np.linalg.solve(curvature, deviation[..., None])[..., 0])
    return np.asarray(0.5 * (fit - np.linalg.slogdet(curvature)[1] + np.log(precision).sum()), dtype=np.float64)


def _evidence_over_units(
    deviations: _Deviations, own: Floats, deviation: Floats, curvature: Floats, precision: Floats
) -> Floats:
    """Return the log Bayes factor (1,) of a shift at one moment, with the variance of sums per customer.

    :param own: (n, d), what a row's error adds to `deviation` (d,), whose variance over independent rows is `curvature`
    """
    assert deviations.unit is not None
    shift = np.linalg.solve(curvature + np.diag(precision), deviation)
    unexplained = deviations.error - deviations.variance * (own @ shift)
    sums = np.column_stack([np.bincount(deviations.unit, unexplained * column) for column in own.T])
    units = int(np.count_nonzero(np.bincount(deviations.unit)))
    sums *= (units / max(units - len(precision), 1)) ** 0.5
    root = np.linalg.cholesky(curvature + 1e-6 * np.eye(len(precision)))
    inflation, axes = np.linalg.eigh(np.linalg.solve(root, np.linalg.solve(root, sums.T @ sums).T))
    axes = root @ axes
    variance = (axes * np.maximum(inflation, 1.0)) @ axes.T
    shifted = variance + curvature @ (curvature / precision[:, None])
    fit = deviation @ (np.linalg.solve(variance, deviation) - np.linalg.solve(shifted, deviation))
    return np.array([0.5 * (fit - np.linalg.slogdet(shifted)[1] + np.linalg.slogdet(variance)[1])])


def _slices(ends: Ints, n: int) -> Iterator[slice]:
    """Yield the m + 1 slices of n rows that the m positions `ends` separate."""
    for start, end in zip([0, *ends.tolist()], [*ends.tolist(), n], strict=True):
        yield slice(start, end)


def _has_enough_events(data: TrainingSet) -> bool:
    return rarer_label(data.label, data.unit) >= _MIN_EVENTS


def _pays(data: TrainingSet, later: Bools, base: Fit) -> bool:
    """Tell whether held-out later rows (n,) are predicted better by a base of later rows than by one of all rows.

    Both are fitted to the rows of other customers.
    """
    folds, errors = _OF_FEW if data.take(later).customers < _FEW_CUSTOMERS else _OF_MANY
    fold = stratified_folds(data.label, folds, 0, data.unit)
    gain = np.zeros(len(data))
    for k in range(folds):
        held_out = data.take(later & (fold == k))
        from_all, from_later = (
            log_losses(held_out.label, _logit(propensities(base(data.take(rows)), held_out)))
            for rows in (fold != k, later & (fold != k))
        )
        gain[later & (fold == k)] = from_all - from_later
    return bool(gain[later].mean() > errors * mean_error(gain[later], data.take(later).unit))


def _logit(p: Floats) -> Floats:
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)
