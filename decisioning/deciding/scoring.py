"""How likely each permitted candidate is: by the assigned model, or by the catalogue's priors where none may score."""

from dataclasses import replace

import numpy as np

from decisioning.catalogue.view import COMMERCIAL_TIER
from decisioning.deciding.case import Case
from decisioning.deciding.screening import Screened
from decisioning.errors import SealBroken
from decisioning.facts.forms import Scorer, Scores
from decisioning.facts.schema import Facts
from decisioning.records.formats import JSON_FORMAT
from decisioning.records.kept import Floats


def score_permitted(case: Case, screened: Screened, facts: Facts, score: Scorer) -> Scores:
    """Return the scores of the permitted candidates, in the order of `screened.rows`.

    `score` is called at most once, and not at all if nothing passed or profiling is not allowed: then the scores are
    the catalogue's priors, without evidence. Raises SealBroken if the model gives what is no probability.
    """
    rows = screened.rows
    if not len(rows):
        return Scores(np.zeros(0), np.zeros(0), ())
    if not screened.profiled:
        return Scores(screened.view.prior[rows], np.zeros(len(rows)), ((),) * len(rows))
    scores = score(facts, screened.view.candidates[rows])
    if case.context.record_format > JSON_FORMAT:
        scores = _in_32_bits(scores)
    if not np.all((scores.propensity >= 0.0) & (scores.propensity <= 1.0)):
        raise SealBroken("the model gave a propensity outside [0, 1]; nothing was decided")
    return _with_uplift_if_it_ranks(_transparent_enough(scores, screened), case, screened)


def shadow_scores(case: Case, screened: Screened, facts: Facts) -> tuple[str, Floats] | None:
    """Return the shadow model's name and its propensities of the permitted candidates; None if none may be asked."""
    shadow, rows = case.context.shadow, screened.rows
    if shadow is None or not len(rows) or not screened.profiled:
        return None
    propensity = shadow.score(facts, screened.view.candidates[rows]).propensity
    return shadow.model, propensity if case.context.record_format == JSON_FORMAT else _short(propensity)


def _in_32_bits(scores: Scores) -> Scores:
    """Round what the model gives to 32 bits, in which it is recorded, so that the decision follows from its record."""
    upper, uplift = scores.upper, scores.uplift
    return replace(
        scores,
        propensity=_short(scores.propensity),
        upper=None if upper is None else _short(upper),
        uplift=None if uplift is None else _short(uplift),
    )


def _short(column: Floats) -> Floats:
    return column.astype(np.float32).astype(np.float64)


def _transparent_enough(scores: Scores, screened: Screened) -> Scores:
    """Replace scores by priors where the model is less transparent than the action's issue requires.

    A scorer states the transparency of each score; one that states none counts as 1. A decision with such a prior has
    `transparency` among its `degraded`, and promotion refuses such a model (`training.fitting.terms.check_terms`).
    """
    floor = screened.view.transparency_floor[screened.rows]
    if not (floor > 1).any():
        return replace(scores, transparency=None)
    stated = np.ones(len(floor), dtype=np.int8) if scores.transparency is None else scores.transparency
    opaque, prior = stated < floor, screened.view.prior[screened.rows]
    return Scores(
        propensity=np.where(opaque, prior, scores.propensity),
        evidence=np.where(opaque, 0.0, scores.evidence),
        factors=tuple(() if hidden else f for hidden, f in zip(opaque.tolist(), scores.factors, strict=True)),
        transparency=stated,
        upper=None if scores.upper is None else np.where(opaque, prior, scores.upper),
        uplift=None if scores.uplift is None else np.where(opaque, np.nan, scores.uplift),
    )


def _with_uplift_if_it_ranks(scores: Scores, case: Case, screened: Screened) -> Scores:
    """Keep uplift for commercial candidates if `settings.ranking` is uplift; the arm `propensity-only` ignores it."""
    by_uplift = case.release.catalogue.settings.ranking == "uplift" and screened.arm != "propensity-only"
    if scores.uplift is None or not by_uplift:
        return replace(scores, uplift=None)
    if not np.all(np.abs(np.nan_to_num(scores.uplift)) <= 1.0):
        raise SealBroken("the model gave an uplift outside [-1, 1]; nothing was decided")
    commercial = screened.view.tier[screened.rows] == COMMERCIAL_TIER
    return replace(scores, uplift=np.where(commercial, scores.uplift, np.nan))
