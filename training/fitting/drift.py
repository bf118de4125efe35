"""Since when the truth is what it is now: rows that tell of another world are found by a test, and left out.

A model of all rows predicts each of them. Where the truth changed, labels after the change lie off the predictions one
way, and labels before it the other. The evidence for a change at a moment is the Bayes factor of such a shift against
none: a CUSUM of scores with the fit's own constraint taken out, by Laplace's approximation. Averaged over three beliefs
of what shifts (how strongly predictions hold for all actions together; for each; each feature's weight for each), it
says no where nothing changed, and once it says yes, more rows only make it surer. Whoever believes it must also gain:
a base learnt from the later rows alone must predict them better, held out, than one learnt from all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from training.fitting.folds import stratified_folds
from training.model.frame import Bools, Floats, Ints, TrainingSet
from training.model.logistic import log_losses
from training.model.model import PropensityModel
from training.model.predict import propensities

_MOMENTS = 128
_NATS = 16.0
"""Evidence asked for. Where nothing changes, trees that are not there yet and choices that move can feign up to 13."""
_TOGETHER, _EACH, _WEIGHT = np.array([4.0, 4.0]), np.array([2.0, 4.0]), 4.0
"""Precisions of the normal beliefs about a shift: of level and slope on the logit scale, and of a feature's weight."""
_ERRORS_TO_BEAT = 2.0
_MIN_EVENTS = 20

Fit = Callable[[TrainingSet], PropensityModel]


def present(data: TrainingSet, model: PropensityModel, base: Fit) -> TrainingSet:
    """The rows of `data` that still hold, `data` itself where all do; `model` learnt from all, `base` fits quickly.

    Looks at all actions together first, then, where nothing changed for all, at each alone.
    """
    every = np.ones(len(data), dtype=np.bool_)
    kept = _since_change(data, model, every, base)
    if kept.all():
        for a in range(len(data.actions)):
            kept &= _since_change(data, model, data.action == a, base)
    return data if kept.all() else data.take(kept)


def strongest_change(data: TrainingSet, model: PropensityModel) -> tuple[int, float]:
    """The moment (microseconds) from which rows most deviate from what a model of them all says, and the evidence for
    it in nats; minus infinity where all rows are of one moment, as rows of one moment are never parted."""
    data = data.take(np.argsort(data.at_us, kind="stable"))
    moments = _moments(data.at_us)
    if not len(moments):
        return 0, -np.inf
    p = propensities(model, data)
    residual, logit = _Surprise(data.label - p, p * (1.0 - p)), _logit(p)
    each = [np.flatnonzero(data.action == a) for a in np.unique(data.action)]
    ends = [np.searchsorted(data.at_us[rows], moments) for rows in each]
    level = np.column_stack([np.ones(len(p)), logit - logit.mean()])
    beliefs = [
        _evidence(residual, level, np.searchsorted(data.at_us, moments), _TOGETHER),
        np.sum([_evidence(residual.take(r), level[r], e, _EACH) for r, e in zip(each, ends, strict=True)], axis=0),
        np.sum([_weights(residual.take(r), model, data.x[r], e) for r, e in zip(each, ends, strict=True)], axis=0),
    ]
    found = np.logaddexp.reduce(np.array(beliefs), axis=0) - np.log(len(beliefs))
    best = int(found.argmax())
    return int(moments[best]), float(found[best])


def _since_change(data: TrainingSet, model: PropensityModel, among: Bools, base: Fit) -> Bools:
    """Rows to keep (n,): all but those of `among` (n,) from before a change, if there was one."""
    rows = data if among.all() else data.take(among)
    moment, evidence = strongest_change(rows, model)
    later = rows.at_us >= moment
    if evidence < _NATS or not _enough(rows.label[later]) or not _pays(rows, later, base):
        return np.ones(len(data), dtype=np.bool_)
    return np.asarray(~among | (data.at_us >= moment), dtype=np.bool_)


def _moments(at_us: Ints) -> Ints:
    """Moments that part the rows (sorted), at positions that stay where they are while rows come in."""
    step = 1 << max(int(np.ceil(np.log2(max(len(at_us), 1) / _MOMENTS))), 0)
    return np.setdiff1d(at_us[step::step], at_us[:1])


@dataclass(frozen=True, slots=True)
class _Surprise:
    """Label minus prediction (n,) and the variance of the label by the prediction (n,), in the order of time."""

    off: Floats
    variance: Floats

    def take(self, rows: Ints) -> "_Surprise":
        return _Surprise(self.off[rows], self.variance[rows])


def _weights(residual: _Surprise, model: PropensityModel, x: Floats, ends: Ints) -> Floats:
    return _evidence(residual, model.design.columns(x).T, ends, np.full(model.design.width, _WEIGHT))


def _evidence(residual: _Surprise, z: Floats, ends: Ints, precision: Floats) -> Floats:
    """Log Bayes factor (m,) of a shift of the weights of inputs z (n, d) after the first `ends` (m,) rows each."""
    parts = list(_parts(ends, len(z)))
    score = np.cumsum([z[at].T @ residual.off[at] for at in parts], axis=0)
    known = np.cumsum([z[at].T @ (z[at] * residual.variance[at, None]) for at in parts], axis=0)
    share = np.linalg.solve(known[-1] + 1e-6 * np.eye(len(precision)), known[:-1])
    off = score[:-1] - np.einsum("mij,i->mj", share, score[-1])
    spread = known[:-1] - known[:-1] @ share + np.diag(precision)
    fit = np.einsum("mi,mi->m", off, np.linalg.solve(spread, off[..., None])[..., 0])
    return np.asarray(0.5 * (fit - np.linalg.slogdet(spread)[1] + np.log(precision).sum()), dtype=np.float64)


def _parts(ends: Ints, n: int) -> Iterator[slice]:
    for start, end in zip([0, *ends.tolist()], [*ends.tolist(), n], strict=True):
        yield slice(start, end)


def _enough(label: Bools) -> bool:
    return min(int(label.sum()), int((~label).sum())) >= _MIN_EVENTS


def _pays(data: TrainingSet, later: Bools, base: Fit) -> bool:
    """Whether the later rows (n,) are predicted better from the later ones of another half than from all of it."""
    fold = stratified_folds(data.label, 2, seed=0)
    gains = []
    for k in range(2):
        judged = data.take(later & (fold == k))
        from_all, from_later = (
            log_losses(judged.label, _logit(propensities(base(data.take(rows)), judged)))
            for rows in (fold != k, later & (fold != k))
        )
        gains.append(from_all - from_later)
    gain = np.concatenate(gains)
    return bool(gain.mean() > _ERRORS_TO_BEAT * gain.std() / len(gain) ** 0.5)


def _logit(p: Floats) -> Floats:
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)
