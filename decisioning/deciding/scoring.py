"""How likely each permitted candidate is: by the assigned model, or by the catalogue's priors where none may score."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.view import COMMERCIAL_TIER
from decisioning.deciding.case import Case
from decisioning.deciding.screening import Screened
from decisioning.errors import SealBroken
from decisioning.facts.forms import BlockScorer, Scorer, Scores
from decisioning.facts.schema import Facts
from decisioning.records.formats import JSON_FORMAT
from decisioning.records.kept import Floats

_SIGN: Final = re.compile("[=+-]")
"""What ends the name of a feature in a factor such as `age+0.4` or `plan=basic`."""


def score_permitted(case: Case, screened: Screened, facts: Facts, score: Scorer) -> Scores:
    """Return the scores of the permitted candidates, in the order of `screened.rows`.

    `score` is called at most once, and not at all if nothing passed or profiling is not allowed: then the scores are
    the catalogue's priors, without evidence. Raises SealBroken if the model gives what is no probability.
    """
    if not _asks_model(screened):
        return _priors(screened)
    return _checked(score(facts, screened.view.candidates[screened.rows]), case, screened)


def score_permitted_rows(
    cases: Sequence[Case], screened: Sequence[Screened], facts: Sequence[Facts], score: BlockScorer
) -> list[Scores]:
    """Return for each case what `score_permitted` does; `score` is called once for all that ask about the same."""
    scores = {n: _priors(one) for n, one in enumerate(screened) if not _asks_model(one)}
    alike: dict[tuple[str, int], list[int]] = {}
    for n, one in enumerate(screened):
        if n not in scores:
            alike.setdefault((one.view.channel.id, one.permitted_bits), []).append(n)
    for members in alike.values():
        first = screened[members[0]]
        of_model = score([facts[n] for n in members], first.view.candidates[first.rows])
        for n, own in zip(members, of_model, strict=True):
            scores[n] = _checked(own, cases[n], screened[n])
    return [scores[n] for n in range(len(cases))]


def _asks_model(screened: Screened) -> bool:
    return screened.permitted_bits != 0 and screened.profiled


def _priors(screened: Screened) -> Scores:
    rows = screened.rows
    return Scores(screened.view.prior[rows], np.zeros(len(rows)), ((),) * len(rows))


def shadow_scores(case: Case, screened: Screened, facts: Facts) -> tuple[str, Floats] | None:
    """Return the shadow model's name and its propensities of the permitted candidates; None if none may be asked."""
    shadow, rows = case.context.shadow, screened.rows
    if shadow is None or not len(rows) or not screened.profiled:
        return None
    propensity = shadow.score(facts, screened.view.candidates[rows]).propensity
    return shadow.model, propensity if case.context.record_format == JSON_FORMAT else _short(propensity)


def _checked(scores: Scores, case: Case, screened: Screened) -> Scores:
    """Return what is used of the model's scores; raises SealBroken if one is no probability.

    They are rounded to the 32 bits in which they are recorded, so that the decision follows from its record.
    """
    by_uplift = case.release.catalogue.settings.ranking == "uplift" and screened.arm != "propensity-only"
    in_32_bits = _as_it_is if case.context.record_format == JSON_FORMAT else _short
    floor = _transparency_floor(screened)
    rounded = Scores(
        propensity=in_32_bits(scores.propensity),
        evidence=scores.evidence,
        factors=_of_readable(scores.factors, case.unreadable) if case.unreadable else scores.factors,
        transparency=None if floor is None else scores.transparency,
        upper=None if scores.upper is None else in_32_bits(scores.upper),
        uplift=None if scores.uplift is None or not by_uplift else in_32_bits(scores.uplift),
    )
    if not (scores.propensity.min() >= 0.0 and scores.propensity.max() <= 1.0):  # neither holds for NaN
        raise SealBroken("the model gave a propensity outside [0, 1]; nothing was decided")
    return _of_commercial(rounded if floor is None else _transparent_enough(rounded, floor, screened), screened)


def _of_readable(factors: Sequence[tuple[str, ...]], unreadable: frozenset[str]) -> Sequence[tuple[str, ...]]:
    """Return the factors without those of features that may not be read, and so were missing."""
    return tuple(tuple(name for name in names if _SIGN.split(name)[0] not in unreadable) for names in factors)


def _as_it_is(column: Floats) -> Floats:
    return column


def _short(column: Floats) -> Floats:
    return column.astype(np.float32).astype(np.float64)


def _transparency_floor(screened: Screened) -> NDArray[np.int8] | None:
    """Return how transparent the model of each scored candidate must be (n,), or None if any model will do."""
    if not screened.view.asks_transparency:
        return None
    floor = screened.view.transparency_floor[screened.rows]
    return floor if (floor > 1).any() else None


def _transparent_enough(scores: Scores, floor: NDArray[np.int8], screened: Screened) -> Scores:
    """Replace scores by priors where the model is less transparent than the action's issue requires.

    A scorer states the transparency of each score; one that states none counts as 1. A decision with such a prior has
    `transparency` among its `degraded`, and promotion refuses such a model (`training.fitting.terms.check_terms`).
    """
    stated = np.ones(len(floor), dtype=np.int8) if scores.transparency is None else scores.transparency
    opaque, prior = stated < floor, screened.view.prior[screened.rows]
    return Scores(
        propensity=np.where(opaque, prior, scores.propensity),
        evidence=np.where(opaque, 0.0, scores.evidence),
        factors=_without(scores.factors, opaque) if opaque.any() else scores.factors,
        transparency=stated,
        upper=None if scores.upper is None else np.where(opaque, prior, scores.upper),
        uplift=None if scores.uplift is None else np.where(opaque, np.nan, scores.uplift),
    )


def _without(factors: Sequence[tuple[str, ...]], hidden: NDArray[np.bool_]) -> Sequence[tuple[str, ...]]:
    return tuple(() if hides else names for hides, names in zip(hidden.tolist(), factors, strict=True))


def _of_commercial(scores: Scores, screened: Screened) -> Scores:
    """Keep the uplift of commercial candidates alone; raises SealBroken if one is no difference of probabilities."""
    if scores.uplift is None:
        return scores
    if not np.all(np.abs(np.nan_to_num(scores.uplift)) <= 1.0):
        raise SealBroken("the model gave an uplift outside [-1, 1]; nothing was decided")
    commercial = screened.view.tier[screened.rows] == COMMERCIAL_TIER
    return replace(scores, uplift=np.where(commercial, scores.uplift, np.nan))
